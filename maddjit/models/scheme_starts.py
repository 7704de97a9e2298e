"""How a trained layer begins from a scheme: scaling rules, and the start from polynomials."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from maddjit.models.bilinear import BilinearScheme
from maddjit.models.tensors import tensor


def normalised(scheme: BilinearScheme) -> BilinearScheme:
    """Return the same scheme with encoder rows of norm 1 and decoder columns of norm √(nm/r).

    What remains is moved into `encode_b`, so that the tensor does not change but for rounding. An
    exact scheme is scaled by powers of two, so that it stays exact; its norms are then within a
    factor of √2. Products that are always zero stay as they are.

    For white X of variance 1 each z_ρ = a_ρ · X has variance ‖a_ρ‖² = 1. If u_ρ = Σ_K z_ρ v_ρ has
    the same variance for all ρ and these do not depend on each other, the outputs' mean variance is
    Σ_ρ ‖c_ρ‖² / (n m) = 1 times it. So all three factors, and their gradients, are of the same size
    as those of a dense layer.

    Parameters
    ----------
    scheme : BilinearScheme
    """
    n, _, m = scheme.shape
    of_a = _by_norms(scheme.encode_a, 1.0, scheme.is_exact)
    of_c = _by_norms(scheme.decode.T, np.sqrt(n * m / scheme.rank), scheme.is_exact)
    return replace(
        scheme,
        encode_a=(scheme.encode_a * of_a[:, np.newaxis]).astype(np.float32),
        encode_b=(scheme.encode_b / (of_a * of_c)[:, np.newaxis]).astype(np.float32),
        decode=(scheme.decode * of_c).astype(np.float32),
    )


def scaled_for_training(scheme: BilinearScheme) -> BilinearScheme:
    """Return a scheme to begin a layer with that is trained: `normalised`, and with ‖T̂‖ = ‖T‖.

    A layer that begins as V = E_B · W, for W drawn as `nn.Linear` draws it, then has outputs of the
    variance that `nn.Linear` has. For white X of variance 1 and independent entries of W of
    variance σ², each entry of the n × m outputs is a sum over K of Σ T̂ X W, so that their mean
    variance is ⌈D/d⌉ σ² ‖T̂‖² / (n m). For the tensor T of the product ‖T‖² = n d m, which gives
    D σ², the dense layer's. A scheme of least error ε has ‖T̂‖² = (1 − ε) ‖T‖² and would start with
    outputs that are too small, by √(1 − ε) in each layer.

    A layer that is to *approximate* given weights must not be scaled so, because T̂ is then further
    from T; use `normalised`.

    If V is drawn at random instead, independent of ρ, variance σ² d for its entries gives the same:
    each of ⌈D/d⌉ terms of u_ρ has variance σ² d. With `nn.Linear`'s σ² = 1/(3 D) that is about
    1 / (3 ⌈D/d⌉).

    Parameters
    ----------
    scheme : BilinearScheme

    Raises
    ------
    ValueError
        If all products of the scheme are zero.
    """
    if scheme.is_exact:
        return normalised(scheme)
    factors = scheme.encode_a, scheme.encode_b, scheme.decode.T
    size = float((tensor(*(factor.astype(np.float64) for factor in factors)) ** 2).sum())
    if size == 0:
        raise ValueError(f"the scheme {scheme.name!r} gives zeros whatever it multiplies")
    gain = np.sqrt(np.prod(scheme.shape) / size)
    return normalised(replace(scheme, encode_b=scheme.encode_b * np.float32(gain)))


def polynomial(rank: int, tile: int | tuple[int, int, int] = 4) -> BilinearScheme:
    """Return the start that multiplies matrices as polynomials, at r points.

    Let p_0, p_1, … be polynomials of degree 0, 1, … that are orthonormal for some weight w. The
    entries of a tile are coefficients of polynomials in two variables::

        A(x, y) = Σ_ik a_ik p_i(x) p_k(y)        B(y, z) = Σ_kj b_kj p_k(y) p_j(z)

    As the p_k are orthonormal, ∫ A(x, y) B(y, z) w(y) dy = Σ_ij (A B)_ij p_i(x) p_j(z). The
    integrand has degree 2 d − 2 in y, and Gauss quadrature with d nodes is exact to 2 d − 1. So A
    is evaluated at n × d nodes, B at d × m, they are multiplied at the n × d × m nodes (x, y, z),
    and the product is interpolated in x and z. These are Chebyshev polynomials at Chebyshev nodes,
    for which evaluation is an orthonormal (cosine) transform.

    *It is exact with all r = n·d·m points only*, where the plain scheme is exact, too: it is the
    plain scheme in another basis of rows, features and outputs. Fewer points leave out products.
    The squared error is then 1 − r/(n·d·m), and the amplification √(r/(n·d·m)): products are
    orthogonal to each other, so that none cancels another. The first n·m points take one y for each
    pair (x, z), so that encoders and decoders see all entries from r = t² on.

    The product's coefficients could be had by Toom and Cook's method as well: with the powers of a
    single variable, a_ik for x^(k + d i) and b_kj for x^(d − 1 − k + n d j), entry (i, j) is the
    coefficient of x^(d − 1 + d i + n d j). That takes n·d·m + d − 1 points (Yu, Maddah-Ali &
    Avestimehr 2018, "entangled polynomial codes"): more than the plain scheme, and powers of real
    points are conditioned badly.

    Parameters
    ----------
    rank : int
        The number of points, n·m to n·d·m: t² to t³.
    tile : int or (int, int, int)
        t for t × t × t tiles, or (n, d, m).

    Raises
    ------
    ValueError
        If the rank is out of range.

    Examples
    --------
    >>> polynomial(24)
    BilinearScheme('polynomial-24', 4 × 4 × 4, rank=24, error=0.625, amplification=0.612)
    """
    n, d, m = (tile, tile, tile) if isinstance(tile, int) else tile
    if min(n, d, m) < 1 or not n * m <= rank <= n * d * m:
        raise ValueError(f"for tile={tile} the rank must be {n * m} to {n * d * m}, not {rank}")
    of_x, of_y, of_z = (_evaluation(size) for size in (n, d, m))
    turn, x, z = np.indices((d, n, m)).reshape(3, -1)[:, :rank]
    y = (x + z + turn) % d
    encode_a = np.einsum("ri,rk->rik", of_x[x], of_y[y]).reshape(rank, -1)
    encode_b = np.einsum("rk,rj->rkj", of_y[y], of_z[z]).reshape(rank, -1)
    outputs = np.einsum("ri,rj->rij", of_x[x], of_z[z]).reshape(rank, -1)
    parts = (part.astype(np.float32) for part in (encode_a, encode_b, outputs.T))
    return BilinearScheme(f"polynomial-{rank}", (n, d, m), *parts)


def _evaluation(size: int) -> NDArray[np.float64]:
    """Return (nodes, degrees): Chebyshev polynomials at Chebyshev nodes, times roots of weights.

    Its rows are orthonormal: it is the inverse of the cosine transform of type II.
    """
    nodes, degrees = np.indices((size, size))
    values = np.cos(np.pi * (2 * nodes + 1) * degrees / (2 * size))
    return np.asarray(values * np.sqrt(np.where(degrees > 0, 2, 1) / size))


def _by_norms(rows: NDArray[np.float32], norm: float, by_powers: bool) -> NDArray[np.float64]:
    """Return (r,) factors that give rows a norm, or one near it by powers of two."""
    norms = np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1))
    factors = np.where(norms > 0, norm / np.where(norms > 0, norms, 1), 1.0)
    return 2.0 ** np.rint(np.log2(factors)) if by_powers else factors
