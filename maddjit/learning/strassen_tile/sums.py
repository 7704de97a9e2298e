"""Sums over the columns of V: all that fitting the encoder and the decoder needs of V."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from maddjit.learning.strassen_tile.moments import Array, Moments

_CHUNK_NUMBERS = 2**24
"""Numbers of a chunk of products of pairs: many rows at once need the moments read less often."""


class Sums(NamedTuple):
    """Sums over the columns of V, from which encoder and decoder are fitted.

    T[pρkσk'] = Σ_J v_ρᵀ S_pkk' v_σ for rows p places apart; N[ρkσk'] is the same with µ µᵀ for S;
    U[pρkj] = Σ_J v_ρᵀ (S_p B)_kj.
    """

    T: Array
    N: Array
    U: Array

    @classmethod
    def of(cls, V: Array, moments: Moments) -> Sums:
        """Return the sums of V (r, Dk, Mk)."""
        r, Dk, Mk = V.shape
        d, n_places = len(moments.mean), len(moments.places)
        means = np.einsum("kK,rKJ->rkJ", moments.mean, V).reshape(r * d, Mk)
        product = moments.product.transpose(0, 1, 3, 2, 4).reshape(-1, Dk * Mk)
        U = product @ V.reshape(r, Dk * Mk).T
        return cls(
            _quadratic(V, moments),
            (means @ means.T).reshape(r, d, r, d),
            np.ascontiguousarray(U.reshape(n_places, d, -1, r).transpose(0, 3, 1, 2)),
        )


def _quadratic(V: Array, moments: Moments) -> Array:
    """Return T. V V'ᵀ of all pairs ρ ≤ σ is made for some of its rows after the others."""
    r, Dk, _ = V.shape
    d, places = len(moments.mean), moments.places
    second = moments.second.reshape(-1, Dk, Dk)
    n_pairs = r * (r + 1) // 2
    total = np.zeros((n_pairs, len(second)))
    step = max(1, _CHUNK_NUMBERS // (n_pairs * Dk))
    for start in range(0, Dk, step):
        some = slice(start, min(start + step, Dk))
        pairs = np.empty((n_pairs, some.stop - start, Dk))
        first = 0
        for row in range(r):
            np.matmul(V[row, some], V[row:].swapaxes(1, 2), out=pairs[first : first + r - row])
            first += r - row
        total += pairs.reshape(n_pairs, -1) @ second[:, some].reshape(len(second), -1).T
    T = np.empty((len(places), r, d, r, d))
    found = total.reshape(-1, len(places), d, d)
    rho, sigma = np.triu_indices(r)
    for number, place in enumerate(places):
        T[number, rho, :, sigma] = found[:, number]
        T[number, sigma, :, rho] = found[:, places.index(-place)].swapaxes(1, 2)
    return T
