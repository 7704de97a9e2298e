"""Custom op of PyTorch: the compiled product of a Strassen-Tile layer, for inference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maddjit.arrays.epilogue import Epilogue
from maddjit.arrays.formats import Precision
from maddjit.integrations.kept import Kept
from maddjit.models.storage import from_bytes
from maddjit.models.strassen_tile import StrassenTileModel
from maddjit.operators.strassen_tile import TileOperator
from maddjit.pipeline import compile


@dataclass(frozen=True)
class Ending:
    """What a compiled layer does beside multiplying.

    Attributes
    ----------
    precision : {"float32", "bfloat16"}
        What it multiplies in.
    low, high : float
        The limits that outputs are clamped to.
    residual : bool
        Whether a tensor is added to the outputs before they are clamped.
    """

    precision: Precision = "float32"
    low: float = -math.inf
    high: float = math.inf
    residual: bool = False

    def __str__(self) -> str:
        parts = [self.precision, *(["residual"] if self.residual else [])]
        if self.is_clamped:
            parts.append(f"clamped to [{self.low:g}, {self.high:g}]")
        return ", ".join(parts)

    @property
    def is_clamped(self) -> bool:
        """Whether outputs are clamped at all."""
        return self.low > -math.inf or self.high < math.inf


_operators: Kept[TileOperator] = Kept()
"""The operators of this process, by the hash of their models' bytes and by their endings."""


def tile_operator(packed: Tensor, key: str, ending: Ending) -> TileOperator:
    """Return a model's operator. Each process compiles it once, and keeps it until it ends."""

    def compiled() -> TileOperator:
        model = from_bytes(packed.cpu().numpy().tobytes())
        assert isinstance(model, StrassenTileModel)
        return compile(
            model,
            epilogue=Epilogue(low=ending.low, high=ending.high),
            precision=ending.precision,
            residual=ending.residual,
        )

    return _operators.get(f"{key} {ending}", compiled)


def _array(x: Tensor) -> Any:
    """Return a tensor of floating point as an array, in its own memory if that is possible."""
    x = x.detach()
    return (x.float() if x.dtype == torch.bfloat16 else x).numpy()


def _with_nan_of(x: Tensor, y: Tensor, n: int) -> None:
    """Write NaN to the outputs (S, T, M) of tiles that hold a row with NaN or infinities."""
    if math.isfinite(x.sum(dtype=torch.promote_types(x.dtype, torch.float32)).item()):
        return
    is_bad = ~x.isfinite().all(-1)
    padded = torch.nn.functional.pad(is_bad, (0, -x.shape[1] % n))
    tiles = padded.view(len(x), -1, n).any(-1)
    y[tiles.repeat_interleave(n, 1)[:, : x.shape[1]]] = math.nan


@torch.library.custom_op("maddjit::tile_product", mutates_args=(), device_types="cpu")
def tile_product(
    x: Tensor,
    residual: Tensor | None,
    packed: Tensor,
    key: str,
    n_outputs: int,
    precision: str,
    low: float,
    high: float,
) -> Tensor:
    """Return the outputs (S, T, M) for sequences (S, T, D), plus a residual, clamped."""
    ending = Ending(precision, low, high, residual is not None)  # type: ignore[arg-type]
    operator = tile_operator(packed, key, ending)
    y = torch.empty((*x.shape[:-1], n_outputs), dtype=torch.float32)
    if y.numel():
        added = None if residual is None else _array(residual)
        operator(_array(x), y.numpy(), torch.get_num_threads(), residual=added)
        _with_nan_of(x.detach(), y, operator.model.scheme.shape[0])
        if residual is not None and ending.is_clamped:  # which makes numbers of NaN
            _keep_nan(residual.detach(), y)
    return y.to(x.dtype)


def _keep_nan(residual: Tensor, y: Tensor) -> None:
    if not math.isfinite(residual.sum().item()):
        y[residual.isnan()] = math.nan


@tile_product.register_fake
def _(
    x: Tensor,
    residual: Tensor | None,
    packed: Tensor,
    key: str,
    n_outputs: int,
    precision: str,
    low: float,
    high: float,
) -> Tensor:
    return x.new_empty((*x.shape[:-1], n_outputs))


def _no_gradient(ctx: Any, grad: Tensor) -> Any:
    raise RuntimeError(
        "a compiled Strassen-Tile layer has no gradient: train the module that compile_layers was "
        "given, and compile its layers again"
    )


tile_product.register_autograd(_no_gradient)
