"""Alternating least squares: the factors of tiles fitted to rows, from their moments alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.strassen_tile import settings
from maddjit.learning.strassen_tile.moments import Array, Moments
from maddjit.learning.strassen_tile.sums import Sums
from maddjit.models.schemes import BilinearScheme

_CHUNK_NUMBERS = 2**21
"""Numbers of V's system that are made at once."""

_ROUNDING = 1e-15
"""What the solution of a system may lose by rounding, relative to its largest diagonal entry."""

BFLOAT16_RMS = 0.0024
"""Root mean square error of products of white numbers whose factors are rounded to bfloat16."""


class Factors(NamedTuple):
    """The three factors that are fitted.

    Attributes
    ----------
    E : (r, n, d) float64
        The encoder of A.
    V : (r, Dk, Mk) float64
        The encoded B.
    Dec : (n, m, r) float64
        The decoder of products.
    """

    E: Array
    V: Array
    Dec: Array


class _Ridges(NamedTuple):
    """The cost of the squares of the entries of each factor."""

    E: float
    V: float
    Dec: float


@dataclass(frozen=True, eq=False)
class Fit:
    """The state of a fit after a round. Sums, which take long, are made when something needs them.

    Attributes
    ----------
    factors : Factors
    moments : Moments
    regularisation : float
    start : Fit, optional
        The first state, whose ridges hold for all.
    """

    factors: Factors
    moments: Moments
    regularisation: float
    start: Fit | None = None

    @cached_property
    def sums(self) -> Sums:
        """The sums over the columns of V."""
        return Sums.of(self.factors.V, self.moments)

    @cached_property
    def ridges(self) -> _Ridges:
        """The cost of squares, `regularisation` times the mean curvature at the first state."""
        if self.start is not None:
            return self.start.ridges
        now, sums = self.factors, self.sums
        gram, _ = _grams(now.Dec)
        of_E = np.mean(np.diag(gram)[:, np.newaxis] * np.einsum("rkrk->rk", sums.T[0]))
        of_Dec = np.mean(np.diag(_decoder_system(now, sums, self.moments.places)))
        means = float(of_E) or 1.0, _curvature(now, self.moments), float(of_Dec) or 1.0
        return _Ridges(*(self.regularisation * mean for mean in means))

    @cached_property
    def error(self) -> float:
        """The squared error, relative to the variance of the outputs."""
        now, sums, places = self.factors, self.sums, self.moments.places
        gram, differing = _grams(now.Dec)
        total = now.E.sum(axis=1)
        quadratic = (gram * _decoder_system(now, sums, places)).sum()
        quadratic += np.einsum("rs,rk,sl,rksl->", differing, total, total, sums.N, optimize=True)
        linear = (now.Dec * _decoder_right(now, sums, places)).sum()
        return float(1 + (quadratic - 2 * linear) / self._whole)

    @property
    def objective(self) -> float:
        """The error with the ridges, which rounds lower."""
        both = zip(self.ridges, self.factors, strict=True)
        return (
            self.error + float(sum(ridge * (part**2).sum() for ridge, part in both)) / self._whole
        )

    @property
    def _whole(self) -> float:
        return (self.factors.E.shape[1] * self.moments.power) or 1.0


def fit_states(
    scheme: BilinearScheme, V: Array, moments: Moments, regularisation: float
) -> Iterator[Fit]:
    """Yield the state of the fit, with V fitted to a scheme, and then after each further round.

    The n rows of a tile are µ + x_i. Moments of two of them depend only on how many places they
    stand apart; independent draws have none but those within a row. With z̄_ρ = Σ_ik E[ρ, ik] µ_k
    and one bias for all i, the mean error of row i that is left is its difference from the mean
    over i. With D̃ = Dec − its mean over i, the objective::

        Σ_ij E ‖Σ_ρ Dec[ij, ρ] z_ρ V_ρ − x_i B_j‖² + Σ_ijJ (Σ_ρ D̃[ij, ρ] z̄_ρ · v_ρJ)² + ridges

    is a least-squares problem in V (one system of r · Dk unknowns for all outputs), in Dec and in
    E. Dec takes two small systems: one for the mean over the n rows, one for what differs from it.
    Each fit minimises the objective over its factor, so the objective never rises. A ridge is
    `regularisation` times the mean curvature of its factor.
    """
    E = scheme.encode_a.astype(np.float64).reshape(-1, *scheme.shape[:2])
    n, _, m = scheme.shape
    places = moments.places
    now = Factors(E, V, scheme.decode.astype(np.float64).reshape(n, m, -1))
    now = with_values(now, moments, regularisation)
    fit = start = Fit(now, moments, regularisation)
    n_inner = settings.TOKENS_INNER_ROUNDS if len(places) > 1 else settings.INNER_ROUNDS
    while True:
        yield fit
        sums, ridges = fit.sums, fit.ridges
        for _ in range(n_inner):
            now = now._replace(Dec=_fit_decoder(now, sums, places, ridges.Dec))
            now = now._replace(E=_fit_encoder(now, sums, places, ridges.E))
        now = now._replace(V=_fit_values(now, moments, ridges.V))
        fit = Fit(now, moments, regularisation, start)


