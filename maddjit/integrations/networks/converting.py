"""From a `Graph` and calibration images to a `Network` with a report: the whole way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.checks import check_random_state
from maddjit.compiler.request import target_of
from maddjit.compiler.target import Target
from maddjit.integrations.networks import settings
from maddjit.integrations.networks.activations import Ranges
from maddjit.integrations.networks.building import (
    Built,
    Choice,
    Task,
    built,
    candidates_of,
    ready,
)
from maddjit.integrations.networks.choosing import (
    Option,
    chosen,
    codebooks_of,
    measured_loss,
    metric_of,
    options_of,
    path_of,
    step_nanoseconds,
)
from maddjit.integrations.networks.graph import Convolution, Graph, Node, Shape
from maddjit.integrations.networks.report import ConversionReport, LayerLine
from maddjit.learning.progress import Progress, steps
from maddjit.models.network import (
    Add,
    AveragePool,
    Concatenate,
    Dense,
    Exact,
    LookUp,
    MaxPool,
    Network,
    Planes,
    Quantise,
)

Codebooks = float | Mapping[str, float | None]
"""Codebooks for each input plane, of all convolutions or by the names of layers."""

_KINDS: dict[type, str] = {
    Quantise: "quantised",
    LookUp: "look-ups",
    Exact: "exact",
    Dense: "exact",
    MaxPool: "maximum",
    AveragePool: "mean",
    Add: "sum",
    Concatenate: "joined",
}


@dataclass(frozen=True, eq=False)
class Options:
    """How a network is converted; `maddjit.torch.compile_network` says what each option means."""

    codebooks: Codebooks | None = None
    max_loss: float | None = None
    max_time: float | None = None
    multiples: Sequence[float] = (0.5, 1.0, 2.0)
    layers: Sequence[str] | None = None
    ranges: Ranges = "mse"
    held_out: float = settings.HELD_OUT
    n_patches: int = settings.N_PATCHES
    random_state: int = 0
    progress: Progress = False

    def __post_init__(self) -> None:
        if self.codebooks is not None and (self.max_loss, self.max_time) != (None, None):
            raise ValueError("codebooks are given or chosen by max_loss and max_time, not both")
        if not 0 <= self.held_out < 1:
            raise ValueError(f"held_out must be a share from 0 to below 1, not {self.held_out}")
        for name in ("max_loss", "max_time"):
            limit = getattr(self, name)
            if limit is not None and not limit >= 0:
                raise ValueError(f"{name} must be 0 or more, not {limit}")
        is_percentage = isinstance(self.ranges, int | float) and 50 < self.ranges <= 100
        if self.ranges not in ("mse", "minmax") and not is_percentage:
            raise ValueError(
                f'ranges must be "mse", "minmax" or a percentage above 50, not {self.ranges!r}'
            )
        if self.n_patches < 1:
            raise ValueError(f"n_patches must be 1 or more, not {self.n_patches}")
        check_random_state(self.random_state)
        given = self.codebooks
        named = given.values() if isinstance(given, Mapping) else (given,)
        for multiple in (*named, *self.multiples):
            if multiple is not None and not 0 < float(multiple) < math.inf:
                raise ValueError(
                    f"codebooks for each plane must be a number above 0, not {multiple}"
                )


@dataclass(frozen=True, eq=False)
class Converted:
    """A network and how it was made.

    Attributes
    ----------
    network : Network
    report : ConversionReport
    """

    network: Network
    report: ConversionReport


def as_calibration(images: Any) -> NDArray[Any]:
    """Return calibration images, checked: (N, C, H, W), float32 or uint8.

    Parameters
    ----------
    images : (N, C, H, W) array_like, or iterable of such batches

    Raises
    ------
    ValueError
        If they have another shape, there is none, or a number is not finite.
    TypeError
        If they are not real numbers, or batches hold more than images.
    """
    if not hasattr(images, "__array__"):
        try:
            batches = [np.asarray(batch) for batch in images]
        except ValueError as error:
            raise TypeError(
                "calibration must be images (N, C, H, W) or batches of them, each one array: leave "
                "out labels"
            ) from error
        images = np.concatenate(batches) if {batch.ndim for batch in batches} == {4} else batches
    found = np.asarray(images)
    if found.ndim != 4 or 0 in found.shape:
        raise ValueError(f"calibration must be images (N, C, H, W), not shape {found.shape}")
    if found.dtype == np.uint8:
        return found
    if found.dtype.kind not in "fiu":
        raise TypeError(f"calibration must be real numbers, not {found.dtype}")
    with np.errstate(over="ignore"):
        found = found.astype(np.float32)
    if not np.isfinite(found).all():
        raise ValueError("calibration must be finite in float32")
    return found


def converted(
    graph: Graph, images: NDArray[Any], options: Options, target: str | None
) -> Converted:
    """Return the network of a graph, calibrated on images, with look-ups as the options say.

    Raises
    ------
    UnsupportedLayerError, ValueError, TypeError
        As `maddjit.torch.compile_network` says.
    """
    graph = ready(graph)
    multiples = _multiples(graph, options)
    chooses = (options.max_loss, options.max_time) != (None, None)
    n_held = int(options.held_out * len(images))
    if n_held < settings.LEAST_HELD_OUT:
        if chooses:
            raise ValueError(
                f"{len(images)} calibration images are too few to choose by: at least "
                f"{settings.LEAST_HELD_OUT} of them must be kept back"
            )
        n_held = 0
    n_learned = len(images) - n_held
    task = Task.of(
        graph,
        images,
        n_learned,
        list(multiples),
        n_patches=options.n_patches,
        ranges=options.ranges,
        random_state=options.random_state,
    )
    level = target_of(target, "show")
    found, choice, last = _chosen(task, multiples, options, level)
    return Converted(last.network, _report(task, choice, last, found, level))


def _multiples(graph: Graph, options: Options) -> dict[int, Sequence[float]]:
    """Return for each convolution that may become look-ups the multiples of planes to try.

    By default the first layer, linear and depthwise layers stay exact: look-ups save nothing there.
    """
    nodes, all_ = graph.nodes, candidates_of(graph)
    usual = [n for n in all_[1:] if not nodes[n].is_linear and not _is_depthwise(nodes[n])]
    given = options.codebooks
    if given is None:
        if (options.max_loss, options.max_time) == (None, None):
            return {}
        if options.layers is not None:
            usual = _named(graph, all_, options.layers)
        return dict.fromkeys(usual, tuple(options.multiples))
    if not isinstance(given, Mapping):
        return dict.fromkeys(usual, (float(given),))
    found: dict[int, Sequence[float]] = {}
    for pattern, multiple in given.items():
        for number in _named(graph, all_, [pattern]):
            if multiple is not None:
                found[number] = (float(multiple),)
    return dict(sorted(found.items()))


def _is_depthwise(node: Node) -> bool:
    operation = node.operation
    return isinstance(operation, Convolution) and operation.weights.shape[1] == 1


def _named(graph: Graph, numbers: Sequence[int], patterns: Sequence[str]) -> list[int]:
    """Return the convolutions whose names match one of the patterns."""
    for pattern in patterns:
        if not any(fnmatchcase(graph.nodes[number].name, pattern) for number in numbers):
            names = ", ".join(graph.nodes[number].name for number in numbers)
            raise ValueError(f"no layer that can be look-ups is called {pattern!r}, only {names}")
    return [
        number
        for number in numbers
        if any(fnmatchcase(graph.nodes[number].name, pattern) for pattern in patterns)
    ]


def _chosen(
    task: Task, multiples: Mapping[int, Sequence[float]], options: Options, target: Target
) -> tuple[list[Option], Choice, Built]:
    """Return what was measured, the choice, and the network built with it."""
    if (options.max_loss, options.max_time) == (None, None):
        choice = {number: codebooks_of(task, number, of[0]) for number, of in multiples.items()}
        return [], choice, built(task, choice)
    n_steps = sum(len(set(each)) for each in multiples.values()) + 8
    with steps(options.progress, n_steps, "maddjit.compile_network") as advance:
        exact = built(task, {}, keep=True)
        found = options_of(task, exact, multiples, target, advance)
        times = _times(task, exact, target)
        path = path_of(times, found, 1 / len(task.images[task.held]))
        own = {(each.number, each.n_codebooks): each.nanoseconds for each in found}
        whole = [
            sum(own.get((n, choice.get(n, 0)), time) for n, time in times.items())
            for choice in path
        ]
        choice = chosen(task, path, whole, options.max_loss, options.max_time, advance)
    return found, choice, built(task, choice)


def _times(task: Task, made: Built, target: Target) -> dict[int, float]:
    """Return the predicted time of each step."""
    return {
        number: step_nanoseconds(task, step, target)
        for number, step in enumerate(made.network.steps)
    }


def _shape(planes: Planes | None) -> Shape | None:
    return (planes.channels, planes.height, planes.width) if planes else None


def _report(
    task: Task, choice: Choice, last: Built, found: Sequence[Option], target: Target
) -> ConversionReport:
    times = _times(task, last, target)
    lines = tuple(
        LayerLine(
            name=step.name,
            kind=_KINDS[type(step.layer)],
            shape=_shape(step.planes),
            n_codebooks=choice.get(number, 0),
            nanoseconds=times[number],
            error=last.errors.get(number),
        )
        for number, step in enumerate(last.network.steps)
    )
    options: dict[str, tuple[Option, ...]] = {}
    for option in found:
        name = task.graph.nodes[option.number].name
        options[name] = (*options.get(name, ()), option)
    exact = last if not choice else built(task, {})
    return ConversionReport(
        layers=lines,
        options=options,
        loss=measured_loss(task, last.outputs[task.held]),
        exact_loss=measured_loss(task, exact.outputs[task.held]),
        exact_nanoseconds=sum(_times(task, exact, target).values()),
        metric=metric_of(task),
        n_images=len(task.images[task.held]),
        is_held_out=task.n_learned < len(task.images),
        level=target.name,
    )
