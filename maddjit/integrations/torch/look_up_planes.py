"""Whole-number planes with gradients: taps of windows, and sums that become int8 again."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from maddjit.models.requantising import FRACTION_BITS, MOST_SHIFT


class Taps(torch.autograd.Function):
    """The rows of a matrix (D, N) that an index (C, T, R') names; gradients are added up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor) -> Tensor:
        """Return (C, T, R' · N)."""
        ctx.save_for_backward(index)
        ctx.shape = x.shape
        return x.index_select(0, index.flatten()).view(*index.shape[:2], -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        """Return the gradient of x."""
        (index,) = ctx.saved_tensors
        of_x = grad.new_zeros(ctx.shape)
        return of_x.index_add_(0, index.flatten(), grad.reshape(-1, ctx.shape[1])), None


class Ending(NamedTuple):
    """The whole numbers of a `Requantising`, as tensors: multiplier and addend (M,), and limits."""

    multiplier: Tensor
    addend: Tensor
    shift: int
    least: int
    most: int


def ending_of(
    scale: Tensor, offset: Tensor, largest: int, step: float, zero_point: int, least: int
) -> Ending:
    """Return the same numbers as `Requantising.of` does for a model with this scale and offset.

    Parameters
    ----------
    scale, offset : (M,) float32 tensors
    largest : int
        The largest sum that the tables allow.
    step : float
    zero_point, least : int
        The int8 number that stands for 0, and the least one that is stored.
    """
    scale, offset = scale.double() / step, offset.double() / step
    for shift in reversed(range(MOST_SHIFT + 1)):
        unit = 2.0**shift
        multiplier = (scale * unit * 2**FRACTION_BITS).round()
        addend = ((offset + zero_point) * unit).round() + (2 ** (shift - 1) if shift else 0)
        upper = addend + multiplier if largest >= 2**15 else addend
        highest = torch.stack((multiplier.max(), upper.max(), addend.max())).max()
        if highest <= 32767 and addend.min() >= -32768:
            return Ending(multiplier.int(), addend.int(), shift, least, 127)
    raise ValueError(f"outputs are too large for steps of {step}: they need more than 16 bits")


class Requantised(torch.autograd.Function):
    """Sums (M, R) as int8 numbers in the input's dtype, bit for bit those of `Requantising`.

    Backward the result counts as ``sum * scale / step + bias / step`` between the limits, and as
    constant beyond them.
    """

    @staticmethod
    def forward(
        ctx: Any, sums: Tensor, bias: Tensor, scale: Tensor, step: float, ending: Ending
    ) -> Tensor:
        """Return the numbers (M, R)."""
        half = 1 << (FRACTION_BITS - 1)
        found = sums.int().mul_(ending.multiplier[:, None]).add_(half)  # below 2**31
        found = (found >> FRACTION_BITS).add_(ending.addend[:, None]) >> ending.shift
        ctx.save_for_backward((found >= ending.least) & (found <= ending.most), scale)
        ctx.step = step
        return found.clamp_(ending.least, ending.most).to(sums.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        """Return the gradients of sums and bias."""
        inside, scale = ctx.saved_tensors
        passed = grad * inside / ctx.step
        return passed * scale[:, None].to(grad.dtype), passed.sum(1), None, None, None
