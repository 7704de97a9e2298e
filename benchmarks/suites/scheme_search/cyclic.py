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

from benchmarks.suites.scheme_search.bilinear import Factors

Array = NDArray[np.float64]

_MOST_DAMPING = 1e6
_ENOUGH = 1e-4
"""Steps end when the relative decrease is below this four times in a row."""


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
        damping, slow = 0.1, 0
        value = self._value(X, penalty)
        for _ in range(steps):
            system, gradient = self._system(X)
            gradient += penalty * X.ravel()
            while True:
                change = _solved(system, gradient, penalty + damping)
                if change is not None:
                    better = X - change.reshape(X.shape)
                    after = self._value(better, penalty)
                    if after < value:
                        break
                damping = max(4 * damping, 1e-12)
                if damping > _MOST_DAMPING:
                    return X
            slow = slow + 1 if value - after < _ENOUGH * value else 0
            X, value, damping = better, after, damping / 3
            if slow == 4:
                break
        return X

    def _value(self, X: Array, penalty: float) -> float:
        A = X.reshape(-1, self.n, self.n)
        B = A[self.order]
        gram = X @ X.T
        grams = self._turned(gram)
        inner = float(((A @ B) * B[self.order].swapaxes(1, 2)).sum())
        norm = float((gram * grams[0] * grams[1]).sum())
        return (self.n**3 + norm - 2 * inner) / 3 + penalty * float((X**2).sum())

    def _turned(self, gram: Array) -> tuple[Array, Array]:
        """Return the Gram matrices of B's side and of C's side, from that of A's side."""
        order = self.order
        once = gram[np.ix_(order, order)]
        return once, once[np.ix_(order, order)]

    def _system(self, X: Array) -> tuple[Array, Array]:
        """Return half the Gauss-Newton matrix, and half the gradient, of ‖T − T̂‖² / 3."""
        n, r, order = self.n, self.rank, self.order
        B = X[order]
        C = B[order]
        of_b, of_c = self._turned(X @ X.T)
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
        if kind._value(X, 1e-3) < 2 * least:
            for penalty in (3e-4, 1e-4):
                X = kind.improved(X, penalty, 80)
            X = kind.improved(X, 1e-3, 80)
            if (value := kind._value(X, 1e-3)) < least:
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
