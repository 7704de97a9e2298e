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
from maddjit.integrations.torch.look_up_trees import codes_of
from maddjit.integrations.torch.plane_modules import ExactConv2d, ExactLinear, Scale
from maddjit.learning.convolution import fit_convolution
from maddjit.models.window import Window

logger = logging.getLogger(__name__)


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
    rng = np.random.default_rng(random_state)
    scale = image_scale or Scale(1 / 255, -128)
    student = LookUpNetwork([], scale, [])
    with torch.no_grad():
        exact, q = images, student.quantised(images)
        for unit in units_of(module, tuple(images.shape[1:])):
            layer: nn.Module
            if isinstance(unit.layer, nn.MaxPool2d):
                layer, exact = PlanePool(unit.window), unit.layer(exact)
            elif unit.is_last:
                layer = ExactLinear(unit.layer.weight, unit.layer.bias, scale)
            else:
                weight = unit.layer.weight.reshape(
                    len(unit.layer.weight), exact.shape[1], *unit.window.kernel
                )
                down, across = unit.window.stride
                top, bottom, left, right = unit.window.padding
                padded = nn.functional.pad(exact, (left, right, top, bottom))
                exact = nn.functional.conv2d(
                    padded, weight, unit.layer.bias, (down, across), dilation=unit.window.dilation
                )
                after = exact.clamp(min=0) if unit.relu else exact
                output = _scale_of(after, unit.relu, quantile)
                if count := codebooks.get(unit.name):
                    layer = _looked_up(
                        unit,
                        weight,
                        q,
                        exact,
                        scale,
                        output,
                        count,
                        n_patches,
                        byte_group,
                        rng,
                        options,
                    )
                    layer.precision = precision
                    layer.temperature.fill_(0.3 * float(q[:256].std()))
                else:
                    layer = ExactConv2d(
                        weight, unit.layer.bias, unit.window, scale, output, relu=unit.relu
                    )
                exact, scale = after, layer.output
            q = layer(q) if unit.is_last else torch.cat([layer(part) for part in q.split(256)])
            student.layers.append(layer)
            student.names.append(unit.name)
            logger.info("%s: %s", unit.name, layer)
    return student


def _scale_of(outputs: Tensor, relu: bool, quantile: float) -> Scale:
    """Return the scale of outputs of which some may be cut off."""
    sizes = outputs.abs().flatten()
    sizes = sizes[sizes > 0]
    count = max(1, int(len(sizes) * (1 - quantile)))
    largest = float(sizes.topk(count).values[-1]) if len(sizes) else 1.0
    return Scale.up_to(largest) if relu else Scale(largest / 127, 0)


def _looked_up(
    unit: Unit,
    weight: Tensor,
    q: Tensor,
    exact: Tensor,
    input: Scale,
    output: Scale,
    count: int,
    n_patches: int,
    byte_group: int,
    rng: np.random.Generator,
    options: dict[str, Any],
) -> LookUpConv2d:
    """Return a layer with trees that are fitted, and tables that are regressed on `exact`."""
    unit_weight = weight * input.step
    bias = unit.layer.bias - input.zero_point * unit_weight.flatten(1).sum(1)
    planes = q.to(torch.int8).contiguous().numpy()
    window = unit.window
    model = fit_convolution(
        planes,
        unit_weight.numpy(),
        count,
        stride=window.stride,
        padding=window.padding,
        dilation=window.dilation,
        bias=bias.numpy(),
        fill=input.zero_point,
        n_patches=n_patches,
        random_state=int(rng.integers(2**31)),
        **options,
    )
    layer = LookUpConv2d(model, input, output, relu=unit.relu, byte_group=byte_group)
    regress(layer, q, exact, n_patches, rng)
    span = layer.tables.detach().amax(1) - layer.tables.detach().amin(1)
    layer.output = Scale(float("inf"), 0)
    needed, _ = layer._fit(span)
    layer.output = Scale(max(output.step, 1.001 * float(needed.quantile(0.9))), output.zero_point)
    logger.info(
        "%s: step %.5f, tables need %s",
        unit.name,
        output.step,
        needed.quantile(torch.tensor([0.5, 0.9, 1.0])),
    )
    layer.project()
    return layer


def regress(
    layer: LookUpConv2d,
    q: Tensor,
    exact: Tensor,
    n_patches: int,
    rng: np.random.Generator,
    penalty: float = 3.0,
) -> None:
    """Set tables and bias so that outputs for planes q come close to `exact` in the mean square."""
    n_codebooks, n_leaves, n_outputs = layer.tables.shape
    per_image = exact.shape[2] * exact.shape[3]
    images = rng.permutation(len(q))[: max(1, 8 * n_patches // per_image)]
    some = max(1, per_image * len(images) // n_patches)
    size = n_codebooks * n_leaves
    gram = torch.zeros(size, size, dtype=torch.float64)
    right = torch.zeros(size, n_outputs, dtype=torch.float64)
    cuts = layer._cuts(layer._marks())
    start = layer.tables.detach()
    mean = torch.zeros(n_outputs, dtype=torch.float64)
    parts = []
    for chunk in np.array_split(images, -(-len(images) // 64)):
        x = q[torch.from_numpy(chunk)]
        taps = layer._taps(x)
        rows = torch.from_numpy(rng.permutation(taps.shape[2])[::some])
        codes = codes_of(taps[:, :, rows], cuts)
        target = exact[torch.from_numpy(chunk)].permute(1, 2, 3, 0).flatten(1)[:, rows]
        parts.append((codes, target))
    n_rows = sum(target.shape[1] for _, target in parts)
    mean = sum(target.double().sum(1) for _, target in parts) / n_rows  # type: ignore[assignment]
    shares = torch.zeros(size, dtype=torch.float64)
    for codes, target in parts:
        chosen = torch.zeros(n_codebooks, n_leaves, codes.shape[1])
        chosen.scatter_(1, codes[:, None].long(), 1)
        flat = chosen.flatten(0, 1)
        shares += flat.sum(1).double()
        gram += (flat @ flat.T).double()
        right += (flat @ (target.T - mean.float())).double()
    shares /= n_rows
    gram -= n_rows * torch.outer(shares, shares)  # one-hot vectors about their means
    begin = start.flatten(0, 1).double()
    right -= torch.zeros(1)  # targets are centred already
    gram.diagonal().add_(penalty)
    tables = torch.linalg.solve(gram, right + penalty * begin)
    layer.tables.data.copy_(tables.view(n_codebooks, n_leaves, n_outputs))
    layer.bias.data.copy_(mean - (shares[:, None] * tables).sum(0))


def _pair(given: int | tuple[int, int]) -> tuple[int, int]:
    return (given, given) if isinstance(given, int) else (given[0], given[1])
