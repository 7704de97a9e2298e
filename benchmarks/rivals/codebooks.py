"""Codebooks: a row becomes one code for each block of columns, and table rows are added."""

from __future__ import annotations

import warnings
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

import maddjit
from benchmarks.rivals.method import Apply, Floats, Method, checked, powers_of_two
from benchmarks.rivals.products import fastest

_CHUNK = 1000
"""Rows encoded at once. With more, intermediate results leave the cache, in faiss as well."""
_PQ_PROTOTYPES, _BOLT_PROTOTYPES = 256, 16
_BOLT_ROWS = 10000


class Nearest:
    """The nearest prototype of each block of columns: a product per block and a minimum."""

    def __init__(self, blocks: list[slice], prototypes: list[NDArray[Any]]) -> None:
        self.blocks = blocks
        self.rights = [np.ascontiguousarray(p.T, np.float32) for p in prototypes]
        self.half_norms = np.stack([np.sum(p.astype(float) ** 2, axis=1) / 2 for p in prototypes])
        self.half_norms = self.half_norms.astype(np.float32)

    def __call__(self, A: Floats) -> NDArray[np.uint8]:
        """Return the codes (N, C)."""
        from benchmarks.rivals.loops import nearest

        codes = np.empty((len(A), len(self.blocks)), np.uint8)
        scores = np.empty((min(_CHUNK, len(A)), *self.half_norms.shape), np.float32)
        for start in range(0, len(A), _CHUNK):
            rows = A[start : start + _CHUNK]
            part = scores[: len(rows)]
            for c, (block, right) in enumerate(zip(self.blocks, self.rights, strict=True)):
                np.matmul(rows[:, block], right, out=part[:, c])
            nearest(part, self.half_norms, codes[start : start + len(rows)])
        return codes


def pq(A_train: Floats, B: Floats, n_codebooks: int, seed: int) -> Apply:
    """Add float32 tables of 256 k-means prototypes a block, learned by faiss's ProductQuantizer.

    Jégou, Douze & Schmid, Product quantization for nearest neighbor search, PAMI 2011.
    """
    return _float_tables(A_train, B, _trained(A_train, n_codebooks, seed))


def bolt(A_train: Floats, B: Floats, n_codebooks: int, seed: int) -> Apply:
    """Add 8-bit tables of 16 k-means prototypes a block exactly, then scale and offset.

    Blocks differ by a column where n_codebooks does not divide D. The step of an output is as
    small as lets every table's span fit a byte. The authors' own kernels are in no package: codes
    come from BLAS and numba, sums from numba. Blalock & Guttag, Bolt: accelerated data mining with
    fast vector compression, KDD 2017; prototypes by scikit-learn's KMeans.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    n_features, n_outputs = B.shape
    checked("codebooks", n_codebooks, n_features)
    edges = np.linspace(0, n_features, n_codebooks + 1).astype(int)
    blocks = [slice(*pair) for pair in pairwise(edges)]
    rows = _at_random(A_train, _BOLT_ROWS, seed)
    means = KMeans(min(_BOLT_PROTOTYPES, len(rows)), n_init=1, random_state=seed)
    prototypes = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than prototypes
        for block in blocks:
            prototypes.append(means.fit(rows[:, block]).cluster_centers_.astype(np.float64))
    tables = np.stack([p @ B[block] for p, block in zip(prototypes, blocks, strict=True)])
    low, high = tables.min(axis=1), tables.max(axis=1)
    step = (high - low).max(axis=0) / 255
    step[step == 0] = 1
    entries = np.rint((tables - low[:, np.newaxis]) / step).astype(np.uint8)
    scale, offset = step.astype(np.float32), low.sum(axis=0).astype(np.float32)
    wide = np.uint16 if n_codebooks * 255 < 1 << 16 else np.uint32
    encode = Nearest(blocks, prototypes)

    def apply(A: Floats) -> Floats:
        codes = encode(A)
        from benchmarks.rivals.loops import scan_scaled

        Y = np.empty((len(A), n_outputs), np.float32)
        scan_scaled(codes, entries, scale, offset, np.empty(n_outputs, wide), Y)
        return Y

    return apply


def own(
    A_train: Floats, B: Floats, n_codebooks: int, seed: int, **options: Any
) -> maddjit.CompiledOperator:
    """Fit and compile by maddjit, whatever error it warns of.

    With ``method="paper"`` that is MADDNESS as the paper describes it: Blalock & Guttag,
    Multiplying matrices without multiplying, ICML 2021.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", maddjit.AccuracyWarning)
        model = maddjit.fit(A_train, B, n_codebooks, random_state=seed, **options)
    return maddjit.compile(model)


