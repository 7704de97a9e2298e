"""MADDNESS as its authors' published Python code behaves, also where the paper says otherwise.

This follows github.com/dblalock/bolt at e7726a4. How that differs from the paper, and what the
differences cost, is in docs/decisions/0011-the-authors-figures.md. Where that code fails, this does
not: a constant column is not scaled, tables without a span get steps of 1, and the number of
codebooks whose sums are averaged need not be a power of two or a multiple of 16.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import maddjit
from benchmarks.rivals.codebooks import codebook_counts
from benchmarks.rivals.method import Apply, Floats, Method, checked
from maddjit.learning.maddness.paper import ridge
from maddjit.learning.maddness.regression import one_hot
from maddjit.models.encoders import HashTrees
from maddjit.models.maddness import MaddnessModel, average_group

_DEPTH, _LEAVES = 4, 16
_CANDIDATES = 4
_PENALTY = 1.0
_TABLE_STEPS, _THRESHOLD_STEPS = 255.5, 254.0

Codes = NDArray[np.intp]


class Tree(NamedTuple):
    """One codebook's hash function, and where training rows go while it grows and afterwards."""

    split_dims: Codes
    """(4,) columns of A."""
    thresholds: Floats
    """(15,) numbers after rounding to 8 bits; a row goes right when x ≥ threshold."""
    grown: Codes
    """(N,) leaves by the thresholds before rounding: those that the means are taken over."""
    codes: Codes
    """(N,) leaves by `thresholds`: those that the ridge regression and the operator see."""


def learn(A_train: NDArray[Any], B: NDArray[Any], n_codebooks: int) -> MaddnessModel:
    """Learn a model of 16 leaves a codebook, averaged as the authors' code averages.

    Equal values are sorted in whatever order NumPy's default sort leaves them on this CPU, as
    there; on rows with many of them the model depends on it.
    """
    rows, right = np.asarray(A_train, np.float32), np.asarray(B, np.float64)
    n_features = rows.shape[1]
    checked("codebooks", n_codebooks, n_features)
    blocks = np.array_split(np.arange(n_features), n_codebooks)
    trees = [grow(rows, block) for block in blocks]
    tables = _real_tables(rows, right, blocks, trees)
    entries, scale, offset = _quantised(tables)
    return MaddnessModel(
        HashTrees(
            np.stack([tree.split_dims for tree in trees]),
            np.stack([tree.thresholds for tree in trees]),
            n_features,
        ),
        tables=entries,
        scale=np.full(right.shape[1], scale),
        offset=np.full(right.shape[1], offset),
        accumulate="average",
    )


def grow(rows: Floats, block: Codes) -> Tree:
    """Grow one tree on the columns of a block."""
    inside = rows[:, block]
    grown, codes = np.zeros(len(rows), np.intp), np.zeros(len(rows), np.intp)
    split_dims, thresholds = np.empty(_DEPTH, np.intp), np.empty(_LEAVES - 1, np.float32)
    for level in range(_DEPTH):
        buckets = [np.flatnonzero(grown == b) for b in range(2**level)]
        spread = sum(_spread(inside[bucket]) for bucket in buckets)
        least, column, cuts = np.inf, 0, np.zeros(len(buckets), np.float32)
        for candidate in np.argsort(spread)[-_CANDIDATES:]:  # the first of equal ones is taken
            found = [_cut(inside[bucket], candidate) for bucket in buckets]
            error = sum(error for _, error in found)
            if error < least:
                least, column = error, candidate
                cuts = np.array([cut for cut, _ in found], np.float32)
        x = inside[:, column]
        applied = _eight_bit(cuts, x)
        sizes = np.array([len(bucket) for bucket in buckets])
        grown = 2 * grown + ((x >= cuts[grown]) & (sizes[grown] > 1))
        codes = 2 * codes + (x >= applied[codes])
        split_dims[level] = block[column]
        thresholds[len(buckets) - 1 : 2 * len(buckets) - 1] = applied
    return Tree(split_dims, thresholds, grown, codes)


def _spread(rows: Floats) -> Floats:
    """Return each column's squared deviation from its mean."""
    n = np.float32(max(len(rows), 1))
    spread: Floats = ((rows * rows).sum(axis=0) / n - (rows.sum(axis=0) / n) ** 2) * n
    return spread


