"""Makes exact steps of a `Network` from the nodes of a `Graph`: weights in 8 bits, pools, sums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.epilogue import Epilogue
from maddjit.integrations.networks.activations import keeps_step
from maddjit.integrations.networks.graph import (
    Affine,
    Convolution,
    Node,
    Pool,
    Sum,
    limits_of,
)
from maddjit.models.layers import SUM_LIMIT
from maddjit.models.network import (
    Add,
    AveragePool,
    Concatenate,
    Dense,
    Exact,
    Layer,
    MaxPool,
    Planes,
)
from maddjit.models.window import Window


def rounded(
    weights: NDArray[np.float64], planes: Planes
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Return weights (M, …) as int8 and the step of each output's weights.

    The largest weight of an output becomes ±127, unless sums could reach 2²⁴ then.
    """
    rows = weights.reshape(len(weights), -1)
    most = max(127 - planes.zero_point, planes.zero_point + 128)
    largest = np.abs(rows).max(axis=1)
    absolute = np.abs(rows).sum(axis=1)
    # Rounding adds half a step to each weight at most.
    room = (SUM_LIMIT - 1) / most - rows.shape[1] / 2
    if room <= 0:
        raise ValueError(f"{rows.shape[1]} inputs are too many for sums below 2²⁴")
    steps = np.maximum(largest / 127, absolute / room)
    steps = np.where(steps > 0, steps, 1.0)
    return np.rint(weights / _along(steps, weights)).astype(np.int8), steps


def _along(numbers: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    return numbers.reshape(-1, *[1] * (weights.ndim - 1))


def epilogue_of(node: Node, planes: Planes | None, arithmetic: Any = "float") -> Epilogue:
    """Return the clamp of a node, and how its results are stored; float32 without planes."""
    low, high = limits_of(node.operation)
    if planes is None:
        return Epilogue(low=low, high=high)
    return Epilogue("int8", low, high, planes.step, planes.zero_point, arithmetic)


def convolution_of(node: Node, shape: Sequence[int]) -> Convolution | None:
    """Return a node as a convolution of planes of a shape; None if it is none.

    Scales of planes and means of whole planes are ones with a group for each plane.
    """
    operation, channels = node.operation, shape[0]
    if isinstance(operation, Convolution):
        return operation
    if isinstance(operation, Affine):
        weights = operation.scale[:, None, None, None]
        ends = operation.low, operation.high
        return Convolution(weights, operation.shift, Window((1, 1)), channels, *ends)
    if isinstance(operation, Pool) and not keeps_step(operation, node.shape):
        taps = operation.window.n_taps
        weights = np.full((channels, 1, *operation.window.kernel), 1 / taps)
        return Convolution(weights, np.zeros(channels), operation.window, channels)
    return None


def exact_layer(node: Node, given: Sequence[Planes], planes: Planes | None) -> Layer:
    """Return the exact layer of a node.

    Parameters
    ----------
    node : Node
    given : sequence of Planes
        What it takes.
    planes : Planes or None
        What it gives; None for float32 outputs.
    """
    operation = node.operation
    made = convolution_of(node, (given[0].channels, given[0].height, given[0].width))
    if made is not None:
        try:
            weights, steps = rounded(made.weights, given[0])
        except ValueError as error:
            raise ValueError(f"{node.name}: {error}") from error
        scale = (steps * given[0].step).astype(np.float32)
        offset = made.bias.astype(np.float32)
        if planes is None and node.is_linear and limits_of(operation) == (-math.inf, math.inf):
            return Dense(weights.reshape(len(weights), -1), scale, offset)
        epilogue = epilogue_of(node, planes)
        return Exact(weights, scale, offset, made.window, made.groups, epilogue)
    if isinstance(operation, Pool):
        return (MaxPool if operation.kind == "max" else AveragePool)(operation.window)
    if isinstance(operation, Sum):
        assert planes is not None
        return Add(stored_limit(operation.low, planes), stored_limit(operation.high, planes))
    return Concatenate()


def stored_limit(limit: float, planes: Planes) -> int:
    """Return the int8 number nearest to a limit of a clamp."""
    return int(np.clip(np.rint(limit / planes.step) + planes.zero_point, -128, 127))
