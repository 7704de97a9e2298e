"""Real tables → 8-bit tables with scale and offset (paper, section 4.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.options import TableScale
from maddjit.learning.rounding import Rounding
from maddjit.models import Accumulate, average_group


def quantise(
    tables: NDArray[np.float64],
    base: NDArray[np.float64],
    *,
    scale: TableScale,
    accumulate: Accumulate,
    byte_group: int = 1,
    rounding: Rounding | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Return 8-bit tables, scale and offset with ``scale · Σ entries + offset ≈ base + Σ tables``.

    Each codebook's least entry of an output goes into the offset, so entries start at 0. The step
    of an output is as small as lets the entries fit.

    Parameters
    ----------
    tables : (C, K, M) float64
    base : (M,) float64
        What every row adds: bias and the mean's product.
    scale : {"per-output", "global", "power-of-two"}
        Whether each output has a step of its own, all share one, or share one that is a power of
        two, as in the paper.
    accumulate : {"exact", "average"}
        "average" makes up for the group size and for the expected rounding up of each average,
        C/4 · log2 U in all (paper, section 4.4).
    byte_group : int
        How many neighbouring codebooks must add up to 255 at most: 1 spends all 8 bits on each
        entry, C lets the whole sum be a byte, which is faster.
    rounding : Rounding, optional
        How to round entries together, for "exact"; without it each is rounded to nearest.
    """
    n_codebooks = len(tables)
    low = tables.min(axis=1)
    span = tables.max(axis=1) - low  # (C, M)
    starts = np.arange(0, n_codebooks, byte_group)
    step = np.add.reduceat(span, starts, axis=0).max(axis=0) / 255
    if scale != "per-output":
        step[:] = step.max()
    step = np.where(step > 0, np.maximum(step, np.finfo(np.float32).tiny), 1.0)
    if scale == "power-of-two":
        step = 2.0 ** np.ceil(np.log2(step))
    growth = 2.0 if scale == "power-of-two" else 1 + 2**-8
    with np.errstate(over="ignore"):  # an infinite step is refused by the model
        step = step.astype(np.float32).astype(np.float64)
        while True:  # rounding may add a half to each of a group's entries
            over = np.add.reduceat(np.rint(span / step), starts, axis=0).max(axis=0) > 255
            if not over.any():
                break
            if scale != "per-output":
                over[:] = True
            step[over] = (step[over] * growth).astype(np.float32)
    real = (tables - low[:, np.newaxis]) / step
    offset = base + low.sum(axis=0)
    if rounding is None or accumulate == "average":
        entries = np.rint(real).astype(np.uint8)
    else:
        entries, left = rounding.apply(real, np.rint(span / step))
        offset += left * step
    if accumulate == "average":
        group = average_group(n_codebooks)
        offset = offset - step * n_codebooks / 4 * np.log2(group)
        step = step * group
    with np.errstate(over="ignore"):
        return entries, step.astype(np.float32), offset.astype(np.float32)
