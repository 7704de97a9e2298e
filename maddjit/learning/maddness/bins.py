"""Columns of A in quantile bins, and hash trees that cut between bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness.paper_trees import between

N_BINS = 128
"""At most so many bins per column: 127 thresholds to choose from."""

N_COARSE = 32
"""At most so many bins per column where columns are only compared with each other."""

_N_QUANTILES, _N_STRETCHES = 63, 64
_MAX_ROWS = 20000
"""Rows that quantiles are taken from."""

Edges = tuple[NDArray[np.float32], ...]
"""For each column its thresholds, ascending."""


def find_edges(rows: NDArray[Any]) -> Edges:
    """Return thresholds for each column, each between two of its values.

    About half lie next to quantiles, half where the values stretch out: a column's few largest
    values, which no quantile parts, may make up most of its variance.
    """
    few = np.sort(rows[:: -(-len(rows) // _MAX_ROWS)], axis=0)
    places = np.unique(np.arange(1, _N_QUANTILES + 1) * len(few) // (_N_QUANTILES + 1))
    return tuple(_edges(column, places[places > 0]) for column in few.T)


def _edges(column: NDArray[Any], places: NDArray[np.intp]) -> NDArray[np.float32]:
    known, counts = np.unique(column[places], return_counts=True)
    first = np.searchsorted(column, known, "left")
    # What is above a value of two places or more may be rare: no quantile of its own.
    above = np.searchsorted(column, known[counts > 1], "right")
    first = np.unique(np.concatenate([first, above, _stretches(column)]))
    first = first[(first > 0) & (first < len(column))]
    low, high = column[first - 1], column[first]
    edges = between(low, high)
    return edges[(edges > low) & (edges <= high)]


def _stretches(column: NDArray[Any]) -> NDArray[np.intp]:
    """Return places at equal steps of Σ gap^⅔, which is between the values and their ranks."""
    way = np.cumsum(np.diff(column.astype(np.float64)) ** (2 / 3))
    if len(way) == 0 or way[-1] == 0:
        return np.zeros(0, np.intp)
    steps = np.arange(1, _N_STRETCHES + 1) / (_N_STRETCHES + 1) * way[-1]
    return np.asarray(np.searchsorted(way, steps) + 1)


class Bins:
    """Rows as bins: how many thresholds of its column each entry reaches.

    A column is binned when it is first asked for, and kept: most columns are never split.

    Parameters
    ----------
    rows : (N, D) float32 or float64
    edges : Edges
    """

    def __init__(self, rows: NDArray[Any], edges: Edges) -> None:
        self._rows, self._edges = rows, edges
        self._columns: dict[int, NDArray[np.uint8]] = {}
        self._coarse: dict[tuple[int, int], NDArray[np.uint8]] = {}

    @property
    def n_rows(self) -> int:
        """N."""
        return len(self._rows)

    def __getitem__(self, column: int) -> NDArray[np.uint8]:
        """Return the bins of one column, (N,)."""
        column = int(column)
        if column not in self._columns:
            found = np.searchsorted(self._edges[column], self._rows[:, column], "right")
            self._columns[column] = found.astype(np.uint8)
        return self._columns[column]

    def of(self, columns: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return the bins of some columns, (d, N)."""
        return np.stack([self[column] for column in columns])

    def coarse(self, columns: NDArray[np.intp], step: int) -> NDArray[np.uint8]:
        """Return `N_COARSE` bins of some columns, (d, ⌈N / step⌉), of every step-th row."""
        return np.stack([self._coarse_column(int(column), step) for column in columns])

    def _coarse_column(self, column: int, step: int) -> NDArray[np.uint8]:
        if (column, step) not in self._coarse:
            edge = self._edges[column]
            places = np.arange(1, N_COARSE) * (len(edge) + 1) // N_COARSE - 1
            few = edge[places] if len(edge) >= N_COARSE else edge
            found = np.searchsorted(few, self._rows[::step, column], "right")
            self._coarse[column, step] = found.astype(np.uint8)
        return self._coarse[column, step]


@dataclass(frozen=True)
class BinTree:
    """A hash tree on bins: node i of level t, at 2ᵗ − 1 + i, sends bins from its cut on right.

    A cut of 0 sends all rows right, one of `N_BINS` all left.
    """

    split_dims: NDArray[np.intp]
    cuts: NDArray[np.intp]

    @property
    def depth(self) -> int:
        """T."""
        return len(self.split_dims)

    def cuts_of(self, level: int) -> NDArray[np.intp]:
        """Return the cuts of one level's nodes."""
        return self.cuts[2**level - 1 : 2 ** (level + 1) - 1]

    def descend(
        self, bins: Bins, node: NDArray[np.int32], level: int, last: int
    ) -> NDArray[np.int32]:
        """Follow rows from their nodes at `level` to those at `last`."""
        for t in range(level, last):
            cuts = self.cuts_of(t).astype(np.uint8)
            node = 2 * node + (bins[self.split_dims[t]] >= cuts[node])
        return node

    def codes(self, bins: Bins) -> NDArray[np.int32]:
        """Return the leaf of each row, (N,)."""
        return self.descend(bins, np.zeros(bins.n_rows, np.int32), 0, self.depth)

    def with_thresholds(self, edges: Edges) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Return split columns (T,) and thresholds (K − 1,): numbers for cuts."""
        thresholds = np.empty(len(self.cuts), np.float32)
        for level, column in enumerate(self.split_dims):
            known = np.concatenate([[-np.inf], edges[column], [np.inf]]).astype(np.float32)
            first = 2**level - 1
            cuts = np.minimum(self.cuts_of(level), len(known) - 1)
            thresholds[first : 2 * first + 1] = known[cuts]
        return self.split_dims, thresholds


def all_codes(trees: Sequence[BinTree], bins: Bins) -> NDArray[np.int32]:
    """Return (N, C)."""
    return np.stack([tree.codes(bins) for tree in trees], axis=1)
