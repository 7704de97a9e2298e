"""Ridge regression of tables on codes, in which the leaves of a tree are drawn to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness.settings import SPARSE_COST

if TYPE_CHECKING:  # SciPy takes a quarter of a second to import, and only learning needs it
    from scipy.sparse import csr_array


def one_hot(codes: NDArray[np.integer[Any]], n_prototypes: int) -> csr_array:
    """Return the matrix G (N, C·K) of codes (N, C): ones in the columns of each row's codes."""
    from scipy.sparse import csr_array

    n_rows, n_codebooks = codes.shape
    columns = codes.astype(np.int64) + n_prototypes * np.arange(n_codebooks)
    ones = np.ones(n_rows * n_codebooks)
    starts = np.arange(0, n_rows * n_codebooks + 1, n_codebooks)
    shape = (n_rows, n_codebooks * n_prototypes)
    return csr_array((ones, columns.ravel(), starts), shape=shape)


def regression_work(n_rows: int, n_codebooks: int, n_prototypes: int, n_targets: int) -> float:
    """Return about how long a regression on codes takes, in operations of a matrix product."""
    width = n_codebooks * n_prototypes
    sums = SPARSE_COST * n_rows * n_codebooks * (n_codebooks + n_targets)
    return sums + width**3 / 3 + 2.0 * width**2 * n_targets


@dataclass(frozen=True)
class TreeRidge:
    """Ridge regression on codes that draws leaves to their common ancestors.

    Leaves that share more levels of their tree are expected to be more alike: the prior covariance
    of leaves k and l is the number of depths, the root's included, at which they share an ancestor.

    Attributes
    ----------
    codes : csr_array (N, C·K)
        The codes of the rows, one-hot.
    weighted : csr_array (N, C·K)
        `codes`, each row times its weight.
    gram : (C·K, C·K) float64
        The summed weight of the rows in which two codes meet.
    n_prototypes : int
        K.
    related : bool
        Whether codes are leaves of trees. If not, each entry is drawn to 0 alone.
    """

    codes: csr_array
    weighted: csr_array
    gram: NDArray[np.float64]
    n_prototypes: int
    related: bool = True

    @classmethod
    def of(
        cls,
        codes: NDArray[np.integer[Any]],
        n_prototypes: int,
        weights: NDArray[np.float32],
        related: bool = True,
    ) -> TreeRidge:
        """Prepare the regression for the codes (N, C) and the weights (N,) of rows."""
        from scipy.sparse import csr_array

        plain = one_hot(codes, n_prototypes)
        heavy = np.repeat(weights.astype(np.float64), codes.shape[1])
        weighted = csr_array((heavy, plain.indices, plain.indptr), shape=plain.shape)
        return cls(plain, weighted, (plain.T @ weighted).toarray(), n_prototypes, related)

    def tables(self, targets: NDArray[Any], penalty: float) -> NDArray[np.float64]:
        """Return the tables (C, K, Q) that approximate targets (N, Q) best."""
        from scipy.linalg import solve

        gram = self.gram.copy()
        prior = shared_depths(self.n_prototypes) if self.related else np.eye(self.n_prototypes)
        precision = penalty * np.linalg.inv(prior)
        for first in range(0, len(gram), self.n_prototypes):
            leaves = slice(first, first + self.n_prototypes)
            gram[leaves, leaves] += precision
        products = self.weighted.T @ targets.astype(np.float64)
        found = solve(gram, products, assume_a="pos", overwrite_a=True)
        tables: NDArray[np.float64] = found.reshape(-1, self.n_prototypes, targets.shape[1])
        return tables


def shared_depths(n_prototypes: int) -> NDArray[np.float64]:
    """Return the number of depths, root included, at which two leaves share an ancestor, (K, K)."""
    leaves = np.arange(n_prototypes)
    shared = np.zeros((n_prototypes, n_prototypes))
    for size in 2 ** np.arange(n_prototypes.bit_length()):
        ancestors = leaves // size
        shared += ancestors[:, np.newaxis] == ancestors
    return shared
