"""Which columns each codebook may split: contiguous blocks, clusters, or blocks drawn at random."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness import settings
from maddjit.learning.maddness.sample import some_of

Blocks = list[NDArray[np.intp]]
"""The columns of each block."""


def contiguous(columns: NDArray[np.intp], n_blocks: int) -> Blocks:
    """Return blocks of neighbouring columns, as in the paper."""
    return np.array_split(columns, n_blocks)


def shuffled(columns: NDArray[np.intp], n_blocks: int, rng: np.random.Generator) -> Blocks:
    """Return blocks of columns that are dealt at random."""
    return [np.sort(block) for block in np.array_split(rng.permutation(columns), n_blocks)]


def clusters(rows: NDArray[Any], columns: NDArray[np.intp], n_blocks: int) -> Blocks:
    """Return blocks of about equal size whose columns have large absolute correlations.

    Each block starts with the column that is most correlated with all free columns, and takes the
    nearest free ones. Then columns change places in pairs, as long as that helps.
    """
    few = some_of(rows, settings.CORRELATION_ROWS)[:, columns].astype(np.float64)
    few -= few.mean(axis=0)
    norms = np.linalg.norm(few, axis=0)
    few /= np.where(norms > 0, norms, 1)
    likeness = np.abs(few.T @ few)
    np.fill_diagonal(likeness, 0)
    owner = np.full(len(columns), -1)
    for block, size in enumerate(len(part) for part in np.array_split(columns, n_blocks)):
        near = likeness @ (owner < 0)  # the first column is near all free ones
        for n_own in range(size):
            new = int(np.argmax(np.where(owner < 0, near, -np.inf)))
            owner[new] = block
            near = near + likeness[new] if n_own else likeness[new]
    _swap(likeness, owner, n_blocks)
    return [columns[owner == block] for block in range(n_blocks)]


def clusters_work(n_rows: int, n_columns: int) -> float:
    """Return about how long `clusters` takes, in operations of a matrix product."""
    n_correlated = min(n_rows, settings.CORRELATION_ROWS)
    return 2.0 * n_columns**2 * (n_correlated + settings.CLUSTER_PASSES)


def _swap(likeness: NDArray[np.float64], owner: NDArray[np.intp], n_blocks: int) -> None:
    """Swap each column in turn with the column that gains most by it, where there is a gain."""
    near = np.eye(n_blocks)[owner].T @ likeness  # likeness of each block to each column
    for _ in range(settings.MAX_SWEEPS):
        own = near[owner, np.arange(len(owner))]
        moved = False
        # Columns that another block would suit best come first.
        for i in np.argsort(own - near.max(axis=0), kind="stable"):
            home = owner[i]
            gain = near[owner, i] - near[home, i] + near[home] - own - 2 * likeness[i]
            gain[owner == home] = 0
            j = int(np.argmax(gain))
            if gain[j] <= 1e-9:
                continue
            change = likeness[j] - likeness[i]
            near[home] += change
            near[owner[j]] -= change
            owner[i], owner[j] = owner[j], home
            own = near[owner, np.arange(len(owner))]
            moved = True
        if not moved:
            return
