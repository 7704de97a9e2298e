"""Reads a PyTorch module, traced by torch.fx, as a `Graph` of exact layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn

from maddjit.integrations.networks.drawing import Drawing, Value
from maddjit.integrations.networks.folding import folded
from maddjit.integrations.networks.graph import Graph, Shape, UnsupportedLayerError
from maddjit.integrations.torch import network_functions as functions
from maddjit.integrations.torch.rewriting import Tracer, has_hooks
from maddjit.integrations.torch.rows import evaluating

_WRITING = frozenset({"iadd", "isub", "imul", "itruediv"})
"""Operators that write to their first argument."""


def graph_of(module: nn.Module, shape: Shape) -> Graph:
    """Return the exact graph of a module in evaluation mode, batch-norms and clamps folded.

    Parameters
    ----------
    module : nn.Module
        It takes images (N, C, H, W) and gives one tensor.
    shape : (C, H, W)
        The shape of an image.

    Raises
    ------
    UnsupportedLayerError
        If torch.fx cannot trace the module, or it has a layer that networks cannot have. The
        message names it.
    """
    return folded(drawn(module, shape))


def drawn(module: nn.Module, shape: Shape) -> Graph:
    """Return the graph of a module as it was traced; parameters and errors are as in `graph_of`."""
    if isinstance(module, torch.jit.ScriptModule):
        raise UnsupportedLayerError(
            f"{type(module).__name__}: modules of torch.jit cannot be traced, take the module that "
            "it was made from"
        )
    draw = Drawing(shape)
    with evaluating(module):
        holder = nn.Sequential(module) if Tracer(_is_leaf).is_leaf_module(module, "") else module
        try:
            graph = Tracer(_is_leaf).trace(holder)
        except (fx.proxy.TraceError, TypeError, ValueError, RuntimeError, LookupError) as error:
            raise UnsupportedLayerError(
                f"torch.fx cannot trace {type(module).__name__}, whose forward may decide by "
                f"values: {error}"
            ) from error
        found: dict[fx.Node, Any] = {}
        for node in graph.nodes:
            if node.op == "output":
                draw.name = "output"
                return draw.finish(_given(node.args, found)[0])
            draw.name = _name_of(node)
            found[node] = _result(draw, holder, node, found)
            if _writes(holder, node):
                _overwrite(found, node.args[0], found[node])
    raise AssertionError("a traced graph has an output")


def _is_leaf(module: Any) -> bool:
    return False


def _name_of(node: Any) -> str:
    """Return what errors and reports call a node."""
    if node.op == "call_module":
        return str(node.target)
    return str(node.name)


def _given(arguments: Any, found: dict[fx.Node, Any]) -> Any:
    """Return arguments with the results of nodes in their places."""
    return fx.node.map_arg(arguments, found.__getitem__)


def _result(draw: Drawing, module: Any, node: Any, found: dict[fx.Node, Any]) -> Any:
    """Return the result of a node, and draw what it adds."""
    if node.op == "placeholder":
        if draw.image not in found.values():
            return draw.image
        if node.args:
            return node.args[0]
        raise draw.refuse("a network has one input, the images")
    if node.op == "get_attr":
        owner, _, name = node.target.rpartition(".")
        return getattr(module.get_submodule(owner), name)
    args, kwargs = _given(node.args, found), _given(node.kwargs, found)
    if node.op == "call_module":
        layer = module.get_submodule(node.target)
        function = _of_module(layer)
        told = f"a layer of class {type(layer).__name__}"
        if has_hooks(layer):
            raise draw.refuse("layers with hooks are not supported")
        args = (layer, *args)
    else:
        kinds: dict[Any, Any] = (
            functions.METHODS if node.op == "call_method" else (functions.FUNCTIONS)
        )
        function = kinds.get(node.target)
        told = str(getattr(node.target, "__name__", node.target))
        if not any(isinstance(each, Value) for each in _flat(args, kwargs)):
            function, args = _of_constants, (node, *args)
    if function is None:
        raise draw.refuse(f"{told} is not supported")
    try:
        return function(draw, *args, **kwargs)
    except TypeError as error:
        raise draw.refuse(f"{told} is called in a way that is not supported: {error}") from error


def _flat(args: Any, kwargs: Any) -> list[Any]:
    """Return arguments, and those in lists among them."""
    found: list[Any] = []
    fx.node.map_aggregate((args, kwargs), found.append)
    return found


def _of_constants(draw: Drawing, node: Any, *args: Any, **kwargs: Any) -> Any:
    """Return what a function gives for constants. The number of images is none: a TypeError."""
    if node.op == "call_method":
        return getattr(args[0], node.target)(*args[1:], **kwargs)
    return node.target(*args, **kwargs)


def _writes(module: Any, node: Any) -> bool:
    """Tell whether a node writes to its first argument."""
    if not (node.args and isinstance(node.args[0], fx.Node)):
        return False
    if node.op == "call_module":
        return bool(getattr(module.get_submodule(node.target), "inplace", False))
    name = str(getattr(node.target, "__name__", node.target))
    return name.endswith("_") or name in _WRITING or bool(node.kwargs.get("inplace", False))


def _overwrite(found: dict[fx.Node, Any], written: fx.Node, result: Any) -> None:
    """Let all names of a tensor that was written to stand for what it is now."""
    old = found[written]
    if not isinstance(old, Value) or not isinstance(result, Value):
        return
    for node, value in found.items():
        if isinstance(value, Value) and (value.node, value.memory) == (old.node, old.memory):
            found[node] = replace(value, node=result.node)


def _of_module(layer: Any) -> Callable[..., Any] | None:
    """Return what draws a layer of PyTorch; None if nothing does."""
    if "forward" in vars(layer):
        return None
    for kind, function in _MODULES.items():
        if isinstance(layer, kind) and type(layer).forward is kind.forward:
            return function
    return None


def _convolution(draw: Drawing, layer: Any, x: Any) -> Value:
    if layer.padding_mode != "zeros":
        raise draw.refuse(f"padding_mode={layer.padding_mode!r} is not supported")
    own = layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups
    return functions.convolution(draw, x, *own)


def _batch_norm(draw: Drawing, layer: Any, x: Any) -> Value:
    own = layer.running_mean, layer.running_var, layer.weight, layer.bias
    return functions.batch_norm(draw, x, *own, eps=layer.eps)


def _max_pool(draw: Drawing, layer: Any, x: Any) -> Value:
    own = layer.kernel_size, layer.stride, layer.padding, layer.dilation
    return functions.max_pool(draw, x, *own, layer.ceil_mode, layer.return_indices)


def _average_pool(draw: Drawing, layer: Any, x: Any) -> Value:
    own = layer.kernel_size, layer.stride, layer.padding
    rest = layer.ceil_mode, layer.count_include_pad, layer.divisor_override
    return functions.average_pool(draw, x, *own, *rest)


def _identity(draw: Drawing, layer: Any, x: Any) -> Any:
    return x


def _pad(draw: Drawing, layer: Any, x: Any) -> Value:
    return functions.pad(draw, x, layer.padding)


_MODULES: dict[Any, Callable[..., Any]] = {
    nn.Conv2d: _convolution,
    nn.Linear: lambda draw, layer, x: functions.linear(draw, x, layer.weight, layer.bias),
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm1d: _batch_norm,
    nn.ReLU: lambda draw, layer, x: draw.clamp(x, 0.0, math.inf),
    nn.Hardtanh: lambda draw, layer, x: draw.clamp(x, layer.min_val, layer.max_val),
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _average_pool,
    nn.AdaptiveAvgPool2d: lambda draw, layer, x: functions.adaptive_average_pool(
        draw, x, layer.output_size
    ),
    nn.ZeroPad2d: _pad,
    nn.Flatten: lambda draw, layer, x: functions.flatten(draw, x, layer.start_dim, layer.end_dim),
    nn.Identity: _identity,
    nn.Dropout: _identity,
    nn.Dropout2d: _identity,
}
"""Layers of PyTorch, subclasses after what they are derived from if they differ."""
