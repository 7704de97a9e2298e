"""Tables as floats, to be trained, and a model with trained tables in 8 bits again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness.tables import quantise
from maddjit.models.maddness import MaddnessModel


def float_tables(model: MaddnessModel) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return tables (C, K, M) and an offset (M,) whose look-ups sum to the model's outputs.

    Raises
    ------
    ValueError
        If the model has an exact core or sums by averages.
    """
    if model.core is not None or model.accumulate != "exact":
        raise ValueError("tables with an exact core, or summed by averages, cannot be tuned")
    return model.tables.astype(np.float32) * model.scale, model.offset.copy()


def with_tables(model: MaddnessModel, tables: NDArray[Any], offset: NDArray[Any]) -> MaddnessModel:
    """Return a model with other tables, rounded to 8 bits; its sums need no more bits than before.

    Parameters
    ----------
    model : MaddnessModel
        Its trees and bias are kept.
    tables : (C, K, M) array
    offset : (M,) array

    Raises
    ------
    ValueError
        If an entry is infinite or NaN.
    """
    if not (np.isfinite(tables).all() and np.isfinite(offset).all()):
        raise ValueError("tables and offset must be finite: train again at a lower learning rate")
    entries, scale, rounded_offset = quantise(
        tables, offset, scale="per-output", accumulate="exact", byte_group=_byte_group(model)
    )
    return MaddnessModel(
        model.encoder,
        entries,
        scale,
        rounded_offset,
        bias=model.bias,
    )


def _byte_group(model: MaddnessModel) -> int:
    """Return how many neighbouring codebooks add up in 8 bits: the most of C, C/2, C/4 … 1."""
    most = model.tables.max(axis=1).astype(np.int64)
    group = model.n_codebooks
    while group > 1:
        starts = np.arange(0, model.n_codebooks, group)
        if np.add.reduceat(most, starts, axis=0).max() <= 255:
            return group
        group //= 2
    return 1
