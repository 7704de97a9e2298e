"""What each leaf stands for: bucket means, and the joint ridge regression (paper, section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness.paper_trees import Tree

if TYPE_CHECKING:  # SciPy takes a quarter of a second to import, and only learning needs it
    from scipy.sparse import csr_array

_SPARSE = 20


def bucket_means(
    A: NDArray[Any], columns: NDArray[np.intp], tree: Tree, n_prototypes: int
) -> NDArray[np.float64]:
    """Return (K, d): the mean of each leaf's rows over the block.

    A leaf without training rows takes the mean of its nearest ancestor that has some.
    """
    counts = np.bincount(tree.codes, minlength=n_prototypes)
    sums = one_hot(tree.codes[:, np.newaxis], n_prototypes).T @ A[:, columns].astype(np.float64)
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


def one_hot(codes: NDArray[np.integer[Any]], n_prototypes: int) -> csr_array:
    """Return G (N, C·K) for codes (N, C): row n holds a one in the column of each of its codes."""
    from scipy.sparse import csr_array

    n_rows, n_codebooks = codes.shape
    columns = codes.astype(np.int64) + n_prototypes * np.arange(n_codebooks)
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


def regression_work(n_rows: int, n_codebooks: int, n_prototypes: int, n_targets: int) -> float:
    """Return what a regression on codes takes, about, in operations of a product of matrices.

    Sums over the rows' codes take some `_SPARSE` times as long as these.
    """
    width = n_codebooks * n_prototypes
    sums = _SPARSE * n_rows * n_codebooks * (n_codebooks + n_targets)
    return sums + width**3 / 3 + 2.0 * width**2 * n_targets


@dataclass(frozen=True)
class TreeRidge:
    """Ridge regression on codes in which leaves are drawn to their ancestors.

    Two leaves are the more alike the more levels of the tree they share: the prior covariance of
    leaves k and l is the number of depths, from the root on, at which both have the same ancestor.

    Attributes
    ----------
    codes : csr_array (N, C·K)
        One-hot.
    weighted : csr_array (N, C·K)
        The same times the rows' weights.
    gram : (C·K, C·K) float64
    n_prototypes : int
    """

    codes: csr_array
    weighted: csr_array
    gram: NDArray[np.float64]
    n_prototypes: int

    @classmethod
    def of(
        cls, codes: NDArray[np.integer[Any]], n_prototypes: int, weights: NDArray[np.float32]
    ) -> TreeRidge:
        """Prepare it for codes (N, C) and weights (N,) of rows."""
        from scipy.sparse import csr_array

        plain = one_hot(codes, n_prototypes)
        heavy = np.repeat(weights.astype(np.float64), codes.shape[1])
        weighted = csr_array((heavy, plain.indices, plain.indptr), shape=plain.shape)
        return cls(plain, weighted, (plain.T @ weighted).toarray(), n_prototypes)

    def tables(self, targets: NDArray[Any], penalty: float) -> NDArray[np.float64]:
        """Return the tables (C, K, Q) for targets (N, Q)."""
        from scipy.linalg import solve

        gram = self.gram.copy()
        precision = penalty * np.linalg.inv(shared_depths(self.n_prototypes))
        for first in range(0, len(gram), self.n_prototypes):
            leaves = slice(first, first + self.n_prototypes)
            gram[leaves, leaves] += precision
        products = self.weighted.T @ targets.astype(np.float64)
        found = solve(gram, products, assume_a="pos", overwrite_a=True)
        tables: NDArray[np.float64] = found.reshape(-1, self.n_prototypes, targets.shape[1])
        return tables


def shared_depths(n_prototypes: int) -> NDArray[np.float64]:
    """Return (K, K): at how many depths, the root's included, two leaves share an ancestor."""
    leaves = np.arange(n_prototypes)
    shared = np.zeros((n_prototypes, n_prototypes))
    for size in 2 ** np.arange(n_prototypes.bit_length()):
        ancestors = leaves // size
        shared += ancestors[:, np.newaxis] == ancestors
    return shared
