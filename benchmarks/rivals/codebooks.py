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

_CHUNK = 1000
"""Rows encoded at once. With more, intermediate results leave the cache."""
_BOLT_PROTOTYPES, _BOLT_ROWS = 16, 10000


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
    chosen = np.random.default_rng(seed).permutation(len(A_train))[:_BOLT_ROWS]
    rows = A_train[np.sort(chosen)]
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


def codebook_counts(n_features: int, _: int) -> tuple[int, ...]:
    """Return 4, 8, 16 … codebooks, at most 128 and at most as many as columns."""
    return powers_of_two(min(n_features, 128) + 1, first=4)


_PAPER = partial(own, method="paper")
METHODS = (
    Method("Bolt", "codebooks", bolt, codebook_counts, needs=("sklearn", "numba"), most_rows=10000),
    Method("MADDNESS-PQ", "codebooks", partial(_PAPER, prototypes="bucket-means"), codebook_counts),
    Method("MADDNESS", "codebooks", partial(_PAPER, prototypes="ridge"), codebook_counts),
)
