"""Slow, obviously right learning, which the tests hold against `maddjit.learning`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Split:
    """Rows whose value is at least `high` go right, all others left; `loss` is what both lose."""

    high: float
    loss: float


@dataclass(frozen=True)
class Grown:
    """The split columns (positions in the block), the leaf of each row, and the total loss."""

    columns: list[int]
    codes: NDArray[np.intp]
    loss: float


def error(rows: NDArray[Any]) -> float:
    """Squared distance of the rows from their mean, summed over all columns."""
    if len(rows) == 0:
        return 0.0
    exact = rows.astype(np.float64)
    return float(((exact - exact.mean(axis=0)) ** 2).sum())


def loss(block: NDArray[Any], codes: NDArray[np.intp]) -> float:
    """The error of every bucket, summed."""
    return sum(error(block[codes == code]) for code in np.unique(codes))


def splits(block: NDArray[Any], column: int) -> list[Split]:
    """Every way to part the rows of one bucket by one column.

    Thresholds are float32, so two neighbouring values low < high can be parted if a float32 v
    with low < v ≤ high exists, that is, if the largest float32 up to `high` is above `low`.
    """
    values = block[:, column].astype(np.float64)
    found = []
    for low, high in pairwise(np.unique(values)):
        if _largest_float32(high) > low:
            right = values >= high
            found.append(Split(high, error(block[~right]) + error(block[right])))
    return found


def _largest_float32(limit: float) -> float:
    with np.errstate(over="ignore"):
        rounded = np.float32(limit)
    if float(rounded) > limit:
        rounded = np.nextafter(rounded, np.float32(-np.inf))
    return float(rounded)


def best_split(block: NDArray[Any], column: int) -> Split | None:
    """The split with the least loss, or None if no threshold parts the rows."""
    return min(splits(block, column), key=lambda split: split.loss, default=None)


def split_level(
    block: NDArray[Any], codes: NDArray[np.intp], column: int
) -> tuple[float, NDArray[np.intp]]:
    """Split every bucket at its best threshold; return the total loss and the new codes."""
    children = 2 * codes
    for code in np.unique(codes):
        inside = codes == code
        split = best_split(block[inside], column)
        if split is not None:
            children += inside & (block[:, column] >= split.high)
    return loss(block, children), children


def deviations(block: NDArray[Any], codes: NDArray[np.intp]) -> NDArray[np.float64]:
    """Each column's squared deviation from the means of its buckets, summed over buckets."""
    return np.array(
        [loss(block[:, [column]], codes) for column in range(block.shape[1])], dtype=np.float64
    )


def grow(block: NDArray[Any], depth: int, n_candidates: int | None) -> Grown:
    """Grow a tree level by level, taking the best of the candidate columns each time.

    Of equal columns the first is taken: compare with it only where nothing is equal.
    """
    codes = np.zeros(len(block), dtype=np.intp)
    columns = []
    for _ in range(depth):
        candidates = np.argsort(-deviations(block, codes), kind="stable")[:n_candidates]
        tried = {int(column): split_level(block, codes, int(column)) for column in candidates}
        column = min(tried, key=lambda candidate: tried[candidate][0])
        columns.append(column)
        codes = tried[column][1]
    return Grown(columns, codes, loss(block, codes))


def bucket_means(block: NDArray[Any], codes: NDArray[np.intp], depth: int) -> NDArray[np.float64]:
    """The mean of each leaf's rows; of its nearest ancestor that has rows if it has none."""
    means = np.zeros((2**depth, block.shape[1]))
    for leaf in range(2**depth):
        height = next(h for h in range(depth + 1) if (codes >> h == leaf >> h).any())
        means[leaf] = block[codes >> height == leaf >> height].astype(np.float64).mean(axis=0)
    return means


def one_hot(codes: NDArray[np.intp], n_prototypes: int) -> NDArray[np.float64]:
    """G (N, C·K) of codes (N, C)."""
    n_rows, n_codebooks = codes.shape
    G = np.zeros((n_rows, n_codebooks, n_prototypes))
    for row in range(n_rows):
        for codebook in range(n_codebooks):
            G[row, codebook, codes[row, codebook]] = 1
    return G.reshape(n_rows, n_codebooks * n_prototypes)


def ridge(
    G: NDArray[np.float64], targets: NDArray[np.float64], penalty: float
) -> NDArray[np.float64]:
    """The P that minimises ‖G P − targets‖² + penalty · ‖P‖²: ordinary least squares of
    [G; √penalty · I] on [targets; 0].
    """
    width = G.shape[1]
    left = np.vstack([G, np.sqrt(penalty) * np.eye(width)])
    right = np.vstack([targets, np.zeros((width, targets.shape[1]))])
    solution: NDArray[np.float64] = np.linalg.lstsq(left, right, rcond=None)[0]
    return solution


def prototypes(
    A: NDArray[Any],
    blocks: list[NDArray[np.intp]],
    codes: NDArray[np.intp],
    depth: int,
    penalty: float | None,
) -> NDArray[np.float64]:
    """Prototypes (C, K, D): bucket means in their own block, plus the joint ridge regression of
    what these leave of A; without a penalty the bucket means alone.
    """
    exact = A.astype(np.float64)
    found = np.zeros((len(blocks), 2**depth, A.shape[1]))
    for codebook, block in enumerate(blocks):
        found[codebook][:, block] = bucket_means(exact[:, block], codes[:, codebook], depth)
    if penalty is not None:
        said = sum(found[codebook][codes[:, codebook]] for codebook in range(len(blocks)))
        found += ridge(one_hot(codes, 2**depth), exact - said, penalty).reshape(found.shape)
    return found


def real_tables(found: NDArray[np.float64], B: NDArray[Any]) -> NDArray[np.float64]:
    """Tables (C, K, M): each prototype times each column of B."""
    return found @ B.astype(np.float64)
