"""What each leaf stands for: bucket means, and the joint ridge regression (paper, section 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.trees import Tree

if TYPE_CHECKING:  # SciPy takes a quarter of a second to import, and only learning needs it
    from scipy.sparse import csr_array


def bucket_means(
    A: NDArray[Any], columns: NDArray[np.intp], tree: Tree, n_prototypes: int
) -> NDArray[np.float64]:
    """Return (K, d): the mean of each leaf's rows over the block.

    A leaf without training rows takes the mean of its nearest ancestor that has some.
    """
    counts = np.bincount(tree.codes, minlength=n_prototypes)
    sums = one_hot([tree], n_prototypes).T @ A[:, columns].astype(np.float64)
    means: NDArray[np.float64] = np.zeros(sums.shape)
    size, unknown = 1, np.ones(n_prototypes, dtype=bool)
    while unknown.any():  # the subtree of `size` leaves around each leaf; the root has every row
        rows = counts.reshape(-1, size).sum(axis=1)
        subtree = sums.reshape(len(rows), size, -1).sum(axis=1)
        subtree /= np.maximum(rows, 1)[:, np.newaxis]
        found = unknown & np.repeat(rows > 0, size)
        means[found] = np.repeat(subtree, size, axis=0)[found]
        unknown &= ~found
        size *= 2
    return means


def one_hot(trees: list[Tree], n_prototypes: int) -> csr_array:
    """Return G (N, C·K): row n holds a one in the column of each of its codes."""
    from scipy.sparse import csr_array

    n_rows, n_codebooks = len(trees[0].codes), len(trees)
    columns = np.stack([c * n_prototypes + tree.codes for c, tree in enumerate(trees)], axis=1)
    ones = np.ones(n_rows * n_codebooks)
    starts = np.arange(0, n_rows * n_codebooks + 1, n_codebooks)
    shape = (n_rows, n_codebooks * n_prototypes)
    return csr_array((ones, columns.ravel(), starts), shape=shape)


def ridge(G: csr_array, residual: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """Return (GᵀG + λI)⁻¹ Gᵀ residual (paper, equation 8)."""
    from scipy.linalg import solve

    gram = (G.T @ G).toarray()
    gram[np.diag_indices_from(gram)] += penalty
    solution: NDArray[np.float64] = solve(gram, G.T @ residual, assume_a="pos", overwrite_a=True)
    return solution
