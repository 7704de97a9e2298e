"""Low rank: directions learned from A_train, from B or from both, or columns drawn at random."""

from __future__ import annotations

import warnings
from timeit import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rivals.method import Apply, Floats, Method, checked, dense_ranks, narrower

if TYPE_CHECKING:
    from scipy.sparse import sparray

Doubles = NDArray[np.float64]

_TRIED_ROWS, _TRIES = 1000, 5
_SPARSE_ROWS = 1000
"""Training rows that SparsePCA sees, which takes minutes for more."""
_SPARSITY = 1.0
"""SparsePCA's penalty of absolute entries, for columns of a mean variance of 1."""


def two_products(
    left: NDArray[Any], right: NDArray[Any], offset: NDArray[Any] | None = None
) -> Apply:
    """Return A → (A @ left) @ right + offset.

    The offset is one more row of `right` and a column of ones beside A @ left, which is cheaper
    than another pass over the outputs.
    """
    rank, first = left.shape[1], np.ascontiguousarray(left, np.float32)
    second = np.array(right if offset is None else np.vstack([right, offset]), np.float32)

    def plain(A: Floats) -> Floats:
        return times(A @ first, second)

    def shifted(A: Floats) -> Floats:
        inner = np.empty((len(A), rank + 1), np.float32)
        np.matmul(A, first, out=inner[:, :rank])
        inner[:, rank] = 1
        return inner @ second

    return plain if offset is None else shifted


def times(inner: Floats, second: Floats) -> Floats:
    """Return inner @ second. For rank 1 NumPy broadcasts, which is faster."""
    return inner * second if len(second) == 1 else inner @ second


def sparse_then_dense(left: sparray, right: NDArray[Any], offset: NDArray[Any]) -> Apply:
    """Return A → (A @ left) @ right + offset for a sparse `left` (D, rank), by SciPy."""
    from scipy.sparse import csr_array

    transposed = csr_array(left.T, dtype=np.float32)
    second, added = np.ascontiguousarray(right, np.float32), np.asarray(offset, np.float32)
    return lambda A: times((transposed @ A.T).T, second) + added


def sparse_or_dense(
    A_train: Floats, left: sparray, right: NDArray[Any], offset: NDArray[Any]
) -> Apply:
    """Return the faster of multiplying by a sparse `left` as such and as a dense matrix."""
    rows = np.ascontiguousarray(A_train[:_TRIED_ROWS], np.float32)

    def seconds(apply: Apply) -> float:
        return min(repeat(lambda: apply(rows), number=1, repeat=_TRIES))

    dense = two_products(left.toarray(), right, offset)
    return min(dense, sparse_then_dense(left, right, offset), key=seconds)


def pca(A_train: Floats, B: Floats, rank: int, seed: int) -> Apply:
    """Project the rows on the principal directions of A_train; their mean goes into an offset.

    Hotelling, Analysis of a complex of statistical variables into principal components, Journal of
    Educational Psychology, 1933; by scikit-learn's PCA.
    """
    from sklearn.decomposition import PCA

    rows, right = A_train.astype(np.float64), B.astype(np.float64)
    checked("rank", rank, min(rows.shape))
    learned = PCA(rank, random_state=seed).fit(rows)
    basis, mean = learned.components_, learned.mean_
    return two_products(basis.T, basis @ right, (mean - mean @ basis.T @ basis) @ right)


def weighted(A_train: Floats, B: Floats, rank: int, seed: int) -> Apply:
    """Project the outputs on the principal directions of A_train @ B: A-weighted low rank.

    Reduced-rank regression of A @ B on A: Izenman, Reduced-rank regression for the multivariate
    linear model, Journal of Multivariate Analysis, 1975; by scikit-learn's PCA.
    """
    return two_products(*weighted_factors(A_train, B, rank, seed))


def weighted_factors(
    A_train: Floats, B: Floats, rank: int, seed: int = 0
) -> tuple[Doubles, Doubles, Doubles]:
    """Return L (D, rank), R (rank, M) and an offset (M,) with A L R + offset close to A B.

    No other affine map of that rank has a smaller squared error on A_train.
    """
    from sklearn.decomposition import PCA

    right = B.astype(np.float64)
    checked("rank", rank, min(B.shape[1], len(A_train)))
    learned = PCA(rank, random_state=seed).fit(A_train.astype(np.float64) @ right)
    basis, mean = learned.components_, learned.mean_
    return right @ basis.T, basis, mean - mean @ basis.T @ basis


