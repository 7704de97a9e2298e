"""Chooses which convolutions become look-ups: what each option loses against what it saves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.target import Target
from maddjit.integrations.networks.building import (
    Built,
    Choice,
    Task,
    built,
    look_up_step,
    run_from,
)
from maddjit.integrations.networks.costs import nanoseconds
from maddjit.integrations.networks.graph import Convolution
from maddjit.models.network import Planes, Step

logger = logging.getLogger(__name__)

Advance = Callable[[], bool]
"""Called after each fit; False means that nothing more is to be tried."""


@dataclass(frozen=True)
class Option:
    """A convolution as look-ups while all other layers are exact.

    Attributes
    ----------
    number : int
        The node.
    n_codebooks : int
    loss : float
        What the network loses by it on the images kept back, beside what 8 bits lose.
    nanoseconds : float
        The predicted time for an image.
    """

    number: int
    n_codebooks: int
    loss: float
    nanoseconds: float


def loss_of(
    outputs: NDArray[np.generic], exact: NDArray[np.float32], planes: Planes | None
) -> float:
    """Return what outputs lose: the share of other winners, or for planes the squared error.

    The squared error is over the variance of the exact outputs. A single output has it, too.
    """
    if planes is None and exact.ndim == 2 and exact.shape[1] > 1:
        return float(np.mean(outputs.argmax(axis=1) != exact.argmax(axis=1)))
    y = outputs.astype(np.float64)
    if planes is not None:
        y = (y - planes.zero_point) * planes.step
    variance = exact.var(dtype=np.float64)
    return float(np.mean((y - exact) ** 2) / variance) if variance else 0.0


def measured_loss(task: Task, outputs: NDArray[np.generic]) -> float:
    """Return what outputs for the images kept back lose."""
    last = len(task.graph.nodes) - 1
    planes = None if task.is_output(last) else task.planes[last]
    return loss_of(outputs, task.outputs[task.held], planes)


def metric_of(task: Task) -> str:
    """Return in words what losses are."""
    if task.is_output(len(task.graph.nodes) - 1) and task.outputs.shape[1] > 1:
        return "share of other winners than the float32 network's"
    return "squared error over the variance of the float32 network's outputs"


def step_nanoseconds(task: Task, step: Step, target: Target) -> float:
    """Return the predicted time of a step for an image."""
    given = [task.planes[value - 1] for value in step.inputs if value]
    return nanoseconds(step.layer, given, step.planes, target)


def codebooks_of(task: Task, number: int, multiple: float) -> int:
    """Return a multiple of a convolution's input planes, of one group, as a number of codebooks."""
    operation = task.graph.nodes[number].operation
    assert isinstance(operation, Convolution)
    inputs = operation.weights.shape[1]
    most = inputs * operation.window.n_taps
    return int(np.clip(np.rint(multiple * inputs), 1, most))


def options_of(
    task: Task,
    exact: Built,
    multiples: Mapping[int, Sequence[float]],
    target: Target,
    advance: Advance,
) -> list[Option]:
    """Return what each convolution loses and costs with each number of codebooks.

    Losses are those beyond what the exact 8-bit network loses.

    Options that are not predicted to be faster than the exact layer are left out, and so are
    numbers of codebooks whose sums cannot be requantised.
    """
    found: list[Option] = []
    base = measured_loss(task, exact.outputs[task.held])
    for number, of_layer in multiples.items():
        before = step_nanoseconds(task, exact.network.steps[number], target)
        stored = exact.values[task.graph.nodes[number].inputs[0]]
        for n_codebooks in sorted({codebooks_of(task, number, each) for each in of_layer}):
            try:
                step, _ = look_up_step(task, number, n_codebooks, stored)
            except ValueError as error:
                logger.info("%s: %s", task.graph.nodes[number].name, error)
            else:
                time = step_nanoseconds(task, step, target)
                if time < before:
                    loss = measured_loss(task, run_from(task, exact, number, step)) - base
                    found.append(Option(number, n_codebooks, max(0.0, loss), time))
            if not advance():
                return found
    return found


def path_of(exact: Mapping[int, float], options: Sequence[Option], least: float) -> list[Choice]:
    """Return choices from the exact network to the fastest one, each a change of one layer.

    Each change is the one that saves most time for the loss that it adds. Losses of layers are
    taken to add up, and differences below `least` to be chance.

    Parameters
    ----------
    exact : dict of int to float
        The time of each node as an exact layer.
    options : sequence of Option
    least : float
    """
    now: dict[int, Option] = {}
    path: list[Choice] = [{}]

    def gain(option: Option) -> float:
        own = now.get(option.number)
        time, loss = (own.nanoseconds, own.loss) if own else (exact[option.number], 0.0)
        return (time - option.nanoseconds) / max(option.loss - loss, least)

    while True:
        better = [option for option in options if gain(option) > 0]
        if not better:
            return path
        best = max(better, key=gain)
        now[best.number] = best
        path.append({number: option.n_codebooks for number, option in sorted(now.items())})


def chosen(
    task: Task,
    path: Sequence[Choice],
    times: Sequence[float],
    max_loss: float | None,
    max_time: float | None,
    advance: Advance,
) -> Choice:
    """Return the fastest choice of a path within a loss, or the most exact one within a time.

    Losses are measured on networks that are built for it: on about log₂ of the path's choices.

    Raises
    ------
    ValueError
        If not even the last choice is as fast as that.
    """
    first, last = 0, len(path) - 1
    if max_time is not None:
        fast = [i for i, time in enumerate(times) if time <= max_time]
        if not fast:
            raise ValueError(
                f"the fastest network is predicted to take {min(times):.0f} ns for an image, and "
                f"{max_time:.0f} were asked for"
            )
        first = fast[0]
        if max_loss is None:
            return path[first]
    assert max_loss is not None
    while first < last:  # choices up to `first` are within the loss, or the fewest allowed
        middle = (first + last + 1) // 2
        loss = measured_loss(task, built(task, path[middle]).outputs[task.held])
        logger.debug("%s: a loss of %.4g", path[middle], loss)
        if loss <= max_loss:
            first = middle
        else:
            last = middle - 1
        if not advance():
            break
    return path[first]
