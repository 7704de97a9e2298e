"""`CompiledNetwork`: the network that was converted, its operator, and the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike, NDArray

from maddjit.integrations.networks.converting import Converted
from maddjit.integrations.networks.report import ConversionReport
from maddjit.models.network import Network
from maddjit.pipeline import compile


@dataclass(frozen=True, eq=False)
class CompiledNetwork:
    """A compiled network: call it with images (N, C, H, W).

    Attributes
    ----------
    network : Network
        What is computed, as a record; `maddjit.save` stores it.
    operator : NetworkOperator
        What `maddjit.compile` made of it.
    report : ConversionReport
        What became of each layer.
    """

    network: Network
    operator: Any
    report: ConversionReport

    @classmethod
    def of(cls, converted: Converted, target: str | None, threads: int) -> CompiledNetwork:
        """Return the compiled network of a conversion."""
        operator = compile(converted.network, target, threads=threads)
        return cls(converted.network, operator, converted.report)

    def __call__(self, images: ArrayLike) -> NDArray[Any]:
        """Return the outputs for images of the dtype that calibration had.

        Returns
        -------
        (N, M) float32 array, or (N, M, H, W) int8 planes
            As the last step of the network says.
        """
        outputs: NDArray[Any] = self.operator(images)
        return outputs

    def __str__(self) -> str:
        return str(self.report)
