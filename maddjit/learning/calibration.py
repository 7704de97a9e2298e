"""`calibrate`: how far looked-up scores fall short of naming the exact winners, on real rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from operator import index
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit import reference
from maddjit.checks import as_training_matrix
from maddjit.models import MaddnessModel
from maddjit.short_list import ShortList

_CHUNK_SCORES = 4_000_000
"""Scores that are held at a time."""
_KEPT_SCORES = 400_000_000
"""Scores that are kept rather than looked up twice."""
_MAX_MARGINS = 512
_CHOOSING = 0.1
"""Share of the rows that the width of scores is chosen by, which the margin then does not use."""
_MAX_CHOOSING = 1000
_TYPICAL = 0.99
"""Coverage by which the widths are compared."""
_STARTS = (0.0, 1.0, 2.0)
"""Standard deviations of an output's errors by which its scores may be raised."""
_DOT, _SCAN = 0.04, {8: 0.006, 16: 0.011}
"""Nanoseconds per multiply-add of a settled output, and per look-up of scores so many bits wide."""


def calibrate(
    model: MaddnessModel,
    A: ArrayLike,
    B: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    k: int = 1,
    random_state: int = 0,
) -> MaddnessModel:
    """Measure how wide a margin keeps the exact winners on the short list.

    For each row g = (k-th best looked-up score) − (least looked-up score of the exact k best). The
    margin that `maddjit.compile` takes for a coverage is a quantile of these, corrected for the
    number of rows (split conformal prediction, Vovk et al. 2005): rows exchangeable with these
    have their winners within it with that probability or more, whatever model it is.

    Parameters
    ----------
    model : MaddnessModel
        Of exact sums, without an exact core.
    A : (N, D) array_like
        Rows that the model was not fitted to; for a coverage of .999 10000 or more are advisable,
        and 999 are needed. A tenth of them, 1000 at most, serves to choose how scores are rounded
        and what start they have.
    B : (D, M) array_like
        The exact right-hand side, which settles the winner.
    bias : (M,) array_like, optional
        Added to the product; the same as for `fit`.
    k : int
        How many winners are to be named, from 1 to M.
    random_state : int
        Seed of the choice of that tenth.

    Returns
    -------
    MaddnessModel
        The same model with `short_list`.

    Raises
    ------
    ValueError
        If the model has a core or averages, shapes do not fit, or numbers are not finite.
    TypeError
        If an array does not hold real numbers.

    Examples
    --------
    >>> import numpy as np, maddjit
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((3000, 6)) @ rng.standard_normal((6, 32))
    >>> B = rng.standard_normal((32, 20))
    >>> model = maddjit.calibrate(maddjit.fit(A[:1000], B), A[1000:], B)
    >>> op = maddjit.compile(model, result="argmax", coverage=0.99)
    >>> bool((op(A) == (A @ B).argmax(axis=1)).mean() > 0.98)
    True
    """
    if model.core is not None or model.accumulate != "exact":
        raise ValueError('scores are exact sums: fit with core_rank=0 and accumulate="exact"')
    rows, right = as_training_matrix("A", A), as_training_matrix("B", B)
    wanted = (model.n_features, model.n_outputs)
    if right.shape != wanted or rows.shape[1] != wanted[0]:
        raise ValueError(
            f"A and B must have shapes (N, {wanted[0]}) and {wanted}, "
            f"not {rows.shape} and {right.shape}"
        )
    added = np.zeros(wanted[1]) if bias is None else as_training_matrix("bias", bias, ndim=1)
    if added.shape != wanted[1:]:
        raise ValueError(f"bias must have shape {wanted[1:]}, not {added.shape}")
    k = index(k)
    if not 1 <= k <= wanted[1]:
        raise ValueError(f"k must be from 1 to {wanted[1]}, not {k}")
    B32, bias32 = right.astype(np.float32), added.astype(np.float32)
    order = np.random.default_rng(random_state).permutation(len(rows))
    n_choosing = min(_MAX_CHOOSING, int(_CHOOSING * len(rows)))
    tables = _cheapest(model, B32, bias32, k, rows[np.sort(order[:n_choosing])])
    rest = rows[np.sort(order[n_choosing:])]
    return replace(model, short_list=_listed(model, tables, B32, bias32, k, rest))


def _cheapest(
    model: MaddnessModel,
    B: NDArray[np.float32],
    bias: NDArray[np.float32],
    k: int,
    rows: NDArray[Any],
) -> NDArray[np.uint8]:
    """Return the tables whose look-ups and short lists together cost least on some rows.

    Outputs that are approximated badly may be given a start, some standard deviations of their
    errors: else a margin wide enough for them lists others in vain.
    """
    if not len(rows):
        return score_tables(model, 16)
    found = []
    errors = rows.astype(np.float32) @ B + bias - reference.apply(model, rows)
    for bits in _SCAN:
        for start in _STARTS:
            tables = score_tables(model, bits, start * errors.std(axis=0, dtype=np.float64))
            listed = _listed(model, tables, B, bias, k, rows)
            found.append((_cost(model, bits, listed), tables))
    return min(found, key=lambda pair: pair[0])[1]


