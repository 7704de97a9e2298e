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


def _by_norms(rows: NDArray[np.float32], norm: float, by_powers: bool) -> NDArray[np.float64]:
    """Return (r,) factors that give rows a norm, or one near it by powers of two."""
    norms = np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1))
    factors = np.where(norms > 0, norm / np.where(norms > 0, norms, 1), 1.0)
    return 2.0 ** np.rint(np.log2(factors)) if by_powers else factors