def with_values(now: Factors, moments: Moments, regularisation: float) -> Factors:
    """Return the factors with V fitted to other moments."""
    return now._replace(V=_fit_values(now, moments, regularisation * _curvature(now, moments)))


def _curvature(now: Factors, moments: Moments) -> float:
    """Return the mean curvature of the objective in V; 1 if there is none."""
    gram, _ = _grams(now.Dec)
    variances = np.einsum("kkKK->k", moments.second[0]) / now.V.shape[1]
    return float(np.mean(np.diag(gram) * ((now.E**2).sum(axis=1) @ variances))) or 1.0


def _apart(n: int, place: int) -> tuple[slice, slice]:
    """Return which of a tile's n rows have another one `place` behind them, and these others."""
    first, last = max(0, -place), n - max(0, place)
    return slice(first, last), slice(first + place, last + place)


def bfloat16_error(now: Factors, moments: Moments) -> float:
    """Return the error that rounding to bfloat16 adds, relative to the variance of the outputs.

    z and V are rounded independently, so it is, summed over ρ and K::

        .0024² Σ ‖Dec_ρ‖² E z_ρK² ‖V_ρK‖²

    """
    n, d = now.E.shape[1:]
    squares = np.einsum("rik,kK->rK", now.E, moments.mean) ** 2
    for place, second in zip(moments.places, moments.second, strict=True):
        before, behind = _apart(n, place)
        within = np.einsum("rik,ril->rkl", now.E[:, before], now.E[:, behind]).reshape(-1, d * d)
        squares += within @ np.einsum("klKK->klK", second).reshape(d * d, -1)
    terms = (now.Dec**2).sum(axis=(0, 1)) @ (squares * (now.V**2).sum(axis=2))
    return float(BFLOAT16_RMS**2 * terms.sum() / (n * moments.power or 1.0))


def _grams(Dec: Array) -> tuple[Array, Array]:
    """Return DᵀD (r, r) for the decoder D, and for D less its mean over a tile's rows."""
    flat = Dec.reshape(-1, Dec.shape[2])
    differing = (Dec - Dec.mean(axis=0)).reshape(flat.shape)
    return flat.T @ flat, differing.T @ differing