def _divisor(n_codebooks: int, n_features: int) -> int:
    if not 1 <= n_codebooks <= n_features or n_features % n_codebooks:
        raise ValueError(f"faiss needs codebooks that divide D = {n_features}, not {n_codebooks}")
    return n_codebooks


def _enough(A_train: Floats) -> Floats:
    if len(A_train) < _PQ_PROTOTYPES:
        raise ValueError(f"256 prototypes need as many training rows, not {len(A_train)}")
    return np.ascontiguousarray(A_train, np.float32)


def _at_random(A_train: Floats, most: int, seed: int) -> Floats:
    chosen = np.random.default_rng(seed).permutation(len(A_train))[:most]
    return A_train[np.sort(chosen)]


def _trained(A_train: Floats, n_codebooks: int, seed: int) -> Any:
    rows, n_features = _enough(A_train), A_train.shape[1]
    import faiss

    learned = faiss.ProductQuantizer(n_features, _divisor(n_codebooks, n_features), 8)
    learned.cp.seed, learned.cp.min_points_per_centroid = seed, 1
    learned.train(rows)
    return learned


def _float_tables(A_train: Floats, B: Floats, learned: Any) -> Apply:
    """Return the product by a trained faiss quantizer, with the faster of two encoders."""
    import faiss

    n_codebooks, width = learned.M, learned.dsub
    prototypes = faiss.vector_to_array(learned.centroids).reshape(n_codebooks, -1, width)
    tables = prototypes @ B.reshape(n_codebooks, width, -1).astype(np.float32)
    blocks = [slice(c * width, (c + 1) * width) for c in range(n_codebooks)]

    def by_faiss(A: Floats) -> NDArray[np.uint8]:
        parts = [learned.compute_codes(A[n : n + _CHUNK]) for n in range(0, len(A), _CHUNK)]
        return np.concatenate(parts)

    encode = fastest([by_faiss, Nearest(blocks, list(prototypes))], A_train)

    def apply(A: Floats) -> Floats:
        return _scan(encode(A), tables, np.float32)

    return apply


def _scan(codes: NDArray[np.uint8], tables: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Return the sums of each row's table rows."""
    from benchmarks.rivals.loops import scan

    sums = np.empty((len(codes), tables.shape[2]), dtype)
    scan(codes, tables, sums)
    return sums


def codebook_counts(n_features: int, _: int) -> tuple[int, ...]:
    """Return 4, 8, 16 … codebooks, at most 128 and at most as many as columns."""
    return powers_of_two(min(n_features, 128) + 1, first=4)


def _divisors(n_features: int, n_outputs: int) -> tuple[int, ...]:
    return tuple(c for c in codebook_counts(n_features, n_outputs) if n_features % c == 0)


_PAPER = partial(own, method="paper")
METHODS = (
    Method("PQ", "codebooks", pq, _divisors, needs=("faiss", "numba")),
    Method("Bolt", "codebooks", bolt, codebook_counts, needs=("sklearn", "numba")),
    Method("MADDNESS-PQ", "codebooks", partial(_PAPER, prototypes="bucket-means"), codebook_counts),
    Method("MADDNESS", "codebooks", partial(_PAPER, prototypes="ridge"), codebook_counts),
)
