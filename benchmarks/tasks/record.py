"""The record of a task: sample rows, a right-hand side, and the metric that its outputs serve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Score = Callable[[Floats], float]
WinnerScore = Callable[[NDArray[np.int64]], float]


@dataclass(frozen=True, eq=False)
class Task:
    """A product worth approximating, with the metric that its outputs serve.

    `score` and the functions of `extra` take all outputs of `A_test`, bias included. The functions
    of `by_winners` take only the index of the largest output of each row. If only the order of
    outputs counts, the task needs the `k` largest of each row. `A_calibrate` holds rows to
    calibrate with where rows to learn from are unlike those of the test.
    """

    name: str
    title: str
    source: str
    A_train: Floats
    A_test: Floats
    B: Floats
    bias: Floats | None
    metric: str
    higher_is_better: bool
    score: Score
    extra: Mapping[str, Score] = field(default_factory=dict)
    by_winners: Mapping[str, WinnerScore] = field(default_factory=dict)
    k: int = 1
    A_calibrate: Floats | None = None

    def __post_init__(self) -> None:
        n_features, n_outputs = len(self.B), self.B.shape[-1]
        for name, shape in {
            "B": (n_features, n_outputs),
            "A_train": (None, n_features),
            "A_test": (None, n_features),
            "A_calibrate": (None, n_features),
            "bias": (n_outputs,),
        }.items():
            array = getattr(self, name)
            if array is None and name in ("bias", "A_calibrate"):
                continue
            wanted = tuple(n or len(array) for n in shape)
            if array.dtype != np.float32 or array.shape != wanted:
                raise ValueError(f"{self.name}: {name} is not float32 of shape {shape}")
            if not array.size or not np.isfinite(array).all():
                raise ValueError(f"{self.name}: {name} is empty or not finite")
            frozen = np.ascontiguousarray(array).view()
            frozen.flags.writeable = False
            object.__setattr__(self, name, frozen)

    @property
    def shape(self) -> tuple[int, int, int]:
        """N', D and M: rows of A_test, inputs, outputs."""
        return (len(self.A_test), *self.B.shape)

    @cached_property
    def exact(self) -> Floats:
        """The exact outputs of A_test, bias included."""
        outputs = self.A_test @ self.B
        if self.bias is not None:
            outputs += self.bias
        outputs.flags.writeable = False
        return outputs

    @cached_property
    def variance(self) -> float:
        """The variance of all entries of A_test @ B (without bias), which NMSE divides by."""
        outputs = self.exact if self.bias is None else self.exact - self.bias
        return float(np.var(outputs, dtype=np.float64))
