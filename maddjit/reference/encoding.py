"""The definition of codes: how a row of A becomes one code per codebook, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.checks import as_rows
from maddjit.arrays.formats import Format, bfloat16_to_float32
from maddjit.models.encoders import AdditiveCodes, HashTrees
from maddjit.models.maddness import MaddnessModel


def as_float32(rows: NDArray[Any], form: Format) -> NDArray[np.float32]:
    """Return rows as float32: float64 is rounded to nearest, other formats are exact."""
    if form.name == "bfloat16":
        return bfloat16_to_float32(rows)
    with np.errstate(over="ignore"):
        return rows.astype(np.float32)


def encode(model: MaddnessModel, A: ArrayLike) -> NDArray[np.uint8]:
    """Return one code per codebook for each row of A (g of the paper, algorithm 1).

    Hash trees compare: the decision of the first level is the most significant bit of a code. A row
    goes right when a ≥ v, so NaN goes left and −0 equals +0. Every format is compared as it is,
    none is rounded first.

    `AdditiveCodes` take elements as float32, float64 being rounded to nearest, and choose one
    codebook after another the code with the lowest score, of equal ones the first. `directions` are
    u; scores are ``(norms − u · prototypes) >> shifts`` and what ``gram`` adds for the codes chosen
    before, one after another. The first numbers and all sums are clipped to 16 bits.

    Parameters
    ----------
    model : MaddnessModel
    A : (N, D) or (D,) array_like
        float32, float64, float16, bfloat16 (of ml_dtypes), int8, uint8 or int16.

    Returns
    -------
    (N, C) or (C,) uint8

    Examples
    --------
    >>> import numpy as np
    >>> trees = HashTrees(split_dims=[[1]], thresholds=[[0.5]], n_features=2)
    >>> model = MaddnessModel(trees, tables=[[[0], [7]]], scale=[1.0], offset=[0.0])
    >>> encode(model, np.array([[9.0, 0.5], [9.0, 0.4], [9.0, np.nan]])).ravel()
    array([1, 0, 0], dtype=uint8)
    """
    rows, form, single = as_rows(A, model.n_features)
    if isinstance(model.encoder, AdditiveCodes):
        result = _chosen(model.encoder, directions(model.encoder, as_float32(rows, form)))
    else:
        rows = bfloat16_to_float32(rows) if form.name == "bfloat16" else rows
        result = _leaves(model.encoder, rows)
    return result[0] if single else result


def _leaves(trees: HashTrees, rows: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the leaf of each row in each tree, (N, C)."""
    codebooks = np.arange(trees.n_codebooks)
    codes = np.zeros((len(rows), trees.n_codebooks), dtype=np.intp)
    for level in range(trees.depth):
        values = rows[:, trees.split_dims[:, level]]
        nodes = 2**level - 1 + codes
        codes = 2 * codes + (values >= trees.thresholds[codebooks, nodes])
    return codes.astype(np.uint8)


def directions(encoder: AdditiveCodes, rows: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the directions u of rows, (N, r): whole numbers from 0 to 255.

    Parameters
    ----------
    encoder : AdditiveCodes
    rows : (N, D) float32
    """
    with np.errstate(over="ignore", invalid="ignore"):
        reals = rows * encoder.row_scale + encoder.row_offset
    bytes_ = np.clip(np.rint(np.where(np.isnan(reals), 0, reals)), 0, 255).astype(np.int64)
    if encoder.projection is None:
        return bytes_
    projection = encoder.projection
    projected = _product(bytes_, projection.matrix) + projection.added
    u: NDArray[np.int64] = np.clip(projected >> projection.shifts, 0, 255)
    return u


def _chosen(encoder: AdditiveCodes, u: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the codes of directions, chosen one codebook after another, (N, C)."""
    least, most = np.iinfo(np.int16).min, np.iinfo(np.int16).max
    prototypes = encoder.prototypes.reshape(-1, encoder.rank)
    products = _product(u, prototypes.T).reshape(-1, *encoder.norms.shape)
    scores = np.clip((encoder.norms - products) >> encoder.shifts[:, np.newaxis], least, most)
    codes = np.empty((len(u), encoder.n_codebooks), np.uint8)
    for c in range(encoder.n_codebooks):
        codes[:, c] = scores[:, c].argmin(axis=1)
        later = scores[:, c + 1 :]
        later += encoder.gram[c, codes[:, c], c + 1 :]
        np.clip(later, least, most, out=later)
    return codes


def _product(left: NDArray[np.int64], right: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return a product of whole numbers whose sums fit 32 bits: float64 holds them exactly."""
    return (left.astype(np.float64) @ right.astype(np.float64)).astype(np.int64)
