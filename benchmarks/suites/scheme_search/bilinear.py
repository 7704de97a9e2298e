"""Schemes of few multiplications: alternating least squares for the tensor of matrix products."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maddjit.models.schemes import BilinearScheme
from maddjit.models.tensors import squared_norms


class Factors(NamedTuple):
    """Several schemes of one shape and rank, as matrices.

    Attributes
    ----------
    a : (S, r, n, d) float64
    b : (S, r, d, m) float64
    c : (S, r, n, m) float64
        The decoders.
    """

    a: NDArray[np.float64]
    b: NDArray[np.float64]
    c: NDArray[np.float64]


def as_factors(scheme: BilinearScheme) -> Factors:
    """Return one scheme as factors (S = 1)."""
    n, d, m = scheme.shape
    return Factors(
        scheme.encode_a.astype(np.float64).reshape(1, -1, n, d),
        scheme.encode_b.astype(np.float64).reshape(1, -1, d, m),
        scheme.decode.T.astype(np.float64).reshape(1, -1, n, m),
    )


def as_scheme(factors: Factors, which: int, name: str) -> BilinearScheme:
    """Return one of several schemes in float32, with balanced components."""
    a, b, c = (part[which] for part in balanced(factors))
    shape = a.shape[1], a.shape[2], b.shape[2]
    flat = [part.reshape(len(part), -1).astype(np.float32) for part in (a, b, c)]
    return BilinearScheme(name, shape, flat[0], flat[1], flat[2].T)


def balanced(factors: Factors) -> Factors:
    """Scale each component so that its three matrices have the same norm."""
    norms = [np.sqrt((part**2).sum(axis=(2, 3), keepdims=True)) for part in factors]
    together = np.cbrt(norms[0] * norms[1] * norms[2])
    scales = (together / np.where(norm > 0, norm, 1.0) for norm in norms)
    return Factors(*(part * scale for part, scale in zip(factors, scales, strict=True)))


def errors(factors: Factors) -> NDArray[np.float64]:
    """Return (S,): ‖T − T̂‖² / ‖T‖²."""
    a, b, c = factors
    size = a.shape[2] * a.shape[3] * b.shape[3]
    norm = (gram(a) * gram(b) * gram(c)).sum(axis=(1, 2))
    inner = ((a @ b) * c).sum(axis=(1, 2, 3))
    return np.asarray(1 + (norm - 2 * inner) / size)


def alternate(factors: Factors, penalties: Iterable[float]) -> Factors:
    """Improve each factor in turn, once for each penalty λ.

    Each step minimises ‖T − T̂‖² + λ (‖a‖² + ‖b‖² + ‖c‖²) over one factor; without a penalty the
    factors of approximate schemes diverge, as a tensor need not have a best approximation.
    """
    a, b, c = factors
    for penalty in penalties:
        a = _solve(b, c, c @ b.swapaxes(2, 3), penalty)
        b = _solve(a, c, a.swapaxes(2, 3) @ c, penalty)
        c = _solve(a, b, a @ b, penalty)
        a, b, c = balanced(Factors(a, b, c))
    return Factors(a, b, c)


def gram(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (S, r, r): inner products of one factor's matrices."""
    flat = part.reshape(*part.shape[:2], -1)
    return np.asarray(flat @ flat.swapaxes(1, 2))


def _solve(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    right: NDArray[np.float64],
    penalty: float,
) -> NDArray[np.float64]:
    system = gram(first) * gram(second) + penalty * np.eye(first.shape[1])
    flat = right.reshape(*right.shape[:2], -1)
    return np.asarray(np.linalg.solve(system, flat)).reshape(right.shape)


def amplification(factors: Factors) -> NDArray[np.float64]:
    """Return (S,): `BilinearScheme.amplification` of each scheme."""
    size = factors.a.shape[2] * factors.a.shape[3] * factors.b.shape[3]
    norms = squared_norms(*(part.reshape(*part.shape[:2], -1) for part in factors))
    return np.asarray(np.sqrt(norms.sum(axis=1) / size))


def transformed(
    factors: Factors, n_copies: int, spread: float, rng: np.random.Generator
) -> Factors:
    """Return copies of one scheme in random bases, which do not change its error.

    A is replaced by P A Q⁻¹, B by Q B R⁻¹, and P, Q, R are exponentials of random matrices.
    """
    from scipy.linalg import expm

    (n, d), m = factors.a.shape[2:], factors.b.shape[3]
    P, Q, R = (expm(spread * rng.standard_normal((n_copies, 1, t, t))) for t in (n, d, m))
    return balanced(
        Factors(
            P.swapaxes(2, 3) @ factors.a @ np.linalg.inv(Q).swapaxes(2, 3),
            Q.swapaxes(2, 3) @ factors.b @ np.linalg.inv(R).swapaxes(2, 3),
            np.linalg.inv(P) @ factors.c @ R,
        )
    )


def largest(factors: Factors, rank: int) -> Factors:
    """Return the components of largest norm."""
    norms = squared_norms(*(part.reshape(*part.shape[:2], -1) for part in factors))
    order = np.argsort(-norms, axis=1)[:, :rank, np.newaxis, np.newaxis]
    return Factors(*(np.take_along_axis(part, order, axis=1) for part in factors))


def without_each(factors: Factors) -> Factors:
    """Return the r schemes that lack one component of one scheme (S = 1)."""
    rank = factors.a.shape[1]
    kept = np.array([np.delete(np.arange(rank), component) for component in range(rank)])
    return Factors(*(part[0][kept] for part in factors))


def selected(factors: Factors, which: NDArray[np.intp]) -> Factors:
    """Return some of the schemes."""
    return Factors(*(part[which] for part in factors))


def together(several: Iterable[Factors]) -> Factors:
    """Return several groups of schemes of one shape and rank as one group."""
    return Factors(*(np.concatenate(parts) for parts in zip(*several, strict=True)))
