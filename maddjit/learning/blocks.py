"""Which columns each codebook may split: contiguous blocks, clusters, or blocks drawn at random."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Blocks = list[NDArray[np.intp]]

_MAX_ROWS = 10000
"""Rows that correlations are taken from."""

_MAX_SWAPPING = 2**28
"""Pairs of columns looked at, in all, for one more swap."""


def contiguous(columns: NDArray[np.intp], n_blocks: int) -> Blocks:
    """Cut the columns in their order (the paper's blocks)."""
    return np.array_split(columns, n_blocks)


def shuffled(columns: NDArray[np.intp], n_blocks: int, rng: np.random.Generator) -> Blocks:
    """Deal the columns at random."""
    return [np.sort(block) for block in np.array_split(rng.permutation(columns), n_blocks)]


def clusters(rows: NDArray[Any], columns: NDArray[np.intp], n_blocks: int) -> Blocks:
    """Put columns of large absolute correlation together, in blocks of about equal size.

    Each block starts with the column most correlated with all that are free and takes the nearest
    free ones; then pairs of columns change places, the best pair first, as long as that helps.
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


def _swap(likeness: NDArray[np.float64], owner: NDArray[np.intp], n_blocks: int) -> None:
    n_columns = len(owner)
    everyone = np.arange(n_columns)
    near = likeness @ np.eye(n_blocks)[owner]  # of each column to each block's
    for _ in range(min(n_columns, _MAX_SWAPPING // n_columns**2)):
        moved = near[:, owner] - near[everyone, owner][:, np.newaxis]  # i's gain in j's block
        gain = moved + moved.T - 2 * likeness
        gain[owner[:, np.newaxis] == owner] = 0
        i, j = divmod(int(np.argmax(gain)), n_columns)
        if gain[i, j] <= 1e-9:
            return
        change = likeness[:, j] - likeness[:, i]
        near[:, owner[i]] += change
        near[:, owner[j]] -= change
        owner[i], owner[j] = owner[j], owner[i]