def _fit_values(now: Factors, moments: Moments, ridge: float) -> Array:
    """Return the best V; if it has very many rows K, blocks of them are fitted in turns."""
    r, Dk, Mk = now.V.shape
    wanted = np.zeros((r, Dk * Mk))
    for place, product in zip(moments.places, moments.product, strict=True):
        inputs, outputs = _apart(len(now.Dec), place)
        mixed = np.einsum("ijr,rik->rkj", now.Dec[outputs], now.E[:, inputs]).reshape(r, -1)
        wanted += mixed @ product.transpose(0, 2, 1, 3).reshape(mixed.shape[1], -1)
    wanted = wanted.reshape(r, Dk, Mk)
    weights = _weights(now, moments)
    V: Array = now.V.copy()
    for some in _coupled(weights):
        step = -(-Dk // -(-len(some) * Dk // settings.MAX_UNKNOWNS))
        blocks = [slice(first, min(first + step, Dk)) for first in range(0, Dk, step)]
        among = weights[np.ix_(some, some)]
        for block in blocks:
            right = wanted[some, block].reshape(-1, Mk)
            for other in blocks:
                if other != block:
                    turned = V[some, other].reshape(-1, Mk)
                    right = right - _values_system(among, moments, block, other) @ turned
            matrix = _values_system(among, moments, block, block)
            np.einsum("ii->i", matrix)[:] += ridge
            V[some, block] = _solved(matrix, right).reshape(len(some), -1, Mk)
    return V


def _coupled(weights: Array) -> list[NDArray[np.intp]]:
    """Return the products ρ in groups that have no weights in common: V of each is found alone."""
    from scipy.sparse.csgraph import connected_components

    count, labels = connected_components((weights != 0).any(axis=2), directed=False)
    return [np.flatnonzero(labels == label) for label in range(count)]


def _weights(now: Factors, moments: Moments) -> Array:
    """Return the weights (r, r, ·) in V's system of the blocks kk' of µ µᵀ and of each S_p."""
    r = len(now.E)
    gram, differing = _grams(now.Dec)
    total = now.E.sum(axis=1)
    weights = [np.einsum("rs,rk,sl->rskl", differing, total, total)]
    for place in moments.places:
        before, behind = (now.E[:, rows] for rows in _apart(len(now.Dec), place))
        weights.append(np.einsum("rs,rik,sil->rskl", gram, before, behind, optimize=True))
    return np.concatenate([weight.reshape(r, r, -1) for weight in weights], axis=2)


def _values_system(weights: Array, moments: Moments, rows: slice, columns: slice) -> Array:
    """Return V's system for some rows K and the columns of others.

    Where these are the same, what is above the diagonal is left out.
    """
    r, _, n_weights = weights.shape
    left, right = moments.mean[:, rows], moments.mean[:, columns]
    a, b = left.shape[1], right.shape[1]
    means = np.einsum("kK,lL->klKL", left, right).reshape(-1, a, b)
    second = moments.second.reshape(n_weights - len(means), *moments.second.shape[-2:])
    used = np.flatnonzero((weights != 0).any(axis=(0, 1)))
    if not len(used):
        return np.zeros((r * a, r * b))
    rho, sigma = np.tril_indices(r) if rows == columns else np.indices((r, r)).reshape(2, -1)
    pairs = weights[rho, sigma][:, used]
    system = np.zeros((r, a, r, b))
    step = max(1, _CHUNK_NUMBERS // (len(pairs) * b))
    for first in range(0, a, step):
        some = slice(first, min(first + step, a))
        parts = np.empty((len(used), some.stop - first, b))
        for part, number in zip(parts, used - len(means), strict=True):
            part[:] = means[number, some] if number < 0 else second[number, rows, columns][some]
        found = pairs @ parts.reshape(len(used), -1)
        system[rho, some, sigma] = found.reshape(len(pairs), -1, b)
    return system.reshape(r * a, r * b)


def _decoder_system(now: Factors, sums: Sums, places: list[int]) -> Array:
    """Return the matrix (r, r) of the equations for the decoder."""
    system = np.zeros((len(now.E), len(now.E)))
    for place, T in zip(places, sums.T, strict=True):
        before, behind = (now.E[:, rows] for rows in _apart(len(now.Dec), place))
        system += np.einsum("rik,sil,rksl->rs", before, behind, T, optimize=True)
    return system


def _decoder_right(now: Factors, sums: Sums, places: list[int]) -> Array:
    """Return the right side (n, m, r) of the equations for the decoder."""
    right = np.zeros_like(now.Dec)
    for place, U in zip(places, sums.U, strict=True):
        inputs, outputs = _apart(len(right), place)
        right[outputs] += np.einsum("rik,rkj->ijr", now.E[:, inputs], U)
    return right


def _fit_decoder(now: Factors, sums: Sums, places: list[int], ridge: float) -> Array:
    """Return the best decoder for the other factors."""
    n, m, r = now.Dec.shape
    system = _decoder_system(now, sums, places) + ridge * np.eye(r)
    total = now.E.sum(axis=1)
    means = np.einsum("rk,sl,rksl->rs", total, total, sums.N, optimize=True)
    right = _decoder_right(now, sums, places)
    mean = right.mean(axis=0)
    differing = _solved(system + means, (right - mean).reshape(-1, r).T).T.reshape(n, m, r)
    return np.asarray(differing + _solved(system, mean.T).T)


def _fit_encoder(now: Factors, sums: Sums, places: list[int], ridge: float) -> Array:
    """Return the best encoder for the other factors."""
    r, n, d = now.E.shape
    gram, differing = (part[:, np.newaxis, :, np.newaxis] for part in _grams(now.Dec))
    system = np.empty((n, r, d, n, r, d))
    system[:] = (differing * sums.N)[:, :, np.newaxis]
    for place, T in zip(places, sums.T, strict=True):
        part = gram * T
        for i in range(max(0, -place), n - max(0, place)):
            system[i, :, :, i + place] += part
    right = np.zeros((n, r, d))
    for place, U in zip(places, sums.U, strict=True):
        inputs, outputs = _apart(n, place)
        right[inputs] += np.einsum("ijr,rkj->irk", now.Dec[outputs], U)
    matrix = system.reshape(n * r * d, n * r * d)
    np.einsum("ii->i", matrix)[:] += ridge
    E = _solved(matrix, right.reshape(-1, 1)).reshape(n, r, d)
    return np.ascontiguousarray(E.transpose(1, 0, 2))


def _solved(system: Array, right: Array) -> Array:
    """Return the solution of a symmetric system, which is overwritten.

    What rounding may do to the system is added to its diagonal.
    """
    from scipy.linalg import cho_factor, cho_solve

    diagonal = np.einsum("ii->i", system)
    diagonal += len(system) * _ROUNDING * diagonal.max()
    factor = cho_factor(system.T, overwrite_a=True, check_finite=False)
    return np.asarray(cho_solve(factor, right, check_finite=False))
