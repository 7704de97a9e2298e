"""What tests of networks share: small graphs, networks run step by step, and bounds of 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.integrations.networks.activations import keeps_step
from maddjit.integrations.networks.drawing import Drawing
from maddjit.integrations.networks.eight_bits import convolution_of, rounded
from maddjit.integrations.networks.folding import folded
from maddjit.integrations.networks.graph import Graph, Join, Pool, Sum
from maddjit.integrations.networks.running import step_value
from maddjit.models.network import Network, Planes
from maddjit.models.window import Window

SAME = Window((3, 3), padding=(1, 1, 1, 1))
rng = np.random.default_rng(0)
IMAGES = rng.standard_normal((60, 3, 8, 8)).astype(np.float32)


def small_graph() -> Graph:
    """Return a graph with a residual sum, a concatenation, pools, and a linear layer."""
    own = np.random.default_rng(1)
    draw = Drawing((3, 8, 8))

    def named(name: str, value: Any) -> Any:
        draw.name = name
        return value

    def convolution(name: str, value: Any, n: int, window: Window = SAME, groups: int = 1) -> Any:
        draw.name = name
        shape = n, draw.shape(value)[0] // groups, *window.kernel
        weights = own.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        made = draw.convolution(value, weights, own.standard_normal(n) / 4, window, groups)
        return draw.clamp(made, 0, np.inf)

    one = convolution("one", draw.image, 8)
    two = convolution("two", one, 8)
    draw.name = "sum"
    total = draw.clamp(draw.sum(one, two), 0, np.inf)
    draw.name = "pool"
    pooled = draw.max_pool(total, Window((2, 2), (2, 2)))
    side = convolution("side", total, 4, Window((3, 3), (2, 2), (1, 1, 1, 1)))
    draw.name = "join"
    joined = draw.join([pooled, side], 1)
    deep = convolution("deep", joined, 12, groups=12)
    draw.name = "mean"
    mean = draw.flatten(draw.global_average(deep))
    draw.name = "head"
    return folded(draw.finish(draw.linear(mean, own.standard_normal((5, 12)), None)))


def run(network: Network, images: Any) -> NDArray[Any]:
    """Return what a network gives, step by step."""
    found = [images]
    for step in network.steps:
        taken = [network.steps[value - 1].planes for value in step.inputs if value]
        known = [planes for planes in taken if planes is not None]
        found.append(step_value(step, [found[value] for value in step.inputs], known))
    return np.asarray(found[-1])


def bound(graph: Graph, planes: list[Planes | None], largest: list[float]) -> NDArray[Any]:
    """Return by how much outputs in 8 bits may differ, if no number is beyond its range.

    `largest` has the largest absolute number of each node. A number of int8 is off by half a step,
    and by another half where a range does not begin at a multiple of the step.
    """
    errors: list[Any] = []
    for number, node in enumerate(graph.nodes):
        own = planes[number]
        stored = own.step * 1.001 if own else 1e-5
        given = [errors[taken] for taken in node.inputs]
        taken_shape = graph.nodes[node.inputs[0]].shape if node.inputs else node.shape
        made = convolution_of(node, taken_shape)
        if made is not None:
            source = planes[node.inputs[0]]
            assert source is not None
            weights, steps = rounded(made.weights, source)
            rows = np.abs(weights.reshape(len(weights), -1)) * steps[:, None]
            lost = np.abs(
                made.weights.reshape(rows.shape) - rows * np.sign(weights.reshape(rows.shape))
            ).sum(axis=1)
            errors.append(
                (rows.sum(axis=1) * given[0]).max()
                + (lost * largest[node.inputs[0]]).max()
                + stored
            )
        elif isinstance(node.operation, Sum):
            errors.append(sum(given) + stored)
        elif isinstance(node.operation, Pool) and keeps_step(node.operation, node.shape):
            errors.append(given[0] + stored * (node.operation.kind == "average"))
        elif isinstance(node.operation, Join):
            errors.append(max(given))
        else:
            errors.append(stored)
    return np.asarray(errors[-1])
