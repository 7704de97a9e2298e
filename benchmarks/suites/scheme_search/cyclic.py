"""Cyclic schemes of square tiles, found by the method of Levenberg and Marquardt.

The tensor of the product, Σ A[i, k] B[k, j] C[j, i] with C the transposed outputs, stays the same
if A, B and C change places in turn. A cyclic scheme has components of one matrix thrice, (x, x, x),
and others in threes: (x, y, z), (y, z, x), (z, x, y). Its unknowns are those of A's side alone, X
(r, n²): a third of all. Solving for them takes a 27th of the time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from benchmarks.suites.scheme_search import bilinear
from benchmarks.suites.scheme_search.bilinear import Factors

Array = NDArray[np.float64]

_MOST_DAMPING = 1e6
_ENOUGH = 1e-5
"""Steps end when one lowers the value by a smaller share than this."""


@dataclass(frozen=True)
class Cyclic:
    """A kind of scheme: n × n × n tiles, and n_fixed + 3 n_triples components."""

    n: int
    n_fixed: int
    n_triples: int

    @property
    def rank(self) -> int:
        """The number of multiplications, r."""
        return self.n_fixed + 3 * self.n_triples

    @property
    def order(self) -> NDArray[np.intp]:
        """The component whose matrix of A's side each component has on B's side."""
        triples = np.arange(self.n_fixed, self.rank).reshape(-1, 3)
        return np.concatenate([np.arange(self.n_fixed), np.roll(triples, -1, axis=1).ravel()])

    def factors(self, X: Array) -> Factors:
        """Return the scheme (S = 1)."""
        a = X.reshape(1, self.rank, self.n, self.n)
        b = a[:, self.order]
        return Factors(a, b, b[:, self.order].swapaxes(2, 3))

    def improved(self, X: Array, penalty: float, steps: int) -> Array:
        """Lower ‖T − T̂‖² / 3 + λ ‖X‖² by damped Gauss-Newton steps."""
        damping, value = 0.1, self.value(X, penalty)
        for _ in range(steps):
            system, gradient = self.system(X)
            gradient += penalty * X.ravel()
            before, value = value, np.inf
            while value >= before:
                if damping > _MOST_DAMPING:
                    return X
                change = _solved(system, gradient, penalty + damping)
                if change is not None:
                    better = X - change.reshape(X.shape)
                    value = self.value(better, penalty)
                damping *= 4
            X, damping = better, damping / 12
            if before - value < _ENOUGH * before:
                break
        return X

    def value(self, X: Array, penalty: float) -> float:
        """Return what `improved` lowers."""
        error = self.n**3 * bilinear.errors(self.factors(X))[0]
        return float(error / 3 + penalty * (X**2).sum())

    def system(self, X: Array) -> tuple[Array, Array]:
        """Return half the Gauss-Newton matrix, and half the gradient, of ‖T − T̂‖² / 3."""
        n, r, order = self.n, self.rank, self.order
        B = X[order]
        C = B[order]
        of_b, of_c = B @ B.T, C @ C.T
        both = of_b * of_c
        right = (B.reshape(-1, n, n) @ C.reshape(-1, n, n)).swapaxes(1, 2).reshape(r, -1)
        system = np.kron(both, np.eye(n * n)).reshape(r, n * n, r, n * n)
        for gram, side, place in ((of_c, B, order), (of_b, C, order[order])):
            # Column (σ, j) belongs to side B or C of component σ, which is row place[σ] of X.
            block = gram[:, None, :, None] * X.T[None, :, :, None] * side[:, None, None, :]
            system += block[:, :, np.argsort(place)]
        return np.asarray(system.reshape(r * n * n, -1)), np.asarray(both @ X - right).ravel()


def found(kind: Cyclic, n_starts: int, rng: np.random.Generator) -> Factors:
    """Return the best scheme from random starts (S = 1), at a small penalty.

    Few starts come near. For rank 48 of 4 × 4 × 4 tiles with three fixed, two of 39 did.
    """
    best, least = np.zeros((kind.rank, kind.n**2)), np.inf
    for _ in range(n_starts):
        X = rng.choice([0.4, 0.6, 0.8]) * rng.standard_normal(best.shape)
        for penalty, steps in ((rng.choice([1e-2, 3e-3, 1e-3]), 120), (1e-3, 60)):
            X = kind.improved(X, penalty, steps)
        if kind.value(X, 1e-3) < 2 * least:
            for penalty in (3e-4, 1e-4):
                X = kind.improved(X, penalty, 80)
            X = kind.improved(X, 1e-3, 80)
            if (value := kind.value(X, 1e-3)) < least:
                best, least = X, value
    return kind.factors(best)


def _solved(system: Array, right: Array, damping: float) -> Array | None:
    """Solve a symmetric system with damping; return None if it is not positive definite."""
    matrix = system.copy()
    np.einsum("ii->i", matrix)[:] += damping
    try:
        factor = cho_factor(matrix.T, overwrite_a=True, check_finite=False)
    except LinAlgError:
        return None
    return np.asarray(cho_solve(factor, right, check_finite=False))
