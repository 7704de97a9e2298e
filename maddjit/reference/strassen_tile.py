"""The definition of bilinear tile operators in NumPy, and how far kernels may be from it."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.checks import as_array, as_rows
from maddjit.arrays.formats import (
    SMALLEST_NORMAL,
    UNIT_ROUNDOFF,
    Precision,
    bfloat16_to_float32,
)
from maddjit.models.schemes import BilinearScheme
from maddjit.models.strassen_tile import StrassenTileModel

_BFLOAT16_UNIT = 2.0**-8
"""Half a unit in the last place of 1, bfloat16: its significand has 8 bits with the leading one."""


def encode_right(scheme: BilinearScheme, B: NDArray[Any]) -> NDArray[np.float64]:
    """Return V = E_B · B by tiles: (r, Dk, Mk) float64 for B (D, M).

    Tile (K, J) of B has the entry B[k · Dk + K, j · Mk + J] at (k, j), zero beyond B.
    """
    _, d, m = scheme.shape
    rows, columns = -(-B.shape[0] // d), -(-B.shape[1] // m)
    padded = np.zeros((d * rows, m * columns))
    padded[: B.shape[0], : B.shape[1]] = B
    tiles = padded.reshape(d, rows, m, columns).transpose(0, 2, 1, 3).reshape(d * m, -1)
    encoded = scheme.encode_b.astype(np.float64) @ tiles
    return encoded.reshape(scheme.rank, rows, columns)


def multiply(model: StrassenTileModel, A: ArrayLike) -> NDArray[np.float64]:
    """Return what the model computes, in float64.

    Of each group of n · R rows, block i holds rows i · R … i · R + R − 1; a last group of N' rows
    has ⌈N'/n⌉ in place of R and zeros behind its last row. With X[i, k] the rows of block i and the
    columns of block k, (R, Dk)::

        z_ρ = Σ_ik encode_a[ρ, (i, k)] X[i, k]         (R, Dk), for each ρ of r
        u_ρ = z_ρ · V_ρ                                (R, Mk)
        Y[i, j] = Σ_ρ decode[(i, j), ρ] u_ρ + bias[j]

    With "tokens", X[i, k] holds the rows i, i + n, i + 2n … of one sequence instead. Each sequence
    has zeros behind its last row.

    Parameters
    ----------
    model : StrassenTileModel
    A : (N, D) or (D,) array_like, with "tokens" (…, T, D), too
        Of any format that operators take. If a row has NaN or infinities, its tile mates, the rows
        at the same place of the other blocks, are undefined; they need not be NaN.

    Returns
    -------
    (N, M), (M,) or (…, T, M) float64

    Examples
    --------
    >>> import numpy as np, maddjit
    >>> model = maddjit.fit_strassen_tile(np.eye(3, dtype=np.float32), tile=2, bias=[0, 0, 1])
    >>> multiply(model, [[1.0, 2.0, 3.0]])
    array([[1., 2., 4.]])
    """
    rows, shape = _as_sequences(model, A)
    scheme = model.scheme
    encode, decode = scheme.encode_a.astype(np.float64), scheme.decode.astype(np.float64)
    Y = _by_groups(model, rows, encode, model.values.astype(np.float64), decode)
    Y += model.bias
    return Y.reshape(shape)


def error_bound(
    model: StrassenTileModel, A: ArrayLike, precision: Precision = "float32"
) -> NDArray[np.float64]:
    """Bound how far each output of a kernel is from `multiply`, whatever its order of additions.

    A sum of s terms, coefficients included, rounds no term more than s times in any order: once
    for its product and s − 1 times for additions, with fma less; not for products with ±1. Sums
    that several rows of a factor share are part of such an order. An output's term has passed
    through rounding of A to float32 (if it was not), the sum of its ρ over the s_a entries of
    encode_a, the sum over Dk, the sum over the s_d entries of decode, and the bias, in all
    n = 1 + s_a + (Dk + 1) + s_d + 1 roundings at most, with u = 2⁻²⁴ and γ = n u / (1 − n u)::

        |ŷ − y| ≤ γ (|decode| · ((|encode_a| · |X|) · |V|) + |bias|)

    (Higham, Accuracy and Stability of Numerical Algorithms, 2002, sections 3.1 and 3.5). In
    bfloat16 z and V are rounded to it first, their products are exact: with
    β = (1 + 2⁻⁸)² − 1 what is bounded grows by ``β |decode| · (|z| · |V|)``, and γ's term by 1 + β.
    Numbers below 2⁻¹²⁶ may be flushed to zero at every step, which adds a tiny slack. Outputs
    beyond the range of float32, and those of NaN or infinities, are not bounded.

    Parameters
    ----------
    model : StrassenTileModel
    A : (N, D) or (D,) array_like, with "tokens" (…, T, D), too
    precision : {"float32", "bfloat16"}

    Returns
    -------
    (N, M), (M,) or (…, T, M) float64
    """
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f'precision must be "float32" or "bfloat16", not {precision!r}')
    rows, shape = _as_sequences(model, A)
    scheme = model.scheme
    encode, decode = scheme.encode_a.astype(np.float64), np.abs(scheme.decode.astype(np.float64))
    V, bias = np.abs(model.values.astype(np.float64)), np.abs(model.bias.astype(np.float64))
    n = _roundings(scheme.encode_a) + model.block_features + _roundings(scheme.decode) + 3
    gamma = n * UNIT_ROUNDOFF / (1 - n * UNIT_ROUNDOFF)
    sizes = _by_groups(model, np.abs(rows), np.abs(encode), V, decode) + bias
    beta = (1 + _BFLOAT16_UNIT) ** 2 - 1 if precision == "bfloat16" else 0.0
    bound = (1 + beta) * gamma * sizes
    if precision == "bfloat16":
        bound += beta * _by_groups(model, rows, encode, V, decode, np.abs)
    steps = scheme.rank * (model.block_features + n) * (1 + np.abs(encode).max(initial=1))
    largest = 1 + max(np.abs(rows).max(initial=1), 1) * np.abs(encode).sum(axis=1).max()
    slack = SMALLEST_NORMAL * steps * (1 + V.max()) * largest * (1 + decode.sum(axis=1).max())
    bound += slack + n * 2.0**-50 * sizes
    return bound.reshape(shape)


def _roundings(factor: NDArray[np.float32]) -> int:
    """Return how many products and additions round a term of a factor's longest sum, at most."""
    terms = int(np.count_nonzero(factor, axis=1).max())
    return terms if not np.isin(factor, (-1, 0, 1)).all() else max(terms - 1, 0)


