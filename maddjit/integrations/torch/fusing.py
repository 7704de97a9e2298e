"""Fuse clamps and residual sums into the compiled layers of a PyTorch module before them."""

from __future__ import annotations

import math
import operator
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn

from maddjit.integrations.torch.compiled_tiles import CompiledStrassenTile
from maddjit.integrations.torch.rewriting import IN_PLACE, has_hooks, rewrite, traced

Limits = tuple[float, float]
"""The lowest and the highest output of a clamp."""

_RELUS = nn.functional.relu, nn.functional.relu_, torch.relu, torch.relu_, "relu", "relu_"
_CLAMPS = torch.clamp, torch.clip, torch.clamp_, torch.clip_, "clamp", "clip", "clamp_", "clip_"
_SUMS = operator.add, torch.add, "add"
_SUMS_IN_PLACE = operator.iadd, "add_"
"""Functions of PyTorch, and names of a tensor's methods."""


def fuse_graphs(model: nn.Module) -> None:
    """Fuse clamps and residual sums into compiled layers wherever torch.fx can trace, in place.

    Inner modules come first. A module in which something could be fused gets another forward.
    """
    _fuse_inside(model, _in_one_place(model), set())


def _in_one_place(model: nn.Module) -> set[int]:
    """Return the ids of the compiled layers that are in a single place of a model."""
    places = [
        id(child)
        for parent in model.modules()
        for child in parent._modules.values()
        if isinstance(child, CompiledStrassenTile)
    ]
    return {each for each in places if places.count(each) == 1}


def _is_open(layer: Any) -> bool:
    """Tell whether what follows a module can be fused into it."""
    return _is_compiled(layer) and not layer.ending.is_clamped and not has_hooks(layer)


def _is_identity(module: Any) -> bool:
    """Tell whether a module returns its input in evaluation mode."""
    return type(module) in (nn.Identity, nn.Dropout) and not has_hooks(module)


def _clamp(node: Any, layer: CompiledStrassenTile, limits: Limits) -> None:
    named = zip(("low", "high"), limits, strict=True)
    node.kwargs = {**node.kwargs, **{name: end for name, end in named if math.isfinite(end)}}
    layer.ending = replace(layer.ending, low=limits[0], high=limits[1])


def _module_limits(module: Any) -> Limits | None:
    """Return the limits that a module clamps to; None if it does something else."""
    if module is None or has_hooks(module) or "forward" in vars(module):
        return None
    if type(module) is nn.ReLU:
        return 0.0, math.inf
    if type(module) in (nn.ReLU6, nn.Hardtanh):
        return float(module.min_val), float(module.max_val)
    return None


def _fuse_inside(module: nn.Module, free: set[int], done: set[int]) -> None:
    """Fuse in a module what can be, inner modules first; `done` has the ids of those done."""
    if id(module) in done or _is_compiled(module) or not compiled_in(module):
        return
    done.add(id(module))
    for child in module.children():
        _fuse_inside(child, free, done)
    is_sequence = type(module).forward is nn.Sequential.forward
    for is_leaf in (_is_any, _is_compiled) if is_sequence else (_is_compiled,):
        graph = traced(module, is_leaf)
        if graph is not None and _fuse(module, graph, free):
            rewrite(module, graph)


def _is_any(module: Any) -> bool:
    """Tell of every module that it is not looked into: calls in a sequence can always be seen."""
    return True


def _is_compiled(module: Any) -> bool:
    return isinstance(module, CompiledStrassenTile)


def compiled_in(module: nn.Module) -> dict[str, CompiledStrassenTile]:
    """Return the compiled layers of a module by name."""
    return {
        name: each
        for name, each in module.named_modules()
        if isinstance(each, CompiledStrassenTile)
    }


def _fuse(module: nn.Module, graph: Any, free: set[int]) -> bool:
    """Fuse what can be fused in a graph, and return whether anything was."""
    called = [node for node in graph.nodes if node.op == "call_module"]
    layers = [module.get_submodule(node.target) for node in called]
    ids = [id(layer) for layer in layers]
    changed = False
    for node, layer in zip(called, layers, strict=True):
        if id(layer) in free and ids.count(id(layer)) == 1 and _is_open(layer):
            changed |= _fuse_behind(module, graph, node, layer)
    return changed