def svd(_: Floats, B: Floats, rank: int, __: int) -> Apply:
    """Truncate the singular value decomposition of B, whatever A is like.

    The paper decomposes both matrices when A arrives; with B known that only costs time. Eckart &
    Young, The approximation of one matrix by another of lower rank, Psychometrika, 1936.
    """
    from scipy.linalg import svd as decompose

    checked("rank", rank, min(B.shape))
    left, values, right = decompose(B.astype(np.float64), full_matrices=False)
    return two_products(left[:, :rank], values[:rank, None] * right[:rank])


def sparse_pca(A_train: Floats, B: Floats, rank: int, seed: int) -> Apply:
    """Use sparse directions W: (A Wᵀ) ((W Wᵀ + λ)⁻¹ W B), the mean in an offset.

    The middle factor is scikit-learn's ridge regression of rows on W; it is known when fitting.
    Zou, Hastie & Tibshirani, Sparse principal component analysis, JCGS, 2006, as learned by Mairal
    et al., Online dictionary learning for sparse coding, ICML 2009: MiniBatchSparsePCA.
    """
    from scipy.sparse import csc_array
    from sklearn.decomposition import MiniBatchSparsePCA
    from sklearn.exceptions import ConvergenceWarning

    checked("rank", rank, A_train.shape[1])
    chosen = np.random.default_rng(seed).permutation(len(A_train))[:_SPARSE_ROWS]
    rows, right = A_train[np.sort(chosen)].astype(np.float64), B.astype(np.float64)
    step = np.sqrt(rows.var(axis=0).mean()) or 1.0
    learner = MiniBatchSparsePCA(rank, alpha=_SPARSITY, max_iter=100, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        learned = learner.fit(rows / step)
    basis, mean = learned.components_, A_train.mean(axis=0, dtype=np.float64)
    gram = basis @ basis.T + learner.ridge_alpha * np.eye(rank)
    middle = np.linalg.solve(gram, basis @ right)
    offset = mean @ right - mean @ basis.T @ middle
    return sparse_or_dense(A_train, csc_array(basis.T), middle, offset)


def column_sampling(A_train: Floats, B: Floats, n_draws: int, seed: int) -> Apply:
    """Draw columns of A and rows of B with probabilities of their norms' product, and rescale.

    Norms of A's columns are those of A_train. What is drawn twice is multiplied once. Drineas,
    Kannan & Mahoney, Fast Monte Carlo algorithms for matrices I, SIAM Journal on Computing, 2006.
    """
    checked("draws", n_draws, len(B))
    norms = np.linalg.norm(A_train.astype(np.float64), axis=0) * np.linalg.norm(B, axis=1)
    chances = norms / norms.sum() if norms.any() else np.full(len(B), 1 / len(B))
    drawn = np.random.default_rng(seed).choice(len(B), n_draws, p=chances)
    columns, counts = np.unique(drawn, return_counts=True)
    weights = counts / (n_draws * chances[columns])
    kept = (weights[:, np.newaxis] * B[columns]).astype(np.float32)
    return lambda A: times(np.take(A, columns, axis=1), kept)


def _sparse_ranks(n_features: int, n_outputs: int) -> tuple[int, ...]:
    """Return ranks up to 256; larger ones take long to fit."""
    return tuple(rank for rank in narrower(n_features, n_outputs) if rank <= 256)


_SKLEARN = ("sklearn",)
METHODS = (
    Method("PCA", "rank", pca, dense_ranks, needs=_SKLEARN),
    Method("A-weighted low rank", "rank", weighted, dense_ranks, needs=_SKLEARN),
    Method("SparsePCA", "rank", sparse_pca, _sparse_ranks, needs=_SKLEARN, most_rows=5000),
    Method("SVD", "rank", svd, dense_ranks),
    Method("column sampling", "draws", column_sampling, narrower, random=True),
)
