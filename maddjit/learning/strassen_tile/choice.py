"""Which of several starts of a fit is taken on, and how far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.strassen_tile.steps import Moments, Operator, Step, fitted, rounding
from maddjit.models.schemes import BilinearScheme
from maddjit.reference.strassen_tile import encode_right

TRIED, _TRIED_UNKNOWNS = 2, 4096
"""Rounds after which starts are compared, and r · Dk above which it is none: a round takes long."""
_ENOUGH = 1e-3
"""Relative decrease of the objective at which rounds end."""
_SPARSE = 1.1
"""A start that is left as it is, with fewer additions, may have so many times the squared error."""
_NEGLIGIBLE = 1e-7
"""Entries of a factor so much smaller than their component's largest are zero."""


@dataclass
class _Way:
    """A start, the steps taken from it and those still to come."""

    scheme: BilinearScheme
    moments: Moments
    further: Iterator[Step]
    steps: list[Step] = field(default_factory=list)

    def error(self, which: int) -> float:
        """Return the error of one step, the mean of those in float32 and in bfloat16."""
        step = self.steps[which]
        return step.error + rounding(step.operator, self.moments) / 2


def best(
    candidates: list[BilinearScheme],
    B: NDArray[np.float64],
    moments: Moments,
    ridge: float,
    max_iterations: int,
    advance: Callable[[], bool],
) -> tuple[BilinearScheme, Operator, tuple[float, ...]]:
    """Return the best start, what it was fitted to, and the objective's way there.

    Starts are compared by the mean of their squared errors in float32 and in bfloat16, as either
    may be compiled: where products cancel each other, one of little error in float32 may lose more
    to rounding than it gains.
    """
    unknowns = candidates[0].rank * moments.mean.shape[1]
    tried = min(TRIED if unknowns <= _TRIED_UNKNOWNS else 0, max_iterations)
    shapes = {scheme.shape for scheme in candidates}
    cut = {shape: moments.cut(shape, *B.shape) for shape in shapes}
    ways: list[_Way] = []
    going_on = True
    for scheme in candidates:
        known = cut[scheme.shape]
        way = _Way(scheme, known, fitted(scheme, encode_right(scheme, B), known, ridge))
        for step in islice(way.further, tried + 1):
            way.steps.append(step)
            going_on = advance() and going_on
            if not going_on:
                break
        ways.append(way)
        if not going_on:
            break
    way = min(ways, key=lambda found: found.error(-1))
    while going_on and len(way.steps) <= max_iterations and not _settled(way.steps):
        way.steps.append(next(way.further))
        going_on = advance()
    scheme, steps, additions = way.scheme, way.steps, _additions(way.steps[-1].operator)
    least = way.error(-1)
    for other in ways:
        first = other.steps[0]
        if other.error(0) <= _SPARSE * least and _additions(first.operator) < additions:
            scheme, steps, additions = other.scheme, [first], _additions(first.operator)
    return scheme, steps[-1].operator, tuple(step.objective for step in steps)


def scaled(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rows whose largest entry is 1, (r, ·), and what they were multiplied by, (r, 1)."""
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, np.newaxis], axis=1)
    largest = np.where(largest == 0, 1.0, largest)
    shares = rows / largest
    return np.where(np.abs(shares) < _NEGLIGIBLE, 0.0, shares), largest


def _additions(operator: Operator) -> float:
    """Return how many terms sums of A's columns and of products have for a row, before sharing."""
    (r, n, _), (_, Dk, Mk) = operator.E.shape, operator.V.shape
    encoder, decoder = scaled(operator.E.reshape(r, -1))[0], operator.Dec
    return float((np.count_nonzero(encoder) * Dk + np.count_nonzero(decoder) * Mk) / n)


def _settled(way: list[Step]) -> bool:
    return any(
        before.objective - after.objective < _ENOUGH * before.objective
        for before, after in pairwise(way[-2:])
    )
