"""Random sketches: A @ S times Sᵀ @ B with E[S Sᵀ] = 1, so that they are right on average.

All draw S (D, width) and sketch B when they are fitted. At run time A is sketched and multiplied.
"""

from __future__ import annotations

import numpy as np

from benchmarks.rivals.method import Apply, Floats, Method, checked, dense_ranks, narrower
from benchmarks.rivals.products import sparse_or_dense, times, two_products

_WIDTH = "width of the sketch"


def orthogonal_gaussian(_: Floats, B: Floats, width: int, seed: int) -> Apply:
    """Draw orthonormal columns, stretched by √(D / width) to be right on average.

    Ji et al., Super-bit locality-sensitive hashing, NIPS 2012.
    """
    checked(_WIDTH, width, len(B))
    drawn = np.random.default_rng(seed).standard_normal((len(B), width))
    sketch = np.linalg.qr(drawn)[0] * np.sqrt(len(B) / width)
    return two_products(sketch, sketch.T @ B)


def hash_jl(A_train: Floats, B: Floats, width: int, seed: int) -> Apply:
    """Add each column, with a random sign, to one random column of the sketch.

    Dasgupta, Kumar & Sarlós, A sparse Johnson-Lindenstrauss transform, STOC 2010, with the one
    entry of Clarkson & Woodruff, STOC 2013; by SciPy's clarkson_woodruff_transform.
    """
    from scipy.linalg import clarkson_woodruff_transform
    from scipy.sparse import csc_array, eye_array

    checked(_WIDTH, width, len(B))
    columns = eye_array(len(B), format="csc")
    drawn = clarkson_woodruff_transform(columns, width, np.random.default_rng(seed))
    sketch = csc_array(drawn.T)
    return sparse_or_dense(A_train, sketch, sketch.T @ B)


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


METHODS = (
    Method("orthogonal Gaussian", _WIDTH, orthogonal_gaussian, dense_ranks, random=True),
    Method("HashJL", _WIDTH, hash_jl, narrower, random=True),
    Method("column sampling", "draws", column_sampling, narrower, random=True),
)
