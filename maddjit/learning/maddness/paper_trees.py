"""The paper's hash trees, grown greedily on the columns of A alone (section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness.thresholds import between


@dataclass(frozen=True)
class PaperTree:
    """The hash function of one codebook, and the leaf of every training row.

    Attributes
    ----------
    split_dims : (T,) intp
        The column of A that each level compares.
    thresholds : (K − 1,) float32
        Node i of level t stands at 2ᵗ − 1 + i; it is +inf where no training row would go right.
    codes : (N,) intp
        The leaf of each training row.
    """

    split_dims: NDArray[np.intp]
    thresholds: NDArray[np.float32]
    codes: NDArray[np.intp]


def grow(
    A: NDArray[Any], columns: NDArray[np.intp], depth: int, n_candidates: int | None = 4
) -> PaperTree:
    """Return one tree, grown on a block of columns (paper, algorithm 2).

    Parameters
    ----------
    A : (N, D) float32 or float64
    columns : (d,) intp
        The block.
    depth : int
        T; the tree has 2ᵀ leaves.
    n_candidates : int or None
        How many columns are tried at each level: those whose squared deviations, summed over the
        buckets, are largest. None tries all.
    """
    values = A[:, columns]
    centred = values.astype(np.float64)
    centred -= centred.mean(axis=0)
    ranks = np.argsort(values, axis=0, kind="stable")
    bucket = np.zeros(len(A), dtype=np.intp)
    split_dims = np.zeros(depth, dtype=np.intp)
    thresholds = np.full(2**depth - 1, np.inf, dtype=np.float32)
    for level in range(depth):
        n_buckets = 2**level
        scatter = _scatter(centred, bucket, n_buckets)
        candidates = np.argsort(-scatter, kind="stable")[:n_candidates]
        best = None
        for candidate in candidates:
            order = ranks[np.argsort(bucket[ranks[:, candidate]], kind="stable"), candidate]
            gain, split = _best_thresholds(
                centred[order], values[order, candidate], bucket[order], n_buckets
            )
            if best is None or gain > best[0]:
                best = gain, candidate, split
        assert best is not None
        _, column, split = best
        split_dims[level] = columns[column]
        thresholds[n_buckets - 1 : 2 * n_buckets - 1] = split
        bucket = 2 * bucket + (values[:, column] >= split[bucket])
    return PaperTree(split_dims, thresholds, bucket)


def _bucket_sums(rows: NDArray[Any], bucket: NDArray[np.intp], n: int) -> NDArray[np.float64]:
    """Return the sum of the rows in each of n buckets."""
    sums = np.zeros((n, rows.shape[1]))
    order = np.argsort(bucket, kind="stable")
    present, starts = np.unique(bucket[order], return_index=True)
    sums[present] = np.add.reduceat(rows[order], starts, axis=0)
    return sums


def _scatter(
    centred: NDArray[np.float64], bucket: NDArray[np.intp], n_buckets: int
) -> NDArray[np.float64]:
    """Return each column's squared deviation from its buckets' means, summed over buckets."""
    counts = np.maximum(np.bincount(bucket, minlength=n_buckets), 1)
    sums = _bucket_sums(centred, bucket, n_buckets)
    squares: NDArray[np.float64] = np.einsum("nd,nd->d", centred, centred)
    means: NDArray[np.float64] = (sums**2 / counts[:, np.newaxis]).sum(axis=0)
    return squares - means


def _best_thresholds(
    rows: NDArray[np.float64],
    values: NDArray[Any],
    bucket: NDArray[np.intp],
    n_buckets: int,
) -> tuple[float, NDArray[np.float32]]:
    """Return the thresholds that lower the squared error of all buckets most, and by how much.

    A threshold is +inf where no split separates two rows: an empty or constant bucket sends all
    rows left. `rows`, `values` and `bucket` are sorted by (bucket, value). The error of a bucket of
    n rows with sum S is Σ‖x‖² − ‖S‖²/n, so the best split has the largest ‖S_L‖²/n_L + ‖S_R‖²/n_R.

    Returns
    -------
    decrease : float
    thresholds : (n_buckets,) float32
    """
    thresholds = np.full(n_buckets, np.inf, dtype=np.float32)
    low, high = values[:-1], values[1:]
    middle = between(low, high)
    legal = (bucket[:-1] == bucket[1:]) & (middle > low) & (middle <= high)
    if not legal.any():
        return 0.0, thresholds
    counts = np.bincount(bucket, minlength=n_buckets)
    ends = np.cumsum(counts)
    prefix = np.cumsum(rows, axis=0)
    padded = np.concatenate([np.zeros((1, rows.shape[1])), prefix])
    before, total = padded[ends - counts], padded[ends] - padded[ends - counts]
    total_square = np.einsum("bd,bd->b", total, total)
    at = np.flatnonzero(legal)
    owner = bucket[at]
    left = prefix[at] - before[owner]
    n_left = at + 1 - (ends - counts)[owner]
    n_right = counts[owner] - n_left
    left_square = np.einsum("nd,nd->n", left, left)
    right_square = left_square - 2 * np.einsum("nd,nd->n", left, total[owner]) + total_square[owner]
    score = left_square / n_left + right_square / n_right
    # Take the first largest score of each bucket: `owner` is sorted, so buckets are runs of `at`.
    present, starts = np.unique(owner, return_index=True)
    largest = np.maximum.reduceat(score, starts)
    is_best = score == np.repeat(largest, np.diff([*starts, len(at)]))
    first = np.flatnonzero(is_best)
    first = first[np.unique(owner[first], return_index=True)[1]]
    thresholds[present] = middle[at[first]]
    unsplit = total_square[present] / counts[present]
    return float((largest - unsplit).sum()), thresholds
