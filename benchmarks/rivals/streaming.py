"""Sketches that read A and B together, along the dimension they share: all at run time.

A column of A and the row of B that meets it arrive together. Two buffers X (N, 2w) and Y (M, 2w)
take as many of them as fit, and are then shrunk to w columns with X @ Yᵀ close to what it was.
In the end X @ Yᵀ approximates A @ B. Nothing but B can be looked at before A is there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.rivals.method import Apply, Floats, Method, checked, powers_of_two

_RANK_TOLERANCE = 1e-6
"""Eigenvalues of float32 Gram matrices below this share of the largest are taken for 0."""

Shrink = Callable[[Floats, Floats, int], tuple[Floats, Floats]]


def frequent_directions(_: Floats, B: Floats, width: int, __: int) -> Apply:
    """Shrink the singular values of [X; Y] as frequent directions do.

    Ye, Luo & Zhang, Frequent direction algorithms for approximate matrix multiplication with
    applications in CCA, IJCAI 2016.
    """
    return _stream(B, checked("width of the sketch", width, len(B)), _shrink_together)


def co_occurring_directions(_: Floats, B: Floats, width: int, __: int) -> Apply:
    """Shrink the singular values of X @ Yᵀ.

    Mroueh, Marcheret & Goel, Co-occurring directions sketching for approximate matrix multiply,
    AISTATS 2017.
    """
    return _stream(B, checked("width of the sketch", width, len(B)), _shrink_product)


def _stream(B: Floats, width: int, shrink: Shrink) -> Apply:
    rows, n_features = np.ascontiguousarray(B.T, np.float32), len(B)

    def apply(A: Floats) -> Floats:
        X = np.empty((len(A), 2 * width), np.float32)
        Y = np.empty((len(rows), 2 * width), np.float32)
        filled = read = 0
        while read < n_features:
            taken = min(2 * width - filled, n_features - read)
            X[:, filled : filled + taken] = A[:, read : read + taken]
            Y[:, filled : filled + taken] = rows[:, read : read + taken]
            filled, read = filled + taken, read + taken
            if filled > width:
                left, right = shrink(X[:, :filled], Y[:, :filled], width)
                filled = left.shape[1]
                X[:, :filled], Y[:, :filled] = left, right
        return X[:, :filled] @ Y[:, :filled].T

    return apply


def _shrink_together(X: Floats, Y: Floats, width: int) -> tuple[Floats, Floats]:
    """Subtract the width-th squared singular value of [X; Y] from all; at most width - 1 stay."""
    values, vectors = np.linalg.eigh((X.T @ X + Y.T @ Y).astype(np.float64))
    kept = values > max(values[-width], _RANK_TOLERANCE * values[-1])
    scale = np.sqrt(1 - max(values[-width], 0) / values[kept])
    turn = (vectors[:, kept] * scale).astype(np.float32)
    return X @ turn, Y @ turn


def _shrink_product(X: Floats, Y: Floats, width: int) -> tuple[Floats, Floats]:
    """Subtract the width-th singular value of X @ Yᵀ from all; at most width - 1 stay.

    X = Q_x R_x and Y = Q_y R_y come from Gram matrices, which are much faster than Householder's
    factors and as good as float32 sketches need.
    """
    (root_x, inverse_x), (root_y, inverse_y) = _roots(X), _roots(Y)
    left, values, right = np.linalg.svd(root_x @ root_y.T, full_matrices=False)
    least = values[width - 1] if len(values) >= width else 0.0
    kept = values > least
    scale = np.sqrt(values[kept] - least)
    turn_x = (inverse_x @ (left[:, kept] * scale)).astype(np.float32)
    turn_y = (inverse_y @ (right[kept].T * scale)).astype(np.float32)
    return X @ turn_x, Y @ turn_y


def _roots(X: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return R and R⁺ with Q = X @ R⁺ orthonormal and X = Q @ R, as far as X has rank."""
    values, vectors = np.linalg.eigh((X.T @ X).astype(np.float64))
    kept = values > _RANK_TOLERANCE * max(values[-1], 0)
    roots, vectors = np.sqrt(values[kept]), vectors[:, kept]
    return roots[:, np.newaxis] * vectors.T, vectors / roots


def _widths(n_features: int, n_outputs: int) -> tuple[int, ...]:
    return powers_of_two(min(n_features, n_outputs), first=2)


METHODS = (
    Method("FD-AMM", "width of the sketch", frequent_directions, _widths),
    Method("Co-occurring directions", "width of the sketch", co_occurring_directions, _widths),
)
