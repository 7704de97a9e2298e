"""Which columns each codebook may split: contiguous blocks, clusters, or blocks drawn at random."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Blocks = list[NDArray[np.intp]]

_MAX_ROWS = 10000
"""Rows that correlations are taken from."""

_MAX_SWEEPS = 8
"""How often each column is looked at for a better place, at most."""

_PASSES = 500
"""What all else takes, beside the products of a row's columns."""


def contiguous(columns: NDArray[np.intp], n_blocks: int) -> Blocks:
    """Cut the columns in their order (the paper's blocks)."""
    return np.array_split(columns, n_blocks)


def shuffled(columns: NDArray[np.intp], n_blocks: int, rng: np.random.Generator) -> Blocks:
    """Deal the columns at random."""
    return [np.sort(block) for block in np.array_split(rng.permutation(columns), n_blocks)]


def clusters(rows: NDArray[Any], columns: NDArray[np.intp], n_blocks: int) -> Blocks:
    """Put columns of large absolute correlation together, in blocks of about equal size.

    Each block starts with the column most correlated with all that are free and takes the nearest
    free ones; then columns change places in pairs, as long as that helps.
    """
    few = rows[:: -(-len(rows) // _MAX_ROWS), columns].astype(np.float64)
    few -= few.mean(axis=0)
    norms = np.linalg.norm(few, axis=0)
    few /= np.where(norms > 0, norms, 1)
    likeness = np.abs(few.T @ few)
    np.fill_diagonal(likeness, 0)
    owner = np.full(len(columns), -1)
    for block, size in enumerate(len(part) for part in np.array_split(columns, n_blocks)):
        near = likeness @ (owner < 0)  # the first one is near all that are free
        for n_own in range(size):
            new = int(np.argmax(np.where(owner < 0, near, -np.inf)))
            owner[new] = block
            near = near + likeness[new] if n_own else likeness[new]
    _swap(likeness, owner, n_blocks)
    return [columns[owner == block] for block in range(n_blocks)]


def clusters_work(n_rows: int, n_columns: int) -> float:
    """Return what `clusters` takes, about, in operations of a product of matrices."""
    return 2.0 * n_columns**2 * (min(n_rows, _MAX_ROWS) + _PASSES)


def _swap(likeness: NDArray[np.float64], owner: NDArray[np.intp], n_blocks: int) -> None:
    """Let each column in turn change places with the one that this helps most, if it helps."""
    near = np.eye(n_blocks)[owner].T @ likeness  # of each block to each column
    for _ in range(_MAX_SWEEPS):
        own = near[owner, np.arange(len(owner))]
        moved = False
        # First those that another block would suit best.
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
