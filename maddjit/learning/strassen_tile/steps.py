"""Steps of least squares that fit a bilinear tile operator to rows, from their moments alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maddjit.models.schemes import BilinearScheme

_MOST_UNKNOWNS = 6144
"""Rows of V that one system is solved for."""

_ROUNDING = 1e-15

BFLOAT16 = 0.0024
"""What rounding both factors of products to bfloat16 adds to white ones: its root mean square."""

Array = NDArray[np.float64]


class Operator(NamedTuple):
    """What is fitted.

    Attributes
    ----------
    E : (r, n, d) float64
        The encoder of A.
    V : (r, Dk, Mk) float64
    Dec : (n, m, r) float64
    """

    E: Array
    V: Array
    Dec: Array


class Step(NamedTuple):
    """Where a fit has come to: the error relative to the outputs' variance, and with ridges."""

    operator: Operator
    error: float
    objective: float


@dataclass(frozen=True)
class Moments:
    """What is known of the rows, cut into blocks.

    Attributes
    ----------
    mean : (d, Dk) float64
        µ.
    second : (d, Dk, d, Dk) float64
        S = E x xᵀ of centred rows x = a − µ.
    product : (d, Dk, m, Mk) float64
        S B.
    power : float
        tr Bᵀ S B, of one row.
    """

    mean: Array
    second: Array
    product: Array
    power: float

    @classmethod
    def of(cls, rows: NDArray[Any], B: NDArray[Any], shape: Any, jitter: float) -> Moments:
        """Take them from training rows; `jitter` of their mean variance is added as white noise."""
        mean = rows.mean(axis=0, dtype=np.float64)
        centred = rows - mean
        second = (centred.T @ centred / len(rows)).astype(np.float64)
        variances = np.einsum("ii->i", second)
        variances += jitter * (variances.sum() or 1.0) / len(variances)
        product = second @ B
        return cls._cut(mean, second, product, float((B * product).sum()), shape)

    def cut(self, shape: Any, n_features: int, n_outputs: int) -> Moments:
        """Return the same for tiles of another shape."""
        D, M = self.mean.size, self.product[0, 0].size
        return self._cut(
            self.mean.reshape(D)[:n_features],
            self.second.reshape(D, D)[:n_features, :n_features],
            self.product.reshape(D, M)[:n_features, :n_outputs],
            self.power,
            shape,
        )

    @classmethod
    def _cut(cls, mean: Array, second: Array, product: Array, power: float, shape: Any) -> Moments:
        """Cut whole matrices into blocks, with zeros behind the last."""
        _, d, m = shape
        n_features, n_outputs = product.shape
        Dk, Mk = -(-n_features // d), -(-n_outputs // m)
        more = (0, d * Dk - n_features)
        return cls(
            np.pad(mean, more).reshape(d, Dk),
            np.pad(second, more).reshape(d, Dk, d, Dk),
            np.pad(product, (more, (0, m * Mk - n_outputs))).reshape(d, Dk, m, Mk),
            power,
        )


class _Sums(NamedTuple):
    """Sums over the columns of V, which steps of the encoder and the decoder need.

    T[ρkρ'k'] = Σ_J v_ρᵀ S_kk' v_ρ', N the same of µ µᵀ, U[ρkj] = Σ_J v_ρᵀ (S B)_kj.
    """

    T: Array
    N: Array
    U: Array


class _Ridges(NamedTuple):
    """What the squares of the entries of each part cost."""

    E: float
    V: float
    Dec: float


def fitted(
    scheme: BilinearScheme, V: Array, moments: Moments, regularisation: float
) -> Iterator[Step]:
    """Yield what is found: V fitted to a scheme, then after each round through all parts.

    The n rows of a tile are taken as independent draws µ + x: of the moments of a tile only S
    within a row is left, and µ. With z̄_ρ = Σ_ik E[ρ, ik] µ_k and one bias for all i the mean error
    of row i is left that differs from the mean over i, so that with D̃ = Dec − its mean over i::

        Σ_ij E ‖Σ_ρ Dec[ij, ρ] z_ρ V_ρ − x_i B_j‖² + Σ_ijJ (Σ_ρ D̃[ij, ρ] z̄_ρ · v_ρJ)² + ridges

    is least squares in V (one system of r · Dk unknowns for all outputs), in Dec and in E. For both
    of these the sum of the n rows has one small system and what differs from it another, for all
    rows. Each minimises this objective over its part, so it never rises.
    A ridge is `regularisation` times the mean curvature of its part.
    """
    E = scheme.encode_a.astype(np.float64).reshape(-1, *scheme.shape[:2])
    n, _, m = scheme.shape
    now = Operator(E, V, scheme.decode.astype(np.float64).reshape(n, m, -1))
    gram, _ = _grams(now.Dec)
    variances = np.einsum("kKkK->k", moments.second) / V.shape[1]

    def ridge(curvatures: Any) -> float:
        return regularisation * (float(np.mean(curvatures)) or 1.0)

    ridge_V = ridge(np.diag(gram) * ((E**2).sum(axis=1) @ variances))
    now = now._replace(V=_fit_values(now, moments, ridge_V))
    sums = _sums(now.V, moments)
    encoder = np.diag(gram)[:, np.newaxis] * np.einsum("rkrk->rk", sums.T)
    ridges = _Ridges(ridge(encoder), ridge_V, ridge(np.diag(_decoder_system(now, sums))))
    while True:
        yield _step(now, sums, moments, ridges)
        for _ in range(3):
            now = now._replace(Dec=_fit_decoder(now, sums, ridges.Dec))
            now = now._replace(E=_fit_encoder(now, sums, ridges.E))
        now = now._replace(V=_fit_values(now, moments, ridges.V))
        sums = _sums(now.V, moments)


def _sums(V: Array, moments: Moments) -> _Sums:
    r, _, Mk = V.shape
    d, Dk = moments.mean.shape
    flat = V.reshape(r, Dk * Mk)
    T = np.empty((r, d, r, d))
    for rho in range(r):
        for k in range(d):
            turned = moments.second[:, :, k].reshape(d * Dk, Dk) @ V[rho]
            T[:, :, rho, k] = flat @ turned.reshape(d, Dk * Mk).T
    means = np.einsum("kK,rKJ->rkJ", moments.mean, V).reshape(r * d, Mk)
    product = moments.product.transpose(0, 2, 1, 3).reshape(d, -1, Dk * Mk)
    U = np.einsum("rx,kjx->rkj", flat, product, optimize=True)
    return _Sums(T, (means @ means.T).reshape(r, d, r, d), U)


def _step(now: Operator, sums: _Sums, moments: Moments, ridges: _Ridges) -> Step:
    n = now.E.shape[1]
    gram, differing = _grams(now.Dec)
    total = now.E.sum(axis=1)
    quadratic = np.einsum("rs,rik,sil,rksl->", gram, now.E, now.E, sums.T, optimize=True)
    quadratic += np.einsum("rs,rk,sl,rksl->", differing, total, total, sums.N, optimize=True)
    linear = np.einsum("ijr,rik,rkj->", now.Dec, now.E, sums.U, optimize=True)
    penalty = sum(ridge * (part**2).sum() for ridge, part in zip(ridges, now, strict=True))
    whole = (n * moments.power) or 1.0
    error = float(1 + (quadratic - 2 * linear) / whole)
    return Step(now, error, error + float(penalty) / whole)


def rounding(now: Operator, moments: Moments) -> float:
    """Return the error that rounding to bfloat16 adds, relative to the outputs' variance.

    z and V are rounded independently, so with Σ over ρ, K::

        .0024² Σ ‖Dec_ρ‖² E z_ρK² ‖V_ρK‖²

    """
    n, d = now.E.shape[1:]
    total = np.einsum("rik,kK->rK", now.E, moments.mean)
    within = np.einsum("rik,ril->rkl", now.E, now.E).reshape(-1, d * d)
    squares = within @ np.einsum("kKlK->klK", moments.second).reshape(d * d, -1) + total**2
    terms = (now.Dec**2).sum(axis=(0, 1)) @ (squares * (now.V**2).sum(axis=2))
    return float(BFLOAT16**2 * terms.sum() / (n * moments.power or 1.0))


def _grams(Dec: Array) -> tuple[Array, Array]:
    """Return (r, r) Decᵀ Dec, and that of what differs from the mean over a tile's rows."""
    flat = Dec.reshape(-1, Dec.shape[2])
    differing = (Dec - Dec.mean(axis=0)).reshape(flat.shape)
    return flat.T @ flat, differing.T @ differing


def _fit_values(now: Operator, moments: Moments, ridge: float) -> Array:
    """Return V, by blocks of its rows K one after the other if there are very many."""
    r, Dk, Mk = now.V.shape
    d = len(moments.mean)
    gram, differing = _grams(now.Dec)
    total = now.E.sum(axis=1)
    within = np.einsum("rs,rik,sil->rskl", gram, now.E, now.E, optimize=True).reshape(r * r, -1)
    means = np.einsum("rs,rk,sl->rskl", differing, total, total).reshape(r * r, -1)
    mixed = np.einsum("ijr,rik->rkj", now.Dec, now.E).reshape(r, -1)
    right = mixed @ moments.product.transpose(0, 2, 1, 3).reshape(mixed.shape[1], -1)
    right = right.reshape(r, Dk, Mk)
    V: Array = now.V.copy()
    step = -(-Dk // -(-r * Dk // _MOST_UNKNOWNS))
    blocks = [slice(first, min(first + step, Dk)) for first in range(0, Dk, step)]

    def system(rows: slice, columns: slice) -> Any:
        second = moments.second[:, rows, :, columns].transpose(0, 2, 1, 3).reshape(d * d, -1)
        left, right = moments.mean[:, rows], moments.mean[:, columns]
        mean = np.einsum("kK,lL->klKL", left, right).reshape(d * d, -1)
        size = left.shape[1], right.shape[1]
        both = within @ second
        both += means @ mean
        return both.reshape(r, r, *size).transpose(0, 2, 1, 3).reshape(r * size[0], r * size[1])

    for block in blocks:
        wanted = right[:, block].reshape(-1, Mk)
        for other in blocks:
            if other != block:
                wanted = wanted - system(block, other) @ V[:, other].reshape(-1, Mk)
        matrix = system(block, block)
        np.einsum("ii->i", matrix)[:] += ridge
        V[:, block] = _solved(matrix, wanted).reshape(r, -1, Mk)
    return V


def _decoder_system(now: Operator, sums: _Sums) -> Array:
    return np.asarray(np.einsum("rik,sil,rksl->rs", now.E, now.E, sums.T, optimize=True))


def _fit_decoder(now: Operator, sums: _Sums, ridge: float) -> Array:
    n, m, r = now.Dec.shape
    system = _decoder_system(now, sums) + ridge * np.eye(r)
    total = now.E.sum(axis=1)
    means = np.einsum("rk,sl,rksl->rs", total, total, sums.N, optimize=True)
    right = np.einsum("rik,rkj->ijr", now.E, sums.U)
    mean = right.mean(axis=0)
    differing = _solved(system + means, (right - mean).reshape(-1, r).T).T.reshape(n, m, r)
    return np.asarray(differing + _solved(system, mean.T).T)


def _fit_encoder(now: Operator, sums: _Sums, ridge: float) -> Array:
    r, n, d = now.E.shape
    gram, differing = _grams(now.Dec)
    system = (gram[:, np.newaxis, :, np.newaxis] * sums.T).reshape(r * d, r * d)
    np.einsum("ii->i", system)[:] += ridge
    means = (differing[:, np.newaxis, :, np.newaxis] * sums.N).reshape(r * d, r * d)
    right = np.einsum("ijr,rkj->irk", now.Dec, sums.U).reshape(n, r * d)
    mean = right.mean(axis=0)
    E = _solved(system + n * means, mean)[:, np.newaxis] + _solved(system, (right - mean).T)
    return np.ascontiguousarray(E.reshape(r, d, n).transpose(0, 2, 1))


def _solved(system: Array, right: Array) -> Array:
    """Solve a symmetric system, which is overwritten; what rounding may do to it is added."""
    from scipy.linalg import cho_factor, cho_solve

    diagonal = np.einsum("ii->i", system)
    diagonal += len(system) * _ROUNDING * diagonal.max()
    factor = cho_factor(system.T, overwrite_a=True, check_finite=False)
    return np.asarray(cho_solve(factor, right, check_finite=False))