def _cut(rows: Floats, column: int) -> tuple[float, float]:
    """Return where one bucket is cut, and the squared error of its two parts together.

    Cuts between two equal values are among those compared. Then all rows of that value go right,
    and the error returned is not that of the parts.
    """
    if len(rows) < 2:
        return 0.0, 0.0
    order = np.argsort(rows[:, column])  # not stable: the order of equal values is the CPU's
    ordered = rows[order]
    errors = _running_errors(ordered)
    errors[:-1] += _running_errors(ordered[::-1])[::-1][1:]
    total = errors.sum(axis=1)
    last = int(np.argmin(total))
    low, high = ordered[[last, min(last + 1, len(rows) - 1)], column].astype(float)
    return (low + high) / 2, float(total[last])


def _running_errors(rows: Floats) -> Floats:
    """Return (n, d): by column, the squared deviation of the first 1, 2 … n rows from their mean.

    Sums are float32; where means are large against deviations, that tells.
    """
    sums, squares = np.cumsum(rows, axis=0), np.cumsum(rows * rows, axis=0)
    shares = 1 / np.arange(1.0, len(rows) + 1)[:, np.newaxis]
    errors: Floats = (squares - sums * (sums * shares)).astype(np.float32)
    errors[0] = 0
    return errors


def _eight_bit(cuts: Floats, x: Floats) -> Floats:
    """Return a level's thresholds as applied, when they are bytes of one scale and offset.

    A row goes right there when (x − offset) · scale exceeds a byte. Here it must reach the least
    float32 for which it does.
    """
    offset = (float(x.min()) + float(cuts.min())) / 2
    span = (float(x.max()) + float(cuts.max())) / 2 - offset
    scale = 2.0 ** np.trunc(np.log2(_THRESHOLD_STEPS / span)) if span > 0 else 1.0
    steps = np.floor(np.clip((cuts.astype(float) - offset) * scale, 0, 255))
    exceeded = steps / scale + offset
    nearest = exceeded.astype(np.float32)
    above = np.nextafter(nearest, np.float32(np.inf))
    return np.where(nearest > exceeded, nearest, above)


def _real_tables(
    rows: Floats, B: NDArray[np.float64], blocks: list[Codes], trees: list[Tree]
) -> NDArray[np.float64]:
    """Return (C, 16, M): prototypes times B, of rows whose mean was not taken off.

    A prototype is the mean row of a leaf, zeros for a leaf without rows, to which a regression of
    what is left on the codes is added. Regression is linear in its targets, so it is fitted
    to A·B here.
    """
    tables = np.empty((len(trees), _LEAVES, B.shape[1]))
    for table, block, tree in zip(tables, blocks, trees, strict=True):
        sums = one_hot(tree.grown[:, np.newaxis], _LEAVES).T @ rows[:, block].astype(np.float64)
        counts = np.bincount(tree.grown, minlength=_LEAVES)
        table[:] = sums / np.maximum(counts, 1)[:, np.newaxis] @ B[block]
    left = rows @ B
    for table, tree in zip(tables, trees, strict=True):
        left -= table[tree.grown]
    codes = np.stack([tree.codes for tree in trees], axis=1)
    return tables + ridge(one_hot(codes, _LEAVES), left, _PENALTY).reshape(tables.shape)


def _quantised(tables: NDArray[np.float64]) -> tuple[NDArray[np.uint8], float, float]:
    """Return 8-bit tables (C, 16, M), and the scale and offset that all outputs share.

    A codebook has one least entry for all outputs, and the step is a power of two over 255.5.
    What averages round up by is taken off, less its fraction.
    """
    n_codebooks = len(tables)
    low = tables.min(axis=(1, 2), keepdims=True)
    span = float((tables - low).max())
    step = 2.0 ** np.ceil(np.log2(span)) / _TABLE_STEPS if span > 0 else 1.0
    entries = np.minimum(np.floor((tables - low) / step + 0.5), 255).astype(np.uint8)
    group = average_group(n_codebooks)
    rounded_up = np.floor(n_codebooks / 4 * np.log2(group))
    return entries, step * group, float(low.sum() - step * rounded_up)


def compiled(A_train: Floats, B: Floats, n_codebooks: int, _: int) -> Apply:
    """Learn and compile; nothing is random."""
    return maddjit.compile(learn(A_train, B, n_codebooks))


METHODS = (Method("MADDNESS as published", "codebooks", compiled, codebook_counts, most_rows=4000),)
