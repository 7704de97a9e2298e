"""`compile_layers`: from a trained PyTorch module to one with compiled layers, for inference."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from torch import nn

from maddjit.arrays.formats import Precision
from maddjit.integrations.torch.compiled_tiles import (
    CompiledStrassenTile,
    CompiledStrassenTileConv1x1,
)
from maddjit.integrations.torch.fusing import compiled_in, fuse_graphs
from maddjit.integrations.torch.layers import refuse_compiled
from maddjit.integrations.torch.places import Places, take_over
from maddjit.integrations.torch.strassen_tile_convolution import StrassenTileConv1x1
from maddjit.integrations.torch.strassen_tile_layer import StrassenTileLayer
from maddjit.integrations.torch.tile_ops import Ending

_TRAINED = frozenset({"encode", "values", "decode", "weight", "encode_weight", "bias"})
"""The parameters of Strassen-Tile layers."""


@dataclass(frozen=True)
class CompiledLayers:
    """What `compile_layers` made; ``print(compiled)`` shows what each layer does.

    Attributes
    ----------
    module : nn.Module
        The module for inference.
    layers : dict of str to Ending
        By the names of the layers in `module`: the precision, and what is fused beside the bias.
    """

    module: Any
    layers: dict[str, Ending]

    def __str__(self) -> str:
        width = max(len(name) for name in self.layers)
        return "\n".join(
            f"{name:{width}}  {ending}".strip() for name, ending in self.layers.items()
        )


def compile_layers(
    module: nn.Module, *, precision: Precision = "float32", fuse: bool = True
) -> CompiledLayers:
    """Return a copy of a module, for inference, whose Strassen-Tile layers are compiled.

    The module itself is not changed. The copy is in evaluation mode, on the CPU, and shares no
    memory with the module, so training goes on without it. Compiled layers refuse training mode,
    and a backward pass through them raises an error. They take as many threads as PyTorch does.
    Outputs are within `maddjit.tile_reference.error_bound` of the layer's own, and those of a
    sequence do not depend on the batch, bit for bit. Everything else is run by PyTorch as before.

    With `fuse` the layers also do what follows them, if nothing else uses their outputs: clamps
    (ReLU, ReLU6, Hardtanh, `torch.clamp` by numbers), and before that a sum with another tensor.
    Modules are traced by `torch.fx`, and those in which something can be fused get a subclass of
    their class with another forward, made for evaluation. Other calls of their layers, and parts of
    an nn.Sequential, do what they did before. Modules stay as they are if they cannot be traced: if
    their forward decides by values, creates tensors, draws random numbers, sets attributes, or has
    arguments with defaults. What torch.fx cannot see is taken as in the trace: decisions by the
    type of an input, and global state.

    Parameters
    ----------
    module : nn.Module
        A module with Strassen-Tile layers, or such a layer, on the CPU and not compiled by
        `torch.compile`, which can be applied afterwards.
    precision : {"float32", "bfloat16"}
        What layers multiply in. bfloat16 needs a CPU with avx512bf16.
    fuse : bool
        Whether what follows a layer is fused into it.

    Returns
    -------
    CompiledLayers
        With the copy as `module`.

    Raises
    ------
    TargetError
        If this machine has no products of bfloat16 and they are asked for.
    TypeError
        If a layer is not on the CPU.
    ValueError
        If there is no Strassen-Tile layer, or a part of the module is compiled by torch.compile.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from maddjit.integrations.torch import StrassenTileLinear, compile_layers
    >>> layers = StrassenTileLinear(32, 64), nn.ReLU(), StrassenTileLinear(64, 32)
    >>> compiled = compile_layers(nn.Sequential(*layers))
    >>> print(compiled)
    0  float32, clamped to [0, inf]
    2  float32
    >>> compiled.module(torch.randn(2, 10, 32)).shape
    torch.Size([2, 10, 32])
    """
    refuse_compiled(module)
    found = {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, StrassenTileLayer)
    }
    if not found:
        raise ValueError("the module has no Strassen-Tile layer: call maddjit.torch.convert first")
    for name, layer in found.items():
        if layer.encode.device.type != "cpu":
            raise TypeError(
                f"{name or 'the layer'} must be on the CPU, not on {layer.encode.device}: move a "
                "copy of the module there"
            )
    holder = nn.Sequential(copy.deepcopy(module))
    layers = [each for each in holder.modules() if isinstance(each, StrassenTileLayer)]
    Places(holder, layers).put({layer: _compiled(layer, precision) for layer in layers})
    holder.eval()
    if fuse:
        fuse_graphs(holder[0])
    made = compiled_in(holder[0])
    for each in made.values():
        each.compile_operator()
    return CompiledLayers(holder[0], {name: each.ending for name, each in made.items()})


def _compiled(layer: Any, precision: Precision) -> CompiledStrassenTile:
    """Return the compiled layer that takes a layer's place, with its hooks and attributes."""
    ending = Ending(precision)
    made: CompiledStrassenTile
    if isinstance(layer, StrassenTileConv1x1):
        made = CompiledStrassenTileConv1x1(layer.fitted, ending, layer.stride)
    else:
        made = CompiledStrassenTile(layer.fitted, ending, layer.grid)
    take_over(layer, made, _TRAINED)
    return made
