"""Modules over int8 planes beside look-ups: exact convolutions, pooling, and the last layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from maddjit.arrays.epilogue import Epilogue
from maddjit.models.network import Dense, Exact
from maddjit.models.window import Window


@dataclass(frozen=True)
class Scale:
    """What int8 numbers q stand for: (q − zero_point) · step.

    Attributes
    ----------
    step : float
        Rounded to float32.
    zero_point : int
    """

    step: float
    zero_point: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "step", float(np.float32(self.step)))

    @classmethod
    def up_to(cls, largest: float) -> Scale:
        """Return the scale of numbers from 0 to `largest`."""
        return cls(largest / 255, -128)


def to_planes(x: Tensor) -> Tensor:
    """Return images (N, C, H, W) as (C, H, W, N), in one piece."""
    return x.permute(1, 2, 3, 0).contiguous()


def of_planes(y: Tensor) -> Tensor:
    """Return (M, H, W, N) as images (N, M, H, W), in the same memory."""
    return y.permute(3, 0, 1, 2)


class _Rounded(torch.autograd.Function):
    """Numbers rounded to nearest even and clamped; gradients pass between the limits."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, least: float, most: float) -> Tensor:
        whole = x.round()
        ctx.save_for_backward((whole >= least) & (whole <= most))
        return whole.clamp(least, most)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        (inside,) = ctx.saved_tensors
        return grad * inside, None, None


class _ExactLayer(nn.Module):
    """Weights that are rounded to int8 with a scale for each output, and a bias."""

    def __init__(self, weight: Tensor, bias: Tensor, input: Scale) -> None:
        super().__init__()
        self.input = input
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = nn.Parameter(bias.detach().clone())

    def _whole(self) -> tuple[Tensor, Tensor]:
        """Return whole weights, straight through, and the step of each output (M,) in float32."""
        flat = self.weight.detach().flatten(1)
        step = (flat.abs().amax(1) / 127).float()
        step = torch.where(step > 0, step, torch.ones_like(step))
        parts = step.to(flat).view(-1, *[1] * (self.weight.dim() - 1))
        return _Rounded.apply(self.weight / parts, -127, 127), step

    def _arrays(self) -> dict[str, Any]:
        whole, step = self._whole()
        return {
            "weights": whole.detach().to(torch.int8).cpu().numpy(),
            "scale": (step * self.input.step).cpu().numpy(),
            "offset": self.bias.detach().float().cpu().numpy(),
        }


class ExactConv2d(_ExactLayer):
    """An exact 8-bit convolution over int8 planes, with straight-through gradients.

    Its outputs are bit for bit those of the record `maddjit.models.network.Exact`.

    Parameters
    ----------
    weight : (M, C, kh, kw) tensor
    bias : (M,) tensor
    window : Window
    input, output : Scale
    relu : bool
        Whether outputs below 0 become 0.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        window: Window,
        input: Scale,
        output: Scale,
        *,
        relu: bool = True,
    ) -> None:
        super().__init__(weight, bias, input)
        self.window, self.output, self.relu = window, output, relu

    @property
    def epilogue(self) -> Epilogue:
        """How sums end."""
        low = 0.0 if self.relu else -np.inf
        return Epilogue("int8", low, step=self.output.step, zero_point=self.output.zero_point)

    @property
    def layer(self) -> Exact:
        """The layer as it is now, as a record."""
        return Exact(**self._arrays(), window=self.window, groups=1, epilogue=self.epilogue)

    def forward(self, x: Tensor) -> Tensor:
        """Return planes (N, M, Ho, Wo) for planes (N, C, H, W)."""
        y = self.outputs(x)
        step, zero_point = self.output.step, self.output.zero_point
        units = (
            y.float() * (np.float32(1) / np.float32(step)) if y.dtype != torch.float64 else y / step
        )
        least = 0 if self.relu else -128 - zero_point
        return _Rounded.apply(units, least, 127 - zero_point) + zero_point

    def outputs(self, x: Tensor) -> Tensor:
        """Return what stands before rounding, clamps and ReLU, (N, M, Ho, Wo), with gradients."""
        whole, step = self._whole()
        top, bottom, left, right = self.window.padding
        padded = functional.pad(x - self.input.zero_point, (left, right, top, bottom))
        sums = functional.conv2d(
            padded, whole, stride=self.window.stride, dilation=self.window.dilation
        )
        scale = (step * self.input.step).to(sums)
        return sums * scale[:, None, None] + self.bias[:, None, None]


class ExactLinear(_ExactLayer):
    """The last layer: exact 8-bit products of all numbers of the planes, and float32 outputs.

    Its outputs are bit for bit those of the record `maddjit.models.network.Dense`.

    Parameters
    ----------
    weight : (M, D) tensor
    bias : (M,) tensor
    input : Scale
    """

    @property
    def layer(self) -> Dense:
        """The layer as it is now, as a record."""
        return Dense(**self._arrays())

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs (N, M) for planes (N, C, H, W)."""
        whole, step = self._whole()
        sums = (x - self.input.zero_point).flatten(1) @ whole.T
        return sums * (step * self.input.step).to(sums) + self.bias
