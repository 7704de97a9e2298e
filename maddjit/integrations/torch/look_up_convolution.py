"""`LookUpConv2d`: a convolution by look-ups over int8 planes, whose trees and tables train."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from maddjit.arrays.epilogue import Epilogue
from maddjit.integrations.torch.look_up_planes import Ending, Requantised, Taps, ending_of
from maddjit.integrations.torch.look_up_trees import LookUpSums
from maddjit.integrations.torch.plane_modules import Scale, of_planes, to_planes
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.encoders import HashTrees
from maddjit.models.maddness import MaddnessModel
from maddjit.models.window import Window


class LookUpConv2d(nn.Module):
    """A convolution by look-ups, with gradients for thresholds, tables, bias and inputs.

    Planes go in and out as whole numbers from −128 to 127 in a tensor of floating point. In
    training and in evaluation the outputs are the same: bit for bit those of
    ``maddjit.convolution_reference.convolve(layer.model, q, layer.epilogue, layer.fill)``.
    `LookUpSums` says how gradients pass through decisions and through the rounding of entries, and
    `Requantised` how they pass through that of outputs.

    Parameters
    ----------
    model : ConvolutionModel
        Where trees and tables start. It has one group, and its thresholds and tables are about int8
        numbers as they are stored.
    input, output : Scale
        What the numbers of the planes stand for.
    relu : bool
        Whether outputs below 0 become 0.
    byte_group : int
        How many neighbouring codebooks have entries that add up to 255 at most, as in
        `maddjit.fit`. A larger group is faster and coarser.
    temperature : float
        τ, in units of the input's numbers.
    precision : torch.dtype, optional
        The type of the products in the backward pass; by default that of the tables. bfloat16 is
        faster on some processors.

    Attributes
    ----------
    thresholds : (C, K − 1) parameter
        In units of what the input's numbers stand for.
    tables : (C, K, M) parameter
    bias : (M,) parameter
        Both in units of what the output's numbers stand for.
    split_dims : (C, T) int64 buffer
    temperature : () buffer

    Raises
    ------
    ValueError
        If the model has several groups, an exact core or sums by averages.
    """

    split_dims: Tensor
    temperature: Tensor

    def __init__(
        self,
        model: ConvolutionModel,
        input: Scale,
        output: Scale,
        *,
        relu: bool = True,
        byte_group: int = 1,
        temperature: float = 8.0,
        precision: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        product = model.products[0]
        if model.groups > 1 or product.core is not None or product.accumulate != "exact":
            raise ValueError(
                "a layer that trains has one group, no exact core, and sums that are exact"
            )
        self.input, self.output, self.relu = input, output, relu
        self.window, self.in_channels = model.window, model.n_channels
        self.byte_group, self.precision = byte_group, precision
        tables = torch.from_numpy(product.tables * product.scale.astype(np.float64))
        low = tables.mean(1)
        cuts = torch.from_numpy(product.thresholds.astype(np.float64)).clamp(-128, 128)
        self.thresholds = nn.Parameter(((cuts - input.zero_point) * input.step).float())
        self.tables = nn.Parameter((tables - low[:, None]).float())
        self.bias = nn.Parameter((torch.tensor(product.offset) + low.sum(0)).float())
        self.register_buffer("split_dims", torch.tensor(product.split_dims).long())
        self.register_buffer("temperature", torch.tensor(float(temperature)))
        self._places: dict[Any, Tensor] = {}

    @property
    def fill(self) -> int:
        """What stands outside of the planes."""
        return self.input.zero_point

    @property
    def epilogue(self) -> Epilogue:
        """How sums end."""
        low = 0.0 if self.relu else -np.inf
        step, zero_point = self.output.step, self.output.zero_point
        return Epilogue("int8", low, step=step, zero_point=zero_point, arithmetic="integer")

    @property
    def model(self) -> ConvolutionModel:
        """Trees and tables as they are now, rounded."""
        levels, scale, offset = self._levels()
        product = MaddnessModel(
            HashTrees(
                self.split_dims.cpu().numpy(),
                self.cuts().float().cpu().numpy(),
                self.in_channels * self.window.n_taps,
            ),
            levels.detach().round().to(torch.uint8).cpu().numpy(),
            scale.cpu().numpy(),
            offset.detach().cpu().numpy(),
        )
        return ConvolutionModel((product,), self.window)

    def forward(self, x: Tensor) -> Tensor:
        """Return planes (N, M, Ho, Wo) for planes (N, C, H, W)."""
        rows, columns = self.window.output_size(*x.shape[2:])
        sums, scale, offset, levels = self._sums(x)
        y = Requantised.apply(
            sums, self.bias, scale, self.output.step, self._ending(levels, scale, offset)
        )
        return of_planes(y.view(-1, rows, columns, len(x)))

    def outputs(self, x: Tensor) -> Tensor:
        """Return what stands before rounding, clamps and ReLU, (N, M, Ho, Wo), with gradients."""
        rows, columns = self.window.output_size(*x.shape[2:])
        sums, scale, offset, _ = self._sums(x)
        y = sums * scale[:, None].to(sums) + offset[:, None].to(sums)
        return of_planes(y.view(-1, rows, columns, len(x)))

    def _sums(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return sums (M, Ho · Wo · N), scale, offset and levels."""
        taps = self.taps(x)
        levels, scale, offset = self._levels()
        marks, cuts = self._marks(), self.cuts()
        sums = LookUpSums.apply(taps, marks, cuts, levels, self.temperature, self.precision)
        return sums, scale, offset, levels

    def taps(self, x: Tensor) -> Tensor:
        """Return what each level of each tree compares, (C, T, Ho · Wo · N)."""
        top, bottom, left, right = self.window.padding
        sides = (0, 0, left, right, top, bottom)
        padded = functional.pad(to_planes(x), sides, value=self.fill)
        return Taps.apply(padded.flatten(0, 2), self._index(x))

    def _marks(self) -> Tensor:
        """Return thresholds in units of the input's numbers."""
        return self.thresholds / self.input.step + self.input.zero_point

    def cuts(self) -> Tensor:
        """Return the whole numbers from −128 to 128 that decide as the thresholds do."""
        return self._marks().detach().ceil().clamp(-128, 128)

    def scales(self) -> Tensor:
        """Return what a unit of each output's sums stands for, (M,) float32."""
        own = self.tables.detach()
        return self._fit(own.amax(1) - own.amin(1))[0]

    def _levels(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return entries before they are rounded, (C, K, M), and scale and offset in float32."""
        own = self.tables.detach()
        high, low = own.amax(1), own.amin(1)
        scale, share = self._fit(high - low)
        low = torch.maximum(low, high - share)
        levels = (self.tables - low[:, None]) / scale.to(own)
        outside = levels.detach().clamp(min=0) - levels.detach()
        return levels + outside, scale, (self.bias + low.sum(0)).float()

    def _fit(self, span: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scale (M,) of entries with ranges (C, M), and the ranges that they may have.

        Entries of neighbouring codebooks must add up to 255 at most, and no unit of the sums may be
        above one of the outputs, which `Requantising` could not express. Where both cannot be, the
        lowest entries are raised.
        """
        n_codebooks, group = len(span), self.byte_group
        room = 255 - (group / 2 if group > 1 else 0)  # rounding adds a half to each
        padded = functional.pad(span, (0, 0, 0, -n_codebooks % group)).unflatten(0, (-1, group))
        whole = padded.sum(1)
        scale = (whole.amax(0) / room).float().clamp(max=self.output.step * (1 - 2**-12))
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        factor = (scale.to(span) * room / whole.clamp(min=1e-30)).clamp(max=1)
        return scale, span * factor.repeat_interleave(group, 0)[:n_codebooks]

    @torch.no_grad()
    def project(self) -> None:
        """Raise table entries that are too low to be expressed to the least that can be."""
        high = self.tables.amax(1)
        _, share = self._fit(high - self.tables.amin(1))
        self.tables.copy_(torch.maximum(self.tables, (high - share)[:, None]))

    def _ending(self, levels: Tensor, scale: Tensor, offset: Tensor) -> Ending:
        largest = int(levels.detach().amax(1).round().sum(0).max())
        step, zero_point = self.output.step, self.output.zero_point
        least = zero_point if self.relu else -128
        return ending_of(scale, offset.detach(), largest, step, zero_point, least)

    def _index(self, x: Tensor) -> Tensor:
        """Return where each tap of each output lies in padded planes, (C, T, Ho · Wo)."""
        key = (*x.shape[2:], x.device)
        if key not in self._places:
            top, bottom, left, right = self.window.padding
            height, width = x.shape[2] + top + bottom, x.shape[3] + left + right
            numbers = np.arange(self.in_channels * height * width)
            inner = Window(self.window.kernel, self.window.stride, (0,) * 4, self.window.dilation)
            patches = inner.patches(numbers.reshape(1, -1, height, width))  # (Ho · Wo, D)
            places = torch.from_numpy(patches.T.copy()).to(x.device)
            self._places = {key: places[self.split_dims]}
        return self._places[key]

    def extra_repr(self) -> str:
        """Return the sizes for the text of a model."""
        n_codebooks, n_leaves, n_outputs = self.tables.shape
        sizes = f"{self.in_channels}, {n_outputs}, {self.window}"
        return f"{sizes}, codebooks={n_codebooks}, prototypes={n_leaves}"
