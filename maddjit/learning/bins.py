"""Columns of A in quantile bins, and hash trees that cut between bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.trees import between

N_BINS = 128
"""At most so many bins per column: 127 thresholds to choose from."""

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


def binned(rows: NDArray[Any], edges: Edges) -> NDArray[np.uint8]:
    """Return (D, N): how many thresholds of its column each entry reaches."""
    return np.stack(
        [
            np.searchsorted(edge, rows[:, j], "right").astype(np.uint8)
            for j, edge in enumerate(edges)
        ]
    )


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
        self, bins: NDArray[np.uint8], node: NDArray[np.int32], level: int, last: int
    ) -> NDArray[np.int32]:
        """Follow rows from their nodes at `level` to those at `last`."""
        for t in range(level, last):
            cuts = self.cuts_of(t).astype(np.uint8)
            node = 2 * node + (bins[self.split_dims[t]] >= cuts[node])
        return node

    def codes(self, bins: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Return the leaf of each column of `bins`, (N,)."""
        return self.descend(bins, np.zeros(bins.shape[1], np.int32), 0, self.depth)

    def with_thresholds(self, edges: Edges) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Return split columns (T,) and thresholds (K − 1,): numbers for cuts."""
        thresholds = np.empty(len(self.cuts), np.float32)
        for level, column in enumerate(self.split_dims):
            known = np.concatenate([[-np.inf], edges[column], [np.inf]]).astype(np.float32)
            first = 2**level - 1
            cuts = np.minimum(self.cuts_of(level), len(known) - 1)
            thresholds[first : 2 * first + 1] = known[cuts]
        return self.split_dims, thresholds


def all_codes(trees: Sequence[BinTree], bins: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return (N, C)."""
    return np.stack([tree.codes(bins) for tree in trees], axis=1)


def sum_by(keys: NDArray[Any], n: int, values: NDArray[Any]) -> NDArray[Any]:
    """Return (n, Q): the sum of the rows of `values` (N, Q) for each key."""
    from scipy.sparse import csc_array

    ones = np.ones(len(keys), values.dtype)
    chosen = csc_array((ones, keys, np.arange(len(keys) + 1)), shape=(n, len(keys)))
    sums: NDArray[Any] = chosen @ values
    return sums


def grow_on_bins(
    bins: NDArray[np.uint8],
    columns: NDArray[np.intp],
    goals: NDArray[np.float32],
    depth: int,
    least: int,
) -> BinTree:
    """Grow a tree whose leaves have goals that differ little from their means.

    Parameters
    ----------
    bins : (D, N) uint8
    columns : (d,) intp
        Those that may be split; every level tries them all.
    goals : (N, Q) float32
    depth : int
    least : int
        Rows that both sides of a split must have.
    """
    n_rows = bins.shape[1]
    counted = np.concatenate([goals, np.ones((n_rows, 1), np.float32)], axis=1)
    node = np.zeros(n_rows, np.int32)
    split_dims = np.zeros(depth, np.intp)
    cuts = np.full(2**depth - 1, N_BINS, np.intp)
    for level in range(depth):
        n_nodes = 2**level
        best = (-np.inf, 0, np.full(n_nodes, N_BINS))
        for column in columns:
            sums = sum_by(node * N_BINS + bins[column], n_nodes * N_BINS, counted)
            gain, cut = _best_cuts(sums.reshape(n_nodes, N_BINS, -1).astype(np.float64), least)
            if gain > best[0]:
                best = gain, column, cut
        _, split_dims[level], cut = best
        cuts[n_nodes - 1 : 2 * n_nodes - 1] = cut
        node = 2 * node + (bins[split_dims[level]] >= cut.astype(np.uint8)[node])
    return BinTree(split_dims, cuts)


def _best_cuts(sums: NDArray[np.float64], least: int) -> tuple[float, NDArray[np.intp]]:
    """Split every node where ‖S_L‖²/n_L + ‖S_R‖²/n_R is largest; `sums` is (nodes, bins, Q + 1)."""
    total = sums.sum(axis=1, keepdims=True)
    left = np.concatenate([np.zeros_like(total), np.cumsum(sums, axis=1)], axis=1)
    right = total - left
    n_left, n_right = left[..., -1], right[..., -1]
    score = _square_over_count(left) + _square_over_count(right)
    unsplit = score[:, -1].copy()
    score[(n_left < least) | (n_right < least)] = -1
    score[:, -1] = unsplit
    # The last largest, so that a node that no cut improves sends all rows left.
    cut = score.shape[1] - 1 - np.argmax(score[:, ::-1], axis=1)
    return float(score.max(axis=1).sum()), cut


def _square_over_count(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = np.einsum("nbq,nbq->nb", sums[..., :-1], sums[..., :-1])
    return squares / np.maximum(sums[..., -1], 1e-9)
