"""The definition: what a compiled operator computes, in NumPy, bit for bit."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.checks import as_rows
from maddjit.arrays.epilogue import Epilogue
from maddjit.models.core import CORE_LANES
from maddjit.models.maddness import Accumulate, MaddnessModel, average_group
from maddjit.models.requantising import Requantising
from maddjit.models.short_list import SETTLE_LANES
from maddjit.models.strassen_tile import StrassenTileModel
from maddjit.reference.encoding import as_float32, encode
from maddjit.reference.strassen_tile import multiply


class Settled(NamedTuple):
    """The exact winners of each row, their outputs, and how many were on the short list.

    Attributes
    ----------
    indices : (N, k) or (k,) int64
        The largest output first.
    outputs : (N, k) or (k,) float32
    lengths : (N,) or () int64
    """

    indices: NDArray[np.int64]
    outputs: NDArray[np.float32]
    lengths: NDArray[np.int64]


def sums(model: MaddnessModel, A: ArrayLike) -> NDArray[np.int32]:
    """Add the table entries of each row's codes (f of the paper, before scale and offset).

    With ``accumulate="average"`` neighbouring codebooks are averaged, ``(a + b + 1) >> 1``, until
    one byte is left of each group of U = `average_group(C)`, and the groups are added.

    Parameters
    ----------
    model : MaddnessModel
    A : (N, D) or (D,) array_like of float32 or float64

    Returns
    -------
    (N, M) or (M,) int32
    """
    return added_up(model.tables, encode(model, A), model.accumulate)


def added_up(
    tables: NDArray[np.uint8], codes: NDArray[np.uint8], accumulate: Accumulate
) -> NDArray[np.int32]:
    """Add the entries of rows whose codes are known, as `sums` does.

    Parameters
    ----------
    tables : (C, K, M) uint8
    codes : (N, C) or (C,) uint8
    accumulate : {"exact", "average"}

    Returns
    -------
    (N, M) or (M,) int32
    """
    n_codebooks, _, n_outputs = tables.shape
    total = np.zeros((*codes.shape[:-1], n_outputs), dtype=np.int32)
    group = average_group(n_codebooks) if accumulate == "average" else 1
    for first in range(0, n_codebooks, group):
        entries = [tables[c, codes[..., c]].astype(np.int32) for c in range(first, first + group)]
        while len(entries) > 1:
            entries = [(a + b + 1) >> 1 for a, b in zip(entries[0::2], entries[1::2], strict=True)]
        total += entries[0]
    return total


def project(model: MaddnessModel, A: ArrayLike) -> NDArray[np.float32]:
    """Project rows onto the exact core: ``A @ U`` in float32, added up in one fixed order.

    The row is taken as float32 (float64 is rounded to nearest, the other formats are exact). Lane l
    of 16 starts at 0 and adds a[j] · U[j] for j = l, l + 16, l + 32, … in that order; product and
    sum are each rounded. Then lanes 8 … 15 are added to lanes 0 … 7, of those the last four to
    the first four, the last two to the first two, the last one to the first.

    Zeros behind the last column change nothing: a lane that starts at +0 never becomes −0.

    Parameters
    ----------
    model : MaddnessModel
        With a core.
    A : (N, D) or (D,) array_like
        Of a format that `encode` takes. NaN and infinities reach every projection.

    Returns
    -------
    (N, r) or (r,) float32
    """
    if model.core is None:
        raise ValueError("the model has no core")
    rows, form, single = as_rows(A, model.n_features)
    projections = _products(as_float32(rows, form), model.core.projection, CORE_LANES)
    return projections[0] if single else projections


def _products(
    a: NDArray[np.float32], columns: NDArray[np.float32], n_lanes: int
) -> NDArray[np.float32]:
    """Return ``a @ columns``, added up in the order of `project`, with so many lanes."""
    with np.errstate(over="ignore", invalid="ignore"):
        lanes = np.zeros((len(a), n_lanes, columns.shape[1]), np.float32)
        for first in range(0, len(columns), n_lanes):
            group = slice(first, first + n_lanes)
            products = a[:, group, np.newaxis] * columns[group]
            lanes[:, : products.shape[1]] += products
        while lanes.shape[1] > 1:
            lower, upper = np.split(lanes, 2, axis=1)
            lanes = lower + upper
    return lanes[:, 0]


def argmax(model: MaddnessModel, A: ArrayLike) -> NDArray[np.int64]:
    """Return the index of each row's largest output, the lowest one if several are equal.

    NaN, which only an exact core gives, counts as larger than all numbers, as in NumPy.

    Parameters
    ----------
    model : MaddnessModel
    A : (N, D) or (D,) array_like
        Of a format that `encode` takes.

    Returns
    -------
    (N,) or () int64
    """
    return np.asarray(np.argmax(apply(model, A), axis=-1), dtype=np.int64)


def topk(model: MaddnessModel, A: ArrayLike, k: int) -> NDArray[np.int64]:
    """Return the indices of each row's k largest outputs, equal ones in the order of their indices.

    NaN comes first, as in `argmax`.

    Parameters
    ----------
    model : MaddnessModel
    A : (N, D) or (D,) array_like
        Of a format that `encode` takes.
    k : int
        From 1 to M.

    Returns
    -------
    (N, k) or (k,) int64
    """
    y = apply(model, A)
    order = np.lexsort((-y, ~np.isnan(y)), axis=-1)
    return np.asarray(order[..., :k], dtype=np.int64)


def scores(model: MaddnessModel, tables: NDArray[np.uint8], A: ArrayLike) -> NDArray[np.int32]:
    """Add the entries of other tables, such as those of a short list, for each row's codes.

    Parameters
    ----------
    model : MaddnessModel
        Whose trees encode the rows.
    tables : (C, K, M) uint8
    A : (N, D) or (D,) array_like

    Returns
    -------
    (N, M) or (M,) int32
    """
    codes = encode(model, A)
    fits_a_byte = tables.max(axis=1).sum(axis=0, dtype=np.int64).max() < 256
    total = np.zeros((*codes.shape[:-1], tables.shape[2]), np.uint8 if fits_a_byte else np.int32)
    for c, table in enumerate(tables):
        total += table[codes[..., c]]
    return total.astype(np.int32)


def settle(model: MaddnessModel, A: ArrayLike, coverage: float) -> Settled:
    """Look up all scores, then settle the short list by exact products.

    On the list are the outputs whose score is at most a margin below the row's k-th best score. Of
    those ``y = a · B[:, m] + bias[m]`` is computed in float32: as in `project`, but with 64 lanes,
    lanes 32 … 63 being added to 0 … 31 first; the bias last. The k largest are named, equal ones
    in the order of their indices; NaN counts as larger than all numbers.

    Parameters
    ----------
    model : MaddnessModel
        With a short list.
    A : (N, D) or (D,) array_like
        Of a format that `encode` takes. A row with NaN or infinities has no short list worth the
        name: its answer is in range, but meaningless.
    coverage : float
        `maddjit.ShortList.margin` is the margin for it.

    Returns
    -------
    Settled

    Raises
    ------
    ValueError
        If the model is not calibrated, or not on enough rows for this coverage.
    """
    if model.short_list is None:
        raise ValueError("the model has no short list: maddjit.calibrate(model, A, B) first")
    short = model.short_list
    rows, form, single = as_rows(A, model.n_features)
    found = np.atleast_2d(scores(model, short.tables, A))
    kth = np.partition(found, -short.k, axis=1)[:, -short.k :].min(axis=1, keepdims=True)
    listed = found >= kth - short.margin(coverage)
    a = as_float32(rows, form)
    indices = np.empty((len(rows), short.k), np.int64)
    outputs = np.empty((len(rows), short.k), np.float32)
    for i, members in enumerate(listed):
        (own,) = np.nonzero(members)
        y = _products(a[i : i + 1], short.B[:, own], SETTLE_LANES)[0] + short.bias[own]
        order = np.lexsort((-y, ~np.isnan(y)))[: short.k]
        indices[i], outputs[i] = own[order], y[order]
    settled = Settled(indices, outputs, listed.sum(axis=1, dtype=np.int64))
    return Settled(*(part[0] for part in settled)) if single else settled


def apply(
    model: MaddnessModel | StrassenTileModel, A: ArrayLike, epilogue: Epilogue | None = None
) -> NDArray[Any]:
    """Return ``float32(sums) * scale + offset``, in two float32 roundings: about ``A @ B + bias``.

    With an exact core, p = `project` (A), each of ``y + p[s] * V[s]`` follows for s = 0 … r − 1,
    product and sum each rounded. A row with NaN or infinities has no finite output then.

    The outputs of a `StrassenTileModel` are those of `maddjit.tile_reference.multiply`, rounded to
    float32 once; a kernel is near them and not bit for bit the same.

    Parameters
    ----------
    model : MaddnessModel or StrassenTileModel
    A : (N, D) or (D,) array_like
        Of a format that `encode` takes.
    epilogue : Epilogue, optional
        What else happens to the outputs. One of integers takes the sums instead of them.

    Returns
    -------
    (N, M) or (M,) float32, or what the epilogue makes of it
    """
    if epilogue is not None and epilogue.arithmetic == "integer":
        if isinstance(model, StrassenTileModel):
            raise ValueError("tiles have no sums to be requantised in integers")
        return Requantising.of(model, epilogue)(sums(model, A))
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(model, StrassenTileModel):
            y = multiply(model, A).astype(np.float32)
        else:
            y = sums(model, A).astype(np.float32) * model.scale + model.offset
            if model.core is not None:
                p = project(model, A)
                for s in range(model.core.rank):
                    y = y + p[..., s, np.newaxis] * model.core.expansion[s]
    return y if epilogue is None else epilogue(y)
