"""Rows as bins, the thresholds that each entry reaches, and hash trees that cut between bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness.settings import N_COARSE
from maddjit.learning.maddness.thresholds import Edges


class Bins:
    """The bin of each entry: how many thresholds of its column the entry reaches.

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
        """The number of rows, N."""
        return len(self._rows)

    def __getitem__(self, column: int) -> NDArray[np.uint8]:
        """Return the bins of one column, (N,)."""
        column = int(column)
        if column not in self._columns:
            found = np.searchsorted(self._edges[column], self._rows[:, column], "right")
            self._columns[column] = found.astype(np.uint8)
        return self._columns[column]

    def of(self, columns: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return the bins of several columns, (d, N)."""
        return np.stack([self[column] for column in columns])

    def coarse(self, columns: NDArray[np.intp], step: int) -> NDArray[np.uint8]:
        """Return `N_COARSE` bins of several columns on every step-th row, (d, ⌈N / step⌉)."""
        return np.stack([self._coarse_column(int(column), step) for column in columns])

    def _coarse_column(self, column: int, step: int) -> NDArray[np.uint8]:
        """Return the coarse bins of one column on every step-th row."""
        if (column, step) not in self._coarse:
            edge = self._edges[column]
            places = np.arange(1, N_COARSE) * (len(edge) + 1) // N_COARSE - 1
            few = edge[places] if len(edge) >= N_COARSE else edge
            found = np.searchsorted(few, self._rows[::step, column], "right")
            self._coarse[column, step] = found.astype(np.uint8)
        return self._coarse[column, step]


@dataclass(frozen=True)
class BinTree:
    """A hash tree on bins: each node sends the bins from its cut on to the right.

    Node i of level t stands at 2ᵗ − 1 + i. A cut of 0 sends all rows right, one of `N_BINS` sends
    all rows left.

    Attributes
    ----------
    split_dims : (T,) intp
        The column that each level compares.
    cuts : (K − 1,) intp
    """

    split_dims: NDArray[np.intp]
    cuts: NDArray[np.intp]

    @property
    def depth(self) -> int:
        """The number of levels, T."""
        return len(self.split_dims)

    def cuts_of(self, level: int) -> NDArray[np.intp]:
        """Return the cuts of the nodes of one level, (2ᵗ,)."""
        return self.cuts[2**level - 1 : 2 ** (level + 1) - 1]

    def descend(
        self, bins: Bins, node: NDArray[np.int32], level: int, last: int
    ) -> NDArray[np.int32]:
        """Return the nodes at level `last` that rows reach from their nodes at `level`."""
        for t in range(level, last):
            cuts = self.cuts_of(t).astype(np.uint8)
            node = 2 * node + (bins[self.split_dims[t]] >= cuts[node])
        return node

    def codes(self, bins: Bins) -> NDArray[np.int32]:
        """Return the leaf of each row, (N,)."""
        return self.descend(bins, np.zeros(bins.n_rows, np.int32), 0, self.depth)

    def with_thresholds(self, edges: Edges) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Return split columns (T,) and thresholds (K − 1,): numbers in place of cuts."""
        thresholds = np.empty(len(self.cuts), np.float32)
        for level, column in enumerate(self.split_dims):
            known = np.concatenate([[-np.inf], edges[column], [np.inf]]).astype(np.float32)
            first = 2**level - 1
            cuts = np.minimum(self.cuts_of(level), len(known) - 1)
            thresholds[first : 2 * first + 1] = known[cuts]
        return self.split_dims, thresholds


def all_codes(trees: Sequence[BinTree], bins: Bins) -> NDArray[np.int32]:
    """Return the codes of all rows, (N, C): the leaf that each row reaches in each tree."""
    return np.stack([tree.codes(bins) for tree in trees], axis=1)
