"""Evaluates a `Graph` in floating point, in NumPy, images in batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.integrations.networks.graph import (
    Affine,
    Convolution,
    Graph,
    Image,
    Node,
    Pool,
    Sum,
    limits_of,
)
from maddjit.models.window import Window

BATCH = 64
"""Images that are evaluated together, at most."""

NUMBERS = 2**25
"""Numbers of a graph that exist at once, unless a single image has more."""


def convolved(
    x: NDArray[Any], weights: NDArray[Any], window: Window, groups: int = 1
) -> NDArray[Any]:
    """Return the convolution of planes with zeros around them, in the dtype of both."""
    n_images, n_channels = x.shape[:2]
    size = window.output_size(*x.shape[2:])
    w = weights.reshape(groups, len(weights) // groups, n_channels // groups, window.n_taps)
    if size == (1, 1) and groups == 1:  # one product of rows
        rows = window.patches(x)
        product: NDArray[Any] = rows @ weights.reshape(len(weights), -1).T
        return product.reshape(n_images, -1, 1, 1)
    total = np.zeros((n_images, *w.shape[:2], size[0] * size[1]), np.result_type(x, w))
    for tap, part in enumerate(window.seen(x)):
        planes = np.ascontiguousarray(part).reshape(n_images, groups, n_channels // groups, -1)
        matrix = np.ascontiguousarray(w[..., tap])
        total += matrix * planes if w.shape[2] == 1 else matrix @ planes
    return total.reshape(n_images, len(weights), *size)


def before_clamp(node: Node, given: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return what a node gives before its clamp."""
    operation, x = node.operation, given[0]
    dtype = x.dtype
    if isinstance(operation, Convolution):
        weights = operation.weights.astype(dtype)
        y = convolved(x, weights, operation.window, operation.groups)
        return np.asarray(y + operation.bias.astype(dtype)[:, None, None])
    if isinstance(operation, Affine):
        scale, shift = operation.scale.astype(dtype), operation.shift.astype(dtype)
        return np.asarray(x * scale[:, None, None] + shift[:, None, None])
    if isinstance(operation, Pool):
        window = operation.window
        if operation.kind == "max":
            return np.asarray(np.maximum.reduce(list(window.seen(x, -np.inf))))
        total = sum(window.seen(x))
        return np.asarray(total / dtype.type(window.n_taps))
    if isinstance(operation, Sum):
        return np.asarray(x + given[1])
    return x if isinstance(operation, Image) else np.concatenate(given, axis=1)


def node_value(node: Node, given: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return what a node gives for the results that it takes."""
    y = before_clamp(node, given)
    low, high = limits_of(node.operation)
    if (low, high) == (-np.inf, np.inf):
        return y
    clamped: NDArray[Any] = np.clip(y, y.dtype.type(low), y.dtype.type(high))
    return clamped


def values(graph: Graph, images: NDArray[Any]) -> list[NDArray[Any]]:
    """Return what all nodes give for images (N, C, H, W) of float32 or float64."""
    found: list[NDArray[Any]] = []
    for node in graph.nodes:
        taken = [found[number] for number in node.inputs] or [images]
        found.append(node_value(node, taken))
    return found


def outputs(graph: Graph, images: NDArray[Any]) -> NDArray[Any]:
    """Return the outputs for images: rows (N, M), or planes (N, M, H, W)."""
    parts = [values(graph, part)[-1] for part in batches(graph, images)]
    y = np.concatenate(parts)
    return y.reshape(len(y), -1) if graph.is_flat else y


def batches(graph: Graph, images: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the images in batches for which all values of a graph exist at once."""
    of_an_image = sum(math.prod(node.shape) for node in graph.nodes)
    n_images = min(BATCH, max(1, NUMBERS // of_an_image))
    for first in range(0, len(images), n_images):
        yield images[first : first + n_images]


def in_batches(function: Callable[..., NDArray[Any]], *given: NDArray[Any]) -> NDArray[Any]:
    """Return what a function of batches gives for all images, one after another."""
    return np.concatenate(
        [
            function(*(each[first : first + BATCH] for each in given))
            for first in range(0, len(given[0]), BATCH)
        ]
    )
