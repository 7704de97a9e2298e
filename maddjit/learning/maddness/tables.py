"""Tables of 8 bits with scale and offset, made from real tables (paper, section 4.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit import reference
from maddjit.learning.maddness import settings
from maddjit.learning.maddness.learned import Learned
from maddjit.learning.maddness.options import TableScale
from maddjit.learning.maddness.rounding import Rounding
from maddjit.learning.maddness.sample import some_of
from maddjit.models.maddness import Accumulate, average_group


def quantise(
    tables: NDArray[np.float64],
    base: NDArray[np.float64],
    *,
    scale: TableScale,
    accumulate: Accumulate,
    byte_group: int = 1,
    rounding: Rounding | None = None,
    codes: NDArray[np.uint8] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Return 8-bit tables, scale and offset with ``scale · Σ entries + offset ≈ base + Σ tables``.

    The least entry of each codebook and output goes into the offset, so entries start at 0. The
    step of an output is the smallest one with which all entries fit.

    Parameters
    ----------
    tables : (C, K, M) float64
    base : (M,) float64
        The part of the outputs that all rows share: the bias and the product of the mean row.
    scale : {"per-output", "global", "power-of-two"}
        Whether each output has a step of its own, or all outputs share one, or they share one that
        is a power of two, as in the paper.
    accumulate : {"exact", "average"}
        "average" makes up for the group size U, and for the bias that the rounding of entries and
        averages has in the mean over `codes`. For tables that vary much, the bias is about
        C/4 · log2 U steps, which is the paper's correction (section 4.4). For other tables it may
        be anything from 0 to twice that.
    byte_group : int
        How many neighbouring codebooks must add up to 255 at most. 1 spends all 8 bits on each
        entry; C lets the whole sum be one byte, which is faster.
    rounding : Rounding, optional
        How to round entries together, for "exact". Without it each is rounded to nearest.
    codes : (N, C) uint8, optional
        The codes of training rows, which "average" needs. The sums of these rows then have no bias.
        The mean bias of N' further rows like them exceeds s · R · √(½ ln(2/δ) · (1/N + 1/N')) with
        a probability of δ at most (Hoeffding's inequality). Here s is the scale, and
        R = C/U · (1 + ½ log2 U) is the range of what rounding does to a row, in units of s.

    Returns
    -------
    entries : (C, K, M) uint8
    scale, offset : (M,) float32
    """
    low = tables.min(axis=1)
    span = tables.max(axis=1) - low  # (C, M)
    step = _steps(span, scale, byte_group)
    real = (tables - low[:, np.newaxis]) / step
    offset = base + low.sum(axis=0)
    if rounding is None or accumulate == "average":
        entries = np.rint(real).astype(np.uint8)
    else:
        entries, left = rounding.apply(real, np.rint(span / step))
        offset += left * step
    if accumulate == "average":
        assert codes is not None
        offset += step * _mean_loss(real, entries, codes)
        step = step * average_group(len(tables))
    with np.errstate(over="ignore"):
        return entries, step.astype(np.float32), offset.astype(np.float32)


def _steps(span: NDArray[np.float64], scale: TableScale, byte_group: int) -> NDArray[np.float64]:
    """Return the step of each output, (M,), for entries that range over `span` (C, M)."""
    starts = np.arange(0, len(span), byte_group)
    step: NDArray[np.float64] = np.add.reduceat(span, starts, axis=0).max(axis=0) / 255
    if scale != "per-output":
        step[:] = step.max()
    step = np.where(step > 0, np.maximum(step, np.finfo(np.float32).tiny), 1.0)
    if scale == "power-of-two":
        step = 2.0 ** np.ceil(np.log2(step))
    growth = 2.0 if scale == "power-of-two" else 1 + 2**-8
    with np.errstate(over="ignore"):  # the model refuses an infinite step
        step = step.astype(np.float32).astype(np.float64)
        while True:  # rounding may add a half to each entry of a group
            over = np.add.reduceat(np.rint(span / step), starts, axis=0).max(axis=0) > 255
            if not over.any():
                return step
            if scale != "per-output":
                over[:] = True
            step[over] = (step[over] * growth).astype(np.float32)


def _mean_loss(
    real: NDArray[np.float64], entries: NDArray[np.uint8], codes: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Return by how much averages of entries fall short of the real sums, in the mean over rows."""
    n_codebooks, n_prototypes, n_outputs = real.shape
    total = np.zeros(n_outputs)
    for c, table in enumerate(real):
        total += np.bincount(codes[:, c], minlength=n_prototypes) @ table
    group = average_group(n_codebooks)
    n_rows = max(1, settings.LOOKED_UP_TOGETHER // (group * n_outputs))
    for start in range(0, len(codes), n_rows):
        part = reference.added_up(entries, codes[start : start + n_rows], "average")
        total -= group * part.sum(axis=0, dtype=np.int64)
    return total / len(codes)


def some_codes(learned: Learned, rows: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the codes of training rows for `quantise`, or of some rows if there are many.

    Parameters
    ----------
    learned : Learned
    rows : (N, D) float32 or float64

    Returns
    -------
    (n, C) uint8
    """
    n_codebooks, _, n_outputs = learned.tables.shape
    affordable = settings.MAX_CORRECTING_ENTRIES // (n_codebooks * n_outputs)
    most = max(settings.LEAST_CORRECTING_ROWS, affordable)
    return reference.encode(learned.encoding(), some_of(rows, most))
