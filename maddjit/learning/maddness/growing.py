"""Hash trees grown on bins: at each level the column whose cuts lower the error most."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness.bins import N_BINS, N_COARSE, Bins, BinTree

_MANY, _SHARE = 8, 8
"""So many columns, or one in so many, are tried on all rows; the others are ruled out before."""
_LEAST_COMPARED, _COMPARED_PER_LEAF = 1024, 16
"""Rows on which columns are compared before: so many, or so many for each leaf."""
_BATCH_ROWS, _BATCH_SUMS = 2**16, 2**17
"""Columns are taken together as long as they have so many entries, and so many sums."""


def sum_by(keys: NDArray[Any], n: int, values: NDArray[Any]) -> NDArray[Any]:
    """Return (n, Q): the sum of the rows of `values` (N, Q) for each key."""
    from scipy.sparse import csc_array

    ones = np.ones(len(keys), values.dtype)
    chosen = csc_array((ones, keys, np.arange(len(keys) + 1)), shape=(n, len(keys)))
    sums: NDArray[Any] = chosen @ values
    return sums


def n_tried(n_columns: int) -> int:
    """Return how many columns of a block are tried on all rows at a level of its tree."""
    return min(n_columns, max(_MANY, n_columns // _SHARE))


def step_compared(n_rows: int, n_leaves: int) -> int:
    """Return the step from row to row on which columns are compared before."""
    return max(1, n_rows // max(_LEAST_COMPARED, _COMPARED_PER_LEAF * n_leaves))


def grow_on_bins(
    bins: Bins, columns: NDArray[np.intp], goals: NDArray[np.float32], depth: int, least: int
) -> BinTree:
    """Grow a tree whose leaves have goals that differ little from their means.

    At each level all columns are compared on a part of the rows, in few bins; the best of them are
    tried on all rows.

    Parameters
    ----------
    bins : Bins
    columns : (d,) intp
        Those that may be split.
    goals : (N, Q) float32
    depth : int
    least : int
        Rows that both sides of a split must have.
    """
    counted = np.concatenate([goals, np.ones((len(goals), 1), np.float32)], axis=1)
    node = np.zeros(len(goals), np.int32)
    split_dims = np.zeros(depth, np.intp)
    cuts = np.full(2**depth - 1, N_BINS, np.intp)
    step = step_compared(len(goals), 2**depth)
    n_best = n_tried(len(columns))
    for level in range(depth):
        n_nodes, tried = 2**level, columns
        if n_best < len(columns):
            coarse = bins.coarse(columns, step)
            gains, _ = _best_splits(coarse, N_COARSE, node[::step], n_nodes, counted[::step], 1)
            tried = columns[np.sort(np.argsort(-gains, kind="stable")[:n_best])]
        gains, found = _best_splits(bins.of(tried), N_BINS, node, n_nodes, counted, least)
        best = int(np.argmax(gains))
        split_dims[level], cut = tried[best], found[best]
        cuts[n_nodes - 1 : 2 * n_nodes - 1] = cut
        node = 2 * node + (bins[split_dims[level]] >= cut.astype(np.uint8)[node])
    return BinTree(split_dims, cuts)


def _best_splits(
    bins: NDArray[np.uint8],
    n_bins: int,
    node: NDArray[np.int32],
    n_nodes: int,
    counted: NDArray[np.float32],
    least: int,
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Split every node by each column of `bins` (d, N): return scores (d,) and cuts (d, nodes)."""
    n_columns, n_rows = bins.shape
    n_keys = n_nodes * n_bins
    batch = min(n_columns, _BATCH_ROWS // n_rows, _BATCH_SUMS // (n_keys * counted.shape[1]))
    batch = max(1, batch)
    values = np.tile(counted, (batch, 1))
    first = node * n_bins + n_keys * np.arange(batch, dtype=np.int32)[:, np.newaxis]
    found = []
    for start in range(0, n_columns, batch):
        some = bins[start : start + batch]
        keys = (first[: len(some)] + some).ravel()
        sums = sum_by(keys, len(some) * n_keys, values[: len(keys)])
        found.append(_best_cuts(sums.reshape(len(some), n_nodes, n_bins, -1), least))
    return tuple(np.concatenate(each) for each in zip(*found, strict=True))  # type: ignore[return-value]


def _best_cuts(
    sums: NDArray[np.float32], least: int
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Split every node where ‖S_L‖²/n_L + ‖S_R‖²/n_R is largest.

    `sums` are (columns, nodes, bins, Q + 1). Return the sum over the nodes, (columns,), and the
    cuts, (columns, nodes).
    """
    n_left = np.zeros((*sums.shape[:2], sums.shape[2] + 1))
    np.cumsum(sums[..., -1], axis=2, out=n_left[..., 1:])
    n_right = n_left[..., -1:] - n_left
    left, score, on_right = np.zeros_like(n_left), np.zeros_like(n_left), np.zeros_like(n_left)
    for goal in range(sums.shape[3] - 1):
        np.cumsum(sums[..., goal], axis=2, out=left[..., 1:])
        right = left[..., -1:] - left
        on_right += np.square(right, out=right)
        score += np.square(left)
    few = (n_left < least) | (n_right < least)
    few[..., -1] = False  # all rows left
    score /= np.maximum(n_left, 1e-9, out=n_left)
    on_right /= np.maximum(n_right, 1e-9, out=n_right)
    score += on_right
    score[few] = -1
    # The last largest, so that a node that no cut improves sends all rows left.
    cut = score.shape[2] - 1 - np.argmax(score[..., ::-1], axis=2)
    return score.max(axis=2).sum(axis=1), cut
