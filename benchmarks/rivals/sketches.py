"""Random sketches: A @ S times Sᵀ @ B with E[S Sᵀ] = 1, so that they are right on average.

All draw S (D, width) and sketch B when they are fitted. At run time A is sketched and multiplied.
"""

from __future__ import annotations

import numpy as np

from benchmarks.rivals.method import Apply, Floats, Method, checked, dense_ranks, narrower
from benchmarks.rivals.products import fastest, sparse_or_dense, times, two_products

OSNAP_NONZEROS = 4
"""Entries in each column of OSNAP's sketch, as in the paper's experiments."""

_WIDTH = "width of the sketch"


def gaussian(_: Floats, B: Floats, width: int, seed: int) -> Apply:
    """Draw independent normal entries, by scikit-learn's GaussianRandomProjection.

    Dasgupta & Gupta, An elementary proof of a theorem of Johnson and Lindenstrauss, Random
    Structures & Algorithms, 2003.
    """
    from sklearn.random_projection import GaussianRandomProjection

    drawn = GaussianRandomProjection(checked(_WIDTH, width, len(B)), random_state=seed)
    sketch = drawn.fit(np.zeros((1, len(B)))).components_.T
    return two_products(sketch, sketch.T @ B)


def rademacher(_: Floats, B: Floats, width: int, seed: int) -> Apply:
    """Draw independent signs, by scikit-learn's SparseRandomProjection at density 1.

    Achlioptas, Database-friendly random projections, PODS 2001.
    """
    from sklearn.random_projection import SparseRandomProjection

    checked(_WIDTH, width, len(B))
    drawn = SparseRandomProjection(width, density=1.0, dense_output=True, random_state=seed)
    sketch = drawn.fit(np.zeros((1, len(B)))).components_.T
    return two_products(sketch, sketch.T @ B)


def orthogonal_gaussian(_: Floats, B: Floats, width: int, seed: int) -> Apply:
    """Draw orthonormal columns, stretched by √(D / width) to be right on average.

    Ji et al., Super-bit locality-sensitive hashing, NIPS 2012.
    """
    checked(_WIDTH, width, len(B))
    drawn = np.random.default_rng(seed).standard_normal((len(B), width))
    sketch = np.linalg.qr(drawn)[0] * np.sqrt(len(B) / width)
    return two_products(sketch, sketch.T @ B)


def fast_jl(A_train: Floats, B: Floats, width: int, seed: int) -> Apply:
    """Flip random signs, take a Hadamard transform, keep random coordinates.

    The fast transform (two Kronecker factors of the Hadamard matrix) or the product with the kept
    columns of the matrix is taken, whichever is faster. D is padded to a power of two. Ailon &
    Chazelle, The fast Johnson-Lindenstrauss transform, SIAM Journal on Computing, 2009, with the
    sampling of Tropp, Improved analysis of the subsampled randomized Hadamard transform, 2011.
    """
    from scipy.linalg import hadamard

    n_features = len(B)
    checked(_WIDTH, width, n_features)
    bits = max(n_features - 1, 1).bit_length()
    rng = np.random.default_rng(seed)
    signs = rng.choice([-1.0, 1.0], n_features) / np.sqrt(width)
    kept = np.sort(rng.choice(1 << bits, width, replace=False))
    sketch = signs[:, np.newaxis] * hadamard(1 << bits)[:n_features, kept]
    sketched = (sketch.T @ B).astype(np.float32)
    flips = signs.astype(np.float32)
    outer, inner = (hadamard(1 << n).astype(np.float32) for n in (bits // 2, bits - bits // 2))

    def fast(A: Floats) -> Floats:
        padded = np.zeros((len(A), len(outer) * len(inner)), np.float32)
        np.multiply(A, flips, out=padded[:, :n_features])
        half = padded.reshape(len(A), len(outer), len(inner)) @ inner
        return np.matmul(outer, half).reshape(len(A), -1)[:, kept] @ sketched

    return fastest([two_products(sketch, sketched), fast], A_train)


def hash_jl(A_train: Floats, B: Floats, width: int, seed: int) -> Apply:
    """Add each column, with a random sign, to one random column of the sketch.

    Dasgupta, Kumar & Sarlós, A sparse Johnson-Lindenstrauss transform, STOC 2010, with the one
    entry of Clarkson & Woodruff, STOC 2013; by SciPy's clarkson_woodruff_transform.
    """
    return _hashed(A_train, B, [checked(_WIDTH, width, len(B))], seed)


def osnap(A_train: Floats, B: Floats, width: int, seed: int) -> Apply:
    """Put four sketches like `hash_jl`'s, a quarter as wide, side by side, and halve them.

    Nelson & Nguyễn, OSNAP: faster numerical linear algebra algorithms via sparser subspace
    embeddings, FOCS 2013.
    """
    n_blocks = min(OSNAP_NONZEROS, checked(_WIDTH, width, len(B)))
    widths = [width // n_blocks + (block < width % n_blocks) for block in range(n_blocks)]
    return _hashed(A_train, B, widths, seed)


def _hashed(A_train: Floats, B: Floats, widths: list[int], seed: int) -> Apply:
    from scipy.linalg import clarkson_woodruff_transform
    from scipy.sparse import csc_array, eye_array, vstack

    rng, columns = np.random.default_rng(seed), eye_array(len(B), format="csc")
    blocks = [clarkson_woodruff_transform(columns, width, rng) for width in widths]
    sketch = csc_array(vstack(blocks).T / np.sqrt(len(widths)))
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


_SKLEARN = ("sklearn",)
METHODS = (
    Method("random Gaussian", _WIDTH, gaussian, dense_ranks, random=True, needs=_SKLEARN),
    Method("orthogonal Gaussian", _WIDTH, orthogonal_gaussian, dense_ranks, random=True),
    Method("Rademacher", _WIDTH, rademacher, dense_ranks, random=True, needs=_SKLEARN),
    Method("FastJL", _WIDTH, fast_jl, narrower, random=True),
    Method("HashJL", _WIDTH, hash_jl, narrower, random=True),
    Method("OSNAP", _WIDTH, osnap, narrower, random=True),
    Method("column sampling", "draws", column_sampling, narrower, random=True),
)