def _by_groups(
    model: StrassenTileModel,
    rows: NDArray[np.float64],
    encode: NDArray[np.float64],
    V: NDArray[np.float64],
    decode: NDArray[np.float64],
    between: Any = None,
) -> NDArray[np.float64]:
    """Return outputs (S, T, M) without bias for sequences (S, T, D), computed group by group.

    `between` is applied to z. With "blocks" there is one sequence.
    """
    n, d, m = model.scheme.shape
    Dk, Mk = model.block_features, model.block_outputs
    n_sequences, length, _ = rows.shape
    Y = np.empty((n_sequences, length, model.n_outputs))
    step = n * model.tile_rows
    for number, first in product(range(n_sequences), range(0, length, step)):
        group = rows[number, first : first + step]
        R = -(-len(group) // n)
        padded = np.zeros((n * R, d * Dk))
        padded[: len(group), : model.n_features] = group
        parts = _parts(model, padded, R)
        X = parts.reshape(n, R, d, Dk).transpose(0, 2, 1, 3).reshape(n * d, R * Dk)
        z = (encode @ X).reshape(-1, R, Dk)
        u = (z if between is None else between(z)) @ V
        tiles = (decode @ u.reshape(len(u), -1)).reshape(n, m, R, Mk)
        outputs = tiles.transpose(0, 2, 1, 3).reshape(n * R, m * Mk)
        own = outputs if model.rows == "blocks" else _interleaved(outputs, n)
        Y[number, first : first + step] = own[: len(group), : model.n_outputs]
    return Y


def _parts(model: StrassenTileModel, group: NDArray[Any], R: int) -> NDArray[Any]:
    """Return the rows of a group part by part: the first row of each of R tile rows comes first."""
    return group if model.rows == "blocks" else _interleaved(group, R)


def _interleaved(rows: NDArray[Any], n: int) -> NDArray[Any]:
    """Return rows (n · R, …) in another order: the first of each of n parts, then the second …"""
    return rows.reshape(n, -1, *rows.shape[1:]).swapaxes(0, 1).reshape(rows.shape)


def _as_sequences(
    model: StrassenTileModel, A: ArrayLike
) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """Return A as sequences (S, T, D) of float64, and the shape of the outputs."""
    given = as_array("A", A)
    is_many = model.rows == "tokens" and given.ndim > 2
    rows, form, single = as_rows(
        given.reshape(-1, given.shape[-1]) if is_many else A, model.n_features
    )
    if form.name == "bfloat16":
        rows = bfloat16_to_float32(rows)
    shape = given.shape[:-1] if is_many or single else rows.shape[:1]
    length = given.shape[-2] if is_many else len(rows)
    sequences = rows.astype(np.float64).reshape(-1 if length else 0, length, model.n_features)
    return sequences, (*shape, model.n_outputs)
