"""Folds scales, shifts and clamps of a `Graph` into the layers beside them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from maddjit.integrations.networks.drawing import pruned
from maddjit.integrations.networks.graph import Affine, Convolution, Graph, Node, Pool, Sum

Change = Callable[[list[Node], list[list[int]], int], bool]


def folded(graph: Graph) -> Graph:
    """Return the graph with fewer nodes that computes the same, up to rounding of float64.

    - A scale and shift (a batch-norm) goes into the convolution before it, and a clamp becomes the
      clamp of the convolution or sum before it, if nothing else takes their results.
    - A clamp behind a maximum is put before it.
    - A scale without shift goes into the convolution behind it.
    """
    nodes = list(graph.nodes)
    while any(_changed(nodes, change) for change in (_into_before, _before_pool, _into_behind)):
        nodes = list(pruned(nodes, len(nodes) - 1))
    return Graph(tuple(nodes), graph.is_flat)


def _changed(nodes: list[Node], change: Change) -> bool:
    """Make a change at the first node where it is possible, and tell whether there is one."""
    users = Graph(tuple(nodes), False).users()
    return any(change(nodes, users, number) for number in range(len(nodes)))


def _into_before(nodes: list[Node], users: list[list[int]], number: int) -> bool:
    """Fold a scale, shift or clamp into what is before it."""
    node = nodes[number]
    if not isinstance(node.operation, Affine) or len(users[node.inputs[0]]) > 1:
        return False
    before = nodes[node.inputs[0]]
    made = _with_affine(before.operation, node.operation)
    if made is None:
        return False
    name = before.name if isinstance(before.operation, Convolution | Sum) else node.name
    nodes[number] = replace(before, operation=made, name=name)
    return True


def _with_affine(before: object, affine: Affine) -> Convolution | Affine | Sum | None:
    """Return an operation with a scale, shift and clamp behind it; None if that is not one."""
    if isinstance(before, Sum):
        if not affine.is_clamp:
            return None
        return Sum(*_clamped((before.low, before.high), affine))
    if not isinstance(before, Convolution | Affine):
        return None
    limits = before.low, before.high
    if affine.is_clamp:
        low, high = _clamped(limits, affine)
        return replace(before, low=low, high=high)
    if limits != (-math.inf, math.inf):
        return None
    low, high = affine.low, affine.high
    if isinstance(before, Affine):
        shift = before.shift * affine.scale + affine.shift
        return Affine(before.scale * affine.scale, shift, low, high)
    weights = before.weights * affine.scale[:, None, None, None]
    bias = before.bias * affine.scale + affine.shift
    return replace(before, weights=weights, bias=bias, low=low, high=high)


def _clamped(limits: tuple[float, float], affine: Affine) -> tuple[float, float]:
    """Return the limits of a clamp and of another one behind it."""
    low, high = (float(np.clip(limit, affine.low, affine.high)) for limit in limits)
    return low, high


def _before_pool(nodes: list[Node], users: list[list[int]], number: int) -> bool:
    """Put a clamp before the maximum that it is behind."""
    node = nodes[number]
    if not (isinstance(node.operation, Affine) and node.operation.is_clamp):
        return False
    pool_number = node.inputs[0]
    pool = nodes[pool_number]
    is_max = isinstance(pool.operation, Pool) and pool.operation.kind == "max"
    if not is_max or len(users[pool_number]) > 1 or len(users[pool.inputs[0]]) > 1:
        return False
    shape = nodes[pool.inputs[0]].shape
    nodes[pool_number] = replace(node, inputs=pool.inputs, shape=shape)
    nodes[number] = replace(pool, inputs=(pool_number,))
    return True


def _into_behind(nodes: list[Node], users: list[list[int]], number: int) -> bool:
    """Fold a scale without shift and clamp into the one convolution behind it."""
    node = nodes[number]
    if not isinstance(node.operation, Affine) or len(users[number]) != 1:
        return False
    affine, user = node.operation, users[number][0]
    behind = nodes[user].operation
    if not isinstance(behind, Convolution) or affine.is_clamped or (affine.shift != 0).any():
        return False
    per_group = affine.scale.reshape(behind.groups, 1, -1)
    grouped = behind.weights.reshape(behind.groups, -1, *behind.weights.shape[1:])
    weights = (grouped * per_group[..., None, None]).reshape(behind.weights.shape)
    nodes[user] = replace(
        nodes[user], operation=replace(behind, weights=weights), inputs=node.inputs
    )
    return True