def _fuse_behind(module: nn.Module, graph: Any, node: Any, layer: Any) -> bool:
    """Fuse the sum and the clamp that are the only users of a layer's outputs; tell if any was."""
    last, after = _only_user(module, node)
    other = _other_term(after, last)
    is_sum = other is not None and not layer.ending.residual and _can_move(module, node, after)
    if is_sum:
        added = {"residual": other, "in_place": after.target in _SUMS_IN_PLACE}
        with graph.inserting_before(after):
            node = graph.call_module(node.target, node.args, {**node.kwargs, **added})
        _take_place(graph, node, after)
        layer.ending = replace(layer.ending, residual=True)
        last, after = _only_user(module, node)
    limits = _limits(module, after, last)
    if limits is not None:
        _take_place(graph, node, after)
        _clamp(node, layer, limits)
    return is_sum or limits is not None


def _take_place(graph: Any, node: Any, old: Any) -> None:
    """Let a node take the place of another, and remove what only that one used."""
    old.replace_all_uses_with(node)
    unused = [old]
    while unused:
        each = unused.pop()
        if not each.users and each is not node and each.op != "placeholder":
            unused.extend(each.all_input_nodes)
            graph.erase_node(each)


def _only_user(module: nn.Module, node: Any) -> tuple[Any, Any]:
    """Return a node, or the last of the identities that alone follow it, and what alone uses it."""
    while len(node.users) == 1:
        (user,) = node.users
        if user.op != "call_module" or not _is_identity(module.get_submodule(user.target)):
            return node, user
        node = user
    return node, None


def _other_term(node: Any, term: Any) -> Any:
    """Return what a node adds to a term; None if it does something else."""
    if node is None or node.kwargs or len(node.args) != 2 or node.args[0] is node.args[1]:
        return None
    if node.op not in ("call_function", "call_method"):
        return None
    one, other = node.args
    found = other if one is term else one
    is_sum = node.target in _SUMS or (node.target in _SUMS_IN_PLACE and one is term)
    return found if is_sum and isinstance(found, fx.Node) else None


def _can_move(module: nn.Module, node: Any, place: Any) -> bool:
    """Tell whether a node can be run later, at a place behind it: if nothing there writes."""
    between = node.next
    while between is not place:
        if between.op == "call_module":
            layer = module.get_submodule(between.target)
            writes = bool(getattr(layer, "inplace", False)) or has_hooks(layer)
        else:
            name = str(getattr(between.target, "__name__", between.target))
            writes = name.endswith("_") or name == "setitem" or between.target in IN_PLACE
            writes |= bool(between.kwargs.get("inplace", False)) or "out" in between.kwargs
        if writes:
            return False
        between = between.next
    return True


def _limits(module: nn.Module, node: Any, clamped: Any) -> Limits | None:
    """Return the limits that a node clamps another one to; None if it does something else."""
    if node is None or not node.args or node.args[0] is not clamped:
        return None
    if node.op == "call_module":
        return _module_limits(module.get_submodule(node.target))
    if node.op not in ("call_function", "call_method"):
        return None
    if node.target in _RELUS:
        return 0.0, math.inf
    if node.target is nn.functional.relu6:
        return 0.0, 6.0
    if node.target is nn.functional.hardtanh:
        names, standard = ("min_val", "max_val"), (-1.0, 1.0)
    elif node.target in _CLAMPS:
        names, standard = ("min", "max"), (-math.inf, math.inf)
    else:
        return None
    given = dict(zip(names, node.args[1:3], strict=False)) | node.kwargs
    found = [
        standard[i] if given.get(name) is None else given[name] for i, name in enumerate(names)
    ]
    are_numbers = all(isinstance(limit, int | float) for limit in found)
    return (float(found[0]), float(found[1])) if are_numbers and found[0] <= found[1] else None