def score_tables(
    model: MaddnessModel, bits: int, start: NDArray[np.float64] | float = 0.0
) -> NDArray[np.uint8]:
    """Return tables whose sums rank outputs: one scale, offsets folded in, sums of so many bits.

    Each codebook holds an equal share of an output's offset above the least output's.

    Parameters
    ----------
    bits : {8, 16}
    start : (M,) float64, optional
        Added to each output's offset.
    """
    n_codebooks = model.n_codebooks
    scale = model.scale.astype(np.float64)
    entries: NDArray[np.float64] = model.tables * scale
    low = entries.min(axis=1, keepdims=True)  # scales may be negative in models from elsewhere
    base = low.sum(axis=(0, 1)) + model.offset + start
    real = entries - low + ((base - base.min()) / n_codebooks)
    largest = real.max(axis=1)  # (C, M)
    step = max(float(largest.max()) / 255, float(np.finfo(np.float32).tiny))
    if bits == 8:
        step = max(step, float(largest.sum(axis=0).max()) / 255)
        while np.rint(largest / step).sum(axis=0).max() > 255:
            step *= 1 + 2**-8
    rounded: NDArray[np.uint8] = np.minimum(np.rint(real / step), 255).astype(np.uint8)
    return rounded


def _cost(model: MaddnessModel, bits: int, found: ShortList) -> float:
    """Estimate nanoseconds a row, from look-ups and from what is settled of 99 % coverage."""
    needed = int(np.searchsorted(found.covered, _TYPICAL * found.n_rows))
    place = min(needed, len(found.margins) - 1)
    settled = found.lengths[place, 0] * (found.lengths[place, 0] > 1)
    look_ups = model.n_codebooks * model.n_outputs
    return float(_DOT * settled * model.n_features + _SCAN[bits] * look_ups)


def _listed(
    model: MaddnessModel,
    tables: NDArray[np.uint8],
    B: NDArray[np.float32],
    bias: NDArray[np.float32],
    k: int,
    rows: NDArray[Any],
) -> ShortList:
    """Return the short list of these tables, with margins and lengths as these rows have them."""
    look = partial(_gaps, model, tables, B, bias, k, rows)
    known = list(look()) if len(rows) * len(bias) <= _KEPT_SCORES else None
    gaps = np.concatenate([gap for gap, _ in known or look()])
    margins, counts = np.unique(gaps, return_counts=True)
    if len(margins) > _MAX_MARGINS:  # a margin that is left out is rounded up to the next
        last = len(margins) - 1
        kept = np.unique(np.rint(np.geomspace(1, last + 1, _MAX_MARGINS)).astype(int))
        kept = last - (kept[::-1] - 1)  # the rare large ones matter most
        counts = np.diff(np.cumsum(counts)[kept], prepend=0)
        margins = margins[kept]
    bins = np.searchsorted(margins, np.arange(margins[-1] + 2))  # score below the k-th best → bin
    lengths = np.concatenate([_lengths(below, bins, len(margins)) for _, below in known or look()])
    tails = np.quantile(lengths, 0.99, axis=0, method="higher")
    return ShortList(
        k=k,
        tables=tables,
        B=B,
        bias=bias,
        n_rows=len(rows),
        margins=margins,
        covered=np.cumsum(counts),
        lengths=np.stack([lengths.mean(axis=0), tails, lengths.max(axis=0)], axis=1),
    )


def _gaps(
    model: MaddnessModel,
    tables: NDArray[np.uint8],
    B: NDArray[np.float32],
    bias: NDArray[np.float32],
    k: int,
    rows: NDArray[Any],
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.uint16]]]:
    """Yield, some rows at a time, each row's gap, and how far below the k-th best each score is.

    Better scores than the k-th best are no distance below it.
    """
    n_rows = max(1, _CHUNK_SCORES // len(bias))
    for start in range(0, len(rows), n_rows):
        part = rows[start : start + n_rows]
        found = reference.scores(model, tables, part)
        exact = part.astype(np.float32) @ B + bias
        winners = np.argpartition(exact, -k, axis=1)[:, -k:]
        kth = np.partition(found, -k, axis=1)[:, -k]
        gap = kth - np.take_along_axis(found, winners, axis=1).min(axis=1)
        yield gap, np.maximum(kth[:, np.newaxis] - found, 0).astype(np.uint16)


def _lengths(
    below: NDArray[np.uint16], bins: NDArray[np.intp], n_margins: int
) -> NDArray[np.int64]:
    """Return (rows, margins): how many scores lie within each margin."""
    place = bins[np.minimum(below, len(bins) - 1)]
    flat = place + (n_margins + 1) * np.arange(len(below))[:, np.newaxis]
    counts = np.bincount(flat.ravel(), minlength=len(below) * (n_margins + 1))
    within: NDArray[np.int64] = counts.reshape(len(below), -1)[:, :n_margins].cumsum(axis=1)
    return within
