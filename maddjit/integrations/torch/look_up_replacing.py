"""`with_look_ups`: from a trained sequence of layers to one whose convolutions are looked up."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maddjit.integrations.torch.look_up_convolution import LookUpConv2d
from maddjit.integrations.torch.look_up_network import LookUpNetwork, PlanePool
from maddjit.integrations.torch.look_up_regression import regress
from maddjit.integrations.torch.plane_modules import ExactConv2d, ExactLinear, Scale
from maddjit.learning.convolution import fit_convolution
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.window import Window

logger = logging.getLogger(__name__)

TOGETHER = 256
"""Images that a layer takes at once."""

WIDTH = 1.2
"""The first temperature of a layer, in standard deviations of the numbers that it compares."""

EXPRESSED = 0.9
"""The share of outputs whose tables need no entries raised; steps of outputs are as large."""

UNLIMITED = 1e30
"""A step that stands for no limit."""


@dataclass(frozen=True)
class Unit:
    """A layer of the given network with what follows it at once.

    Attributes
    ----------
    name : str
    layer : nn.Module
        Conv2d, Linear or MaxPool2d.
    window : Window
    relu : bool
    is_last : bool
    """

    name: str
    layer: nn.Module
    window: Window
    relu: bool
    is_last: bool


def units_of(module: nn.Sequential, input_shape: tuple[int, int, int]) -> list[Unit]:
    """Return the layers of a sequence.

    Raises
    ------
    ValueError
        If there is a layer of another kind, or an option that is not known.
    """
    units: list[Unit] = []
    shape = input_shape
    parts = list(module.named_children())
    for place, (name, layer) in enumerate(parts):
        if isinstance(layer, nn.ReLU | nn.Flatten | nn.Identity):
            continue
        relu = place + 1 < len(parts) and isinstance(parts[place + 1][1], nn.ReLU)
        if isinstance(layer, nn.Conv2d):
            if layer.groups != 1 or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
                raise ValueError(f"{name}: groups, padding by words or by copies are not known")
            down, across = layer.padding
            window = Window(
                layer.kernel_size, layer.stride, (down, down, across, across), layer.dilation
            )
            channels = layer.out_channels
        elif isinstance(layer, nn.MaxPool2d):
            pair = _pair(layer.padding)
            if _pair(layer.dilation) != (1, 1) or layer.ceil_mode:
                raise ValueError(f"{name}: pooling with dilation or ceil_mode is not known")
            window = Window(
                _pair(layer.kernel_size),
                _pair(layer.stride),
                (pair[0], pair[0], pair[1], pair[1]),
            )
            channels = shape[0]
        elif isinstance(layer, nn.Linear):
            window, channels = Window(shape[1:]), layer.out_features
            if layer.in_features != shape[0] * shape[1] * shape[2]:
                raise ValueError(f"{name}: {layer.in_features} columns for planes of {shape}")
        else:
            raise ValueError(f"{name}: {type(layer).__name__} is not known in such networks")
        shape = (channels, *window.output_size(*shape[1:]))
        units.append(Unit(name, layer, window, relu, False))
    last = units[-1]
    if not isinstance(last.layer, nn.Linear) or last.relu:
        raise ValueError("the last layer must be linear")
    return [*units[:-1], Unit(last.name, last.layer, last.window, False, True)]


def with_look_ups(
    module: nn.Sequential,
    images: Tensor,
    codebooks: Mapping[str, int],
    *,
    image_scale: Scale | None = None,
    byte_group: int = 1,
    n_patches: int = 30000,
    quantile: float = 0.9995,
    random_state: int = 0,
    precision: torch.dtype | None = None,
    **options: Any,
) -> LookUpNetwork:
    """Return a network over int8 planes in which some convolutions are looked up, not yet trained.

    Layers are replaced from first to last. Trees are learned on the planes that the layers before
    give, replaced as they are. Tables are regressed on the outputs of the given network.

    Parameters
    ----------
    module : nn.Sequential
        Conv2d, ReLU, MaxPool2d, Flatten and Linear, the last one linear. Fold batch-norm first.
    images : (N, C, H, W) tensor
        Images like those to come, of floating point.
    codebooks : mapping of str to int
        How many codebooks each layer has, by its name in the sequence. Other convolutions and all
        linear layers are exact in 8 bits.
    image_scale : Scale, optional
        How images are quantised; by default from 0 to 1 in steps of 1/255.
    byte_group : int
        As `LookUpConv2d` has it.
    n_patches : int
        The patches to learn from, at most.
    quantile : float
        The share of the outputs after ReLU, 0 not counted, that are not cut off at 127.
    random_state : int
    precision : torch.dtype, optional
        As `LookUpConv2d` has it.
    **options
        As for `maddjit.fit`.

    Returns
    -------
    LookUpNetwork
    """
    units = units_of(module, tuple(images.shape[1:]))
    known = {unit.name for unit in units if isinstance(unit.layer, nn.Conv2d)}
    if unknown := set(codebooks) - known:
        raise ValueError(f"no convolution has the name {', '.join(sorted(unknown))}")
    rng = np.random.default_rng(random_state)
    fitting = _Fitting(byte_group, n_patches, quantile, rng, precision, options)
    student = LookUpNetwork([], image_scale or Scale(1 / 255, -128), [])
    fitting.replace_all(units, student, images, codebooks)
    return student


@dataclass(frozen=True)
class _Fitting:
    """How layers are replaced: the options of `with_look_ups`."""

    byte_group: int
    n_patches: int
    quantile: float
    rng: np.random.Generator
    precision: torch.dtype | None
    options: dict[str, Any]

    @torch.no_grad()
    def replace_all(
        self,
        units: list[Unit],
        student: LookUpNetwork,
        images: Tensor,
        codebooks: Mapping[str, int],
    ) -> None:
        """Add a layer to the student for each unit."""
        exact, q, scale = images, student.quantised(images), student.images
        for unit in units:
            layer: Any
            if isinstance(unit.layer, nn.MaxPool2d):
                layer, exact = PlanePool(unit.window), unit.layer(exact)
            elif unit.is_last:
                layer = ExactLinear(*_parameters(unit.layer), scale)
            else:
                layer, exact = self.replaced(unit, exact, q, scale, codebooks.get(unit.name, 0))
                scale = layer.output
            if not unit.is_last:
                q = torch.cat([layer(part) for part in q.split(TOGETHER)])
            student.layers.append(layer)
            student.names.append(unit.name)
            logger.info("%s: %s", unit.name, layer)

    def replaced(
        self, unit: Unit, exact: Tensor, q: Tensor, input: Scale, n_codebooks: int
    ) -> tuple[LookUpConv2d | ExactConv2d, Tensor]:
        """Return a layer over int8 planes, and the exact outputs of the given layer.

        Parameters
        ----------
        unit : Unit
        exact, q : (N, C, H, W) tensors
            The inputs of the given layer, and the planes that the new layer takes.
        input : Scale
            What the planes stand for.
        n_codebooks : int
            0 for an exact layer.
        """
        weight, bias = _parameters(unit.layer)
        weight = weight.reshape(len(weight), exact.shape[1], *unit.window.kernel)
        top, bottom, left, right = unit.window.padding
        padded = nn.functional.pad(exact, (left, right, top, bottom))
        wanted = nn.functional.conv2d(
            padded, weight, bias, unit.window.stride, dilation=unit.window.dilation
        )
        after = wanted.clamp(min=0) if unit.relu else wanted
        output = _scale_of(after, unit.relu, self.quantile)
        if not n_codebooks:
            layer = ExactConv2d(weight, bias, unit.window, input, output, relu=unit.relu)
            return layer, after
        looked_up = LookUpConv2d(
            self._fitted(unit.window, weight, bias, q, input, n_codebooks),
            input,
            Scale(UNLIMITED, 0),
            relu=unit.relu,
            byte_group=self.byte_group,
            temperature=max(1.0, WIDTH * float(q[:TOGETHER].std())),
            precision=self.precision,
        )
        regress(looked_up, q, wanted, self.n_patches, self.rng)
        step = max(output.step, float(looked_up.scales().quantile(EXPRESSED)) * (1 + 2**-10))
        looked_up.output = Scale(step, output.zero_point)
        looked_up.project()
        return looked_up, after

    def _fitted(
        self, window: Window, weight: Tensor, bias: Tensor, q: Tensor, input: Scale, count: int
    ) -> ConvolutionModel:
        """Return trees and tables for planes q as they are stored."""
        weight = weight * input.step
        bias = bias - input.zero_point * weight.flatten(1).sum(1)
        return fit_convolution(
            q.to(torch.int8).contiguous().numpy(),
            weight.numpy(),
            count,
            stride=window.stride,
            padding=window.padding,
            dilation=window.dilation,
            bias=bias.numpy(),
            fill=input.zero_point,
            n_patches=self.n_patches,
            random_state=int(self.rng.integers(2**31)),
            **self.options,
        )


def _parameters(layer: Any) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a layer; zeros if it has no bias."""
    weight = layer.weight.detach()
    return weight, torch.zeros(len(weight)) if layer.bias is None else layer.bias.detach()


def _scale_of(outputs: Tensor, relu: bool, quantile: float) -> Scale:
    """Return the scale of outputs of which some may be cut off."""
    sizes = outputs.abs().flatten()
    sizes = sizes[sizes > 0]
    count = max(1, int(len(sizes) * (1 - quantile)))
    largest = float(sizes.topk(count).values[-1]) if len(sizes) else 1.0
    return Scale.up_to(largest) if relu else Scale(largest / 127, 0)


def _pair(given: int | tuple[int, int]) -> tuple[int, int]:
    return (given, given) if isinstance(given, int) else (given[0], given[1])
