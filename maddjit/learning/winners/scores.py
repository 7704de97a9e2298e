"""Tables of whole-number scores that rank outputs, rounded in the way that costs least time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit import reference
from maddjit.learning.winners import settings
from maddjit.learning.winners.margins import ExactWinners, short_list
from maddjit.models.maddness import MaddnessModel
from maddjit.models.short_list import ShortList


def cheapest_tables(
    model: MaddnessModel, winners: ExactWinners, rows: NDArray[Any]
) -> NDArray[np.uint8]:
    """Return the tables of scores whose look-ups and short lists together cost least on rows.

    Outputs that are approximated badly may be given a start, some standard deviations of their
    errors. Otherwise a margin that is wide enough for them lists other outputs in vain.
    """
    if not len(rows):
        return score_tables(model, 16)
    errors = winners.outputs(rows) - reference.apply(model, rows)
    spread = errors.std(axis=0, dtype=np.float64)
    least, best = np.inf, None
    for bits in settings.SCAN_NANOSECONDS:
        for start in settings.STARTS:
            tables = score_tables(model, bits, start * spread)
            cost = _cost(model, bits, short_list(model, tables, winners, rows))
            if best is None or cost < least:
                least, best = cost, tables
    assert best is not None
    return best


def score_tables(
    model: MaddnessModel, bits: int, start: NDArray[np.float64] | float = 0.0
) -> NDArray[np.uint8]:
    """Return tables (C, K, M) whose sums rank the outputs, in one scale and with the offsets.

    Each codebook holds an equal share of how far an output's offset is above the least one.

    Parameters
    ----------
    model : MaddnessModel
    bits : {8, 16}
        The width of the sums.
    start : (M,) float64, optional
        Added to the offset of each output.
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


def _cost(model: MaddnessModel, bits: int, short: ShortList) -> float:
    """Return about how many nanoseconds a row takes: look-ups, and outputs settled exactly."""
    length = typical_length(short)
    settled = length if length > 1 else 0.0
    look_ups = settings.SCAN_NANOSECONDS[bits] * (model.n_codebooks * model.n_outputs)
    return float(settings.DOT_NANOSECONDS * settled * model.n_features + look_ups)


def typical_length(short: ShortList) -> float:
    """Return the mean length of a short list at 99 % coverage."""
    needed = int(np.searchsorted(short.covered, settings.TYPICAL_COVERAGE * short.n_rows))
    return float(short.lengths[min(needed, len(short.margins) - 1), 0])
