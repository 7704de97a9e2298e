"""Thresholds of columns: numbers between two neighbouring values, and those worth a try."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness import settings
from maddjit.learning.maddness.sample import some_of

Edges = tuple[NDArray[np.float32], ...]
"""The thresholds of each column, ascending."""


def between(low: NDArray[Any], high: NDArray[Any]) -> NDArray[np.float32]:
    """Return a float32 v next to the middle of low and high; low < v ≤ high where there is one."""
    largest = np.finfo(np.float32).max
    middle = np.clip(low / 2 + high / 2, -largest, largest).astype(np.float32)
    with np.errstate(over="ignore"):
        return np.where(middle > low, middle, np.nextafter(middle, np.float32(np.inf)))


def find_edges(rows: NDArray[Any]) -> Edges:
    """Return thresholds for each column, each between two of its values.

    About half of them lie next to quantiles, and half where the values stretch out: the few
    largest values of a column, which no quantile separates, may make up most of its variance.
    """
    few = np.sort(some_of(rows, settings.QUANTILE_ROWS), axis=0)
    n_parts = settings.N_QUANTILES + 1
    places = np.unique(np.arange(1, n_parts) * len(few) // n_parts)
    return tuple(_edges(column, places[places > 0]) for column in few.T)


def _edges(column: NDArray[Any], places: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return the thresholds of a sorted column, at these places and where it stretches out."""
    known, counts = np.unique(column[places], return_counts=True)
    first = np.searchsorted(column, known, "left")
    # Values above one that fills two or more places may be rare, so that no quantile is there.
    above = np.searchsorted(column, known[counts > 1], "right")
    first = np.unique(np.concatenate([first, above, _stretches(column)]))
    first = first[(first > 0) & (first < len(column))]
    low, high = column[first - 1], column[first]
    edges = between(low, high)
    return edges[(edges > low) & (edges <= high)]


def _stretches(column: NDArray[Any]) -> NDArray[np.intp]:
    """Return places at equal steps of Σ gap^⅔, which lies between the values and their ranks."""
    way = np.cumsum(np.diff(column.astype(np.float64)) ** (2 / 3))
    if len(way) == 0 or way[-1] == 0:
        return np.zeros(0, np.intp)
    steps = np.arange(1, settings.N_STRETCHES + 1) / (settings.N_STRETCHES + 1) * way[-1]
    return np.asarray(np.searchsorted(way, steps) + 1)
