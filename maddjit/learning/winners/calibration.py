"""`calibrate`: how far looked-up scores fall short of naming the exact winners, on real rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit import reference
from maddjit.arrays.checks import as_training_matrix, as_whole, check_random_state
from maddjit.learning.accuracy import AccuracyWarning
from maddjit.learning.winners.calibratable import with_bias, with_scores
from maddjit.models.maddness import MaddnessModel
from maddjit.models.short_list import ShortList

_CHUNK_SCORES = 4_000_000
"""Scores that are held at a time."""
_KEPT_SCORES = 400_000_000
"""Scores that are kept rather than looked up twice."""
_MAX_MARGINS = 512
_MEASURED_ROWS = 20000
"""Rows, about, whose lists are measured."""
_CHOOSING = 0.1
"""Share of the rows that the width of scores is chosen by, which the margin then does not use."""
_MAX_CHOOSING, _CHOSEN_OUTPUTS = 1000, 40_000_000
_FEW_OUTPUTS = 8
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
    replace_bias: bool = False,
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
        and 1110 are needed. A tenth of them, 1000 at most, serves to choose how scores are rounded
        and what start they have, and does not count.
    B : (D, M) array_like
        The exact right-hand side, which settles the winner.
    bias : (M,) array_like or number, optional
        Added to the exact product. By default it is the bias that the model carries, `model.bias`.
        It must be given for a model of which the bias is not known, 0 if it has none.
    replace_bias : bool
        Whether `bias` takes the place of another one that the model carries. Outputs then move by
        the difference, and the report, which is of the other bias, is left out.
    k : int
        How many winners are to be named, from 1 to M.
    random_state : int
        Seed of the choice of that tenth.

    Returns
    -------
    MaddnessModel
        The same model with `short_list` and the bias.

    Warns
    -----
    AccuracyWarning
        If half of the outputs are listed at 99 % coverage: then the plain product is faster, or
        the bias that was given is not that of the model.

    Raises
    ------
    ValueError
        If the model has a core or averages, the bias is not known or not the model's own, shapes
        do not fit, or numbers are not finite.
    TypeError
        If it is no model of look-up tables, or an array does not hold real numbers.

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
    model = with_scores(model)
    rows, right = as_training_matrix("A", A), as_training_matrix("B", B)
    wanted = (model.n_features, model.n_outputs)
    if right.shape != wanted or rows.shape[1] != wanted[0]:
        raise ValueError(
            f"A and B must have shapes (N, {wanted[0]}) and {wanted}, "
            f"not {rows.shape} and {right.shape}"
        )
    was_known = model.bias is not None
    model = with_bias(model, bias, replace_bias)
    check_random_state(random_state)
    k = as_whole("k", k)
    if not 1 <= k <= wanted[1]:
        raise ValueError(f"k must be from 1 to {wanted[1]}, not {k}")
    assert model.bias is not None
    B32, bias32 = right.astype(np.float32), model.bias.astype(np.float32)
    order = np.random.default_rng(random_state).permutation(len(rows))
    n_choosing = min(_MAX_CHOOSING, int(_CHOOSING * len(rows)), 1 + _CHOSEN_OUTPUTS // wanted[1])
    tables = _cheapest(model, B32, bias32, k, rows[np.sort(order[:n_choosing])])
    rest = rows[np.sort(order[n_choosing:])]
    short = _listed(model, tables, B32, bias32, k, rest)
    if wanted[1] > _FEW_OUTPUTS and _typical_length(short) > wanted[1] / 2:
        doubt = "" if was_known else ", or the bias is not the one that the model was fitted with"
        warnings.warn(
            f"short lists hold {_typical_length(short):.0f} of {wanted[1]} outputs on average: the "
            f"plain product is faster{doubt}",
            AccuracyWarning,
            stacklevel=2,
        )
    return replace(model, short_list=short)


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
    errors = rows.astype(np.float32) @ B + bias - reference.apply(model, rows)
    spread = errors.std(axis=0, dtype=np.float64)
    least, best = np.inf, None
    for bits in _SCAN:
        for start in _STARTS:
            tables = score_tables(model, bits, start * spread)
            cost = _cost(model, bits, _listed(model, tables, B, bias, k, rows))
            if best is None or cost < least:
                least, best = cost, tables
    assert best is not None
    return best


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
    most = 2**bits - 1
    step = max(float(largest.max()) / 255, float(largest.sum(axis=0).max()) / most)
    step = max(step, float(np.finfo(np.float32).tiny))
    while np.rint(largest / step).sum(axis=0).max() > most:
        step *= 1 + 2**-8
    rounded: NDArray[np.uint8] = np.minimum(np.rint(real / step), 255).astype(np.uint8)
    return rounded


def _cost(model: MaddnessModel, bits: int, found: ShortList) -> float:
    """Estimate nanoseconds a row, from look-ups and from what is settled of 99 % coverage."""
    length = _typical_length(found)
    settled = length if length > 1 else 0.0
    look_ups = model.n_codebooks * model.n_outputs
    return float(_DOT * settled * model.n_features + _SCAN[bits] * look_ups)


def _typical_length(found: ShortList) -> float:
    needed = int(np.searchsorted(found.covered, _TYPICAL * found.n_rows))
    return float(found.lengths[min(needed, len(found.margins) - 1), 0])


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
    every = -(-len(rows) // _MEASURED_ROWS)
    lengths = np.concatenate(
        [_lengths(below[::every], bins, len(margins)) for _, below in known or look()]
    )
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
    n_rows = max(1, _CHUNK_SCORES // (len(bias) + _MAX_MARGINS))
    for start in range(0, len(rows), n_rows):
        part = rows[start : start + n_rows]
        found = reference.scores(model, tables, part)
        exact = part.astype(np.float32) @ B + bias
        winners = _winners(exact, k)
        kth = np.partition(found, -k, axis=1)[:, -k]
        gap = kth - np.take_along_axis(found, winners, axis=1).min(axis=1)
        yield gap, np.maximum(kth[:, np.newaxis] - found, 0).astype(np.uint16)


def _lengths(
    below: NDArray[np.uint16], bins: NDArray[np.intp], n_margins: int
) -> NDArray[np.int32]:
    """Return (rows, margins): how many scores lie within each margin."""
    place = bins[np.minimum(below, len(bins) - 1)]
    flat = place + (n_margins + 1) * np.arange(len(below))[:, np.newaxis]
    counts = np.bincount(flat.ravel(), minlength=len(below) * (n_margins + 1))
    within = counts.reshape(len(below), -1)[:, :n_margins].cumsum(axis=1, dtype=np.int32)
    return within


def _winners(exact: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """Return (rows, k): the largest outputs, of equal ones those of the lowest indices."""
    found = np.argpartition(exact, -k, axis=1)[:, -k:]
    least = np.take_along_axis(exact, found, axis=1).min(axis=1, keepdims=True)
    (tied,) = np.nonzero((exact >= least).sum(axis=1) > k)
    found[tied] = np.argsort(-exact[tied], axis=1, kind="stable")[:, :k]
    return found
