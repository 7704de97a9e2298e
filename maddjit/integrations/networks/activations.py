"""Chooses step and zero point of the int8 numbers of each value of a `Graph`, by calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maddjit.integrations.networks import settings
from maddjit.integrations.networks.evaluating import batches, values
from maddjit.integrations.networks.graph import Graph, Join, Pool
from maddjit.models.network import Planes

Ranges = Literal["mse", "minmax"] | float
"""How ranges are chosen: for the least squared error, as a whole, or to hold a percentage."""


@dataclass
class _Watch:
    """The least and the largest number of a value, and a sample of its numbers."""

    least: float = 0.0
    largest: float = 0.0
    sample: list[NDArray[np.float32]] = field(default_factory=list)


def calibrated(
    graph: Graph, images: NDArray[np.float32], ranges: Ranges, random_state: int
) -> list[Planes]:
    """Return the planes of each node for images like those that will come.

    Zero is always one of the numbers. Values that pools and concatenations pass on have one step
    and zero point with what they are made of. With "mse" the range is the share of the whole one
    that has the least squared error.

    Raises
    ------
    ValueError
        If a node gives NaN or infinities for the images.
    """
    n_batches = len(list(batches(graph, images)))
    rng = np.random.default_rng(random_state)
    watches = [_Watch() for _ in graph.nodes]
    for part in batches(graph, images):
        for node, watch, value in zip(graph.nodes, watches, values(graph, part), strict=True):
            numbers = value.ravel()
            if not np.isfinite(numbers).all():
                raise ValueError(f"{node.name}: it gives NaN or infinities for calibration images")
            watch.least = min(watch.least, float(numbers.min()))
            watch.largest = max(watch.largest, float(numbers.max()))
            most = -(-settings.SAMPLED // n_batches)
            if len(numbers) > most:
                numbers = numbers[rng.integers(0, len(numbers), most)]
            watch.sample.append(numbers.astype(np.float32))
    groups = tied(graph)
    found: dict[int, tuple[float, int]] = {}
    for group in set(groups):
        members = [watches[number] for number, own in enumerate(groups) if own == group]
        found[group] = step_of(*_range(members, ranges))
    return [
        Planes(*node.shape, *found[group]) for node, group in zip(graph.nodes, groups, strict=True)
    ]


def tied(graph: Graph) -> list[int]:
    """Return for each node the first one that must have the same step and zero point."""
    groups = list(range(len(graph.nodes)))
    for number, node in enumerate(graph.nodes):
        if isinstance(node.operation, Join) or keeps_step(node.operation, node.shape):
            own = min(groups[each] for each in (number, *node.inputs))
            old = {groups[each] for each in (number, *node.inputs)}
            groups = [own if each in old else each for each in groups]
    return groups


def keeps_step(operation: Any, shape: Sequence[int]) -> bool:
    """Tell whether an operation is a pool whose results have the step of its input.

    Means of whole planes vary so much less than their inputs that they get a step of their own.
    """
    return isinstance(operation, Pool) and (operation.kind == "max" or shape[1:] != (1, 1))


def step_of(least: float, largest: float) -> tuple[float, int]:
    """Return the step and zero point of int8 numbers that reach from `least` to `largest`."""
    step = float(np.float32((largest - least) / settings.LEVELS))
    if not step > np.finfo(np.float32).tiny:
        return 1.0, -128 if least == 0 else 0
    return step, int(np.clip(np.rint(-128 - least / step), -128, 127))


def _range(watches: Sequence[_Watch], ranges: Ranges) -> tuple[float, float]:
    """Return the range of the int8 numbers of values that share one."""
    least = min(watch.least for watch in watches)
    largest = max(watch.largest for watch in watches)
    if ranges == "minmax" or largest == least:
        return least, largest
    sample = np.concatenate([part for watch in watches for part in watch.sample])
    if ranges == "mse":
        return _least_error(sample, least, largest)
    outside = (1 - ranges / 100) / 2
    ends = np.quantile(sample, [outside, 1 - outside])
    return min(float(ends[0]), 0.0), max(float(ends[1]), 0.0)


def _least_error(sample: NDArray[np.float32], least: float, largest: float) -> tuple[float, float]:
    """Return the share of a range in which the squared error of int8 numbers is least."""
    errors = []
    for share in settings.SHARES:
        step, zero = step_of(share * least, share * largest)
        stored = np.clip(np.rint(sample / np.float32(step)), -128 - zero, 127 - zero)
        lost = (stored * np.float32(step) - sample).astype(np.float64)
        errors.append(float(np.mean(lost**2)))
    share = settings.SHARES[int(np.argmin(errors))]
    return share * least, share * largest
