"""Hash trees grown on bins: each level splits the column whose cuts lower the error most."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness import settings
from maddjit.learning.maddness.bins import Bins, BinTree
from maddjit.learning.maddness.settings import N_BINS, N_COARSE


def sum_by(keys: NDArray[Any], n: int, values: NDArray[Any]) -> NDArray[Any]:
    """Return the sum of the rows of `values` (N, Q) for each of n keys, (n, Q)."""
    from scipy.sparse import csc_array

    ones = np.ones(len(keys), values.dtype)
    chosen = csc_array((ones, keys, np.arange(len(keys) + 1)), shape=(n, len(keys)))
    sums: NDArray[Any] = chosen @ values
    return sums


def n_tried(n_columns: int) -> int:
    """Return how many columns of a block are tried on all rows at a level of its tree."""
    return min(n_columns, max(settings.ALWAYS_TRIED, n_columns // settings.TRIED_SHARE))


def step_compared(n_rows: int, n_leaves: int) -> int:
    """Return the step between rows of the sample on which all columns are compared first."""
    n_compared = max(settings.COMPARED_ROWS, settings.COMPARED_ROWS_PER_LEAF * n_leaves)
    return max(1, n_rows // n_compared)


def grow_on_bins(
    bins: Bins, columns: NDArray[np.intp], targets: NDArray[np.float32], depth: int, least: int
) -> BinTree:
    """Return a tree whose leaves gather rows of similar targets.

    At each level all columns are compared on a part of the rows, in few bins. The best of them are
    then tried on all rows.

    Parameters
    ----------
    bins : Bins
    columns : (d,) intp
        The columns that may be split.
    targets : (N, Q) float32
    depth : int
    least : int
        How many rows both sides of a split must have.
    """
    counted = np.concatenate([targets, np.ones((len(targets), 1), np.float32)], axis=1)
    node = np.zeros(len(targets), np.int32)
    split_dims = np.zeros(depth, np.intp)
    cuts = np.full(2**depth - 1, N_BINS, np.intp)
    step = step_compared(len(targets), 2**depth)
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
    """Return the best cut of every node by each column of `bins` (d, N), and what the cuts score.

    Returns
    -------
    scores : (d,) float64
    cuts : (d, nodes) intp
    """
    n_columns, n_rows = bins.shape
    n_keys = n_nodes * n_bins
    batch = min(n_columns, settings.BATCH_ENTRIES // n_rows)
    batch = max(1, min(batch, settings.BATCH_SUMS // (n_keys * counted.shape[1])))
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
    """Return the cuts where ‖S_L‖²/n_L + ‖S_R‖²/n_R is largest, and its sum over the nodes.

    Parameters
    ----------
    sums : (d, nodes, bins, Q + 1) float32
        The sum of the targets in each bin, and last the number of rows.
    least : int

    Returns
    -------
    scores : (d,) float64
    cuts : (d, nodes) intp
    """
    n_left = np.zeros((*sums.shape[:2], sums.shape[2] + 1))
    np.cumsum(sums[..., -1], axis=2, out=n_left[..., 1:])
    n_right = n_left[..., -1:] - n_left
    left, score, on_right = np.zeros_like(n_left), np.zeros_like(n_left), np.zeros_like(n_left)
    for target in range(sums.shape[3] - 1):
        np.cumsum(sums[..., target], axis=2, out=left[..., 1:])
        right = left[..., -1:] - left
        on_right += np.square(right, out=right)
        score += np.square(left)
    few = (n_left < least) | (n_right < least)
    few[..., -1] = False  # the last cut sends all rows left, which is always allowed
    score /= np.maximum(n_left, 1e-9, out=n_left)
    on_right /= np.maximum(n_right, 1e-9, out=n_right)
    score += on_right
    score[few] = -1
    # Of equal cuts the last is taken, so a node that no cut improves sends all rows left.
    cut = score.shape[2] - 1 - np.argmax(score[..., ::-1], axis=2)
    return score.max(axis=2).sum(axis=1), cut
