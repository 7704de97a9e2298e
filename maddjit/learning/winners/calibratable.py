"""Checks that a model can be calibrated: it has exact sums, and its bias is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from maddjit.arrays.checks import as_bias
from maddjit.models.maddness import MaddnessModel
from maddjit.models.strassen_tile import StrassenTileModel


def with_scores(model: object) -> MaddnessModel:
    """Return the model, once its sums are known to be usable as scores.

    Raises
    ------
    TypeError
        If it is no model of look-up tables.
    ValueError
        If it has a core or averages.
    """
    if isinstance(model, StrassenTileModel):
        raise TypeError(
            "calibrate takes a model of look-up tables: a StrassenTileModel looks up no scores "
            "that could be settled; use maddjit.fit for exact winners"
        )
    found = MaddnessModel.of(model)
    if found.core is not None:
        raise ValueError(
            f"scores are whole numbers, and this model adds an exact core of rank {found.core.rank}"
            " to them: fit with core_rank=0 for exact winners"
        )
    if found.accumulate != "exact":
        raise ValueError(
            'scores are exact sums, and this model has averages: fit with accumulate="exact" for '
            "exact winners"
        )
    return found


def with_bias(model: MaddnessModel, bias: ArrayLike | None, replace_bias: bool) -> MaddnessModel:
    """Return the model with a known bias: its own, or the given one.

    Two biases are equal if they are equal in float32, in which exact products are computed.

    Raises
    ------
    ValueError
        If no bias is known, or another bias is given without `replace_bias`.
    """
    own = model.bias
    if bias is None:
        if replace_bias:
            raise ValueError("replace_bias=True needs the bias that takes its place: bias=…")
        if own is None:
            raise ValueError(
                "the model does not say which bias its outputs hold, as models made elsewhere and "
                "files of old versions do not: give bias=…, or bias=0 if it has none"
            )
        return model
    each = np.full(model.n_outputs, bias) if np.ndim(bias) == 0 else bias
    given = as_bias(each, model.n_outputs).astype(np.float64)
    if own is None:
        if replace_bias:
            raise ValueError(
                "replace_bias=True is for models that carry a bias, and this one does not say "
                "which: give bias=… alone, the one that its outputs hold"
            )
        return replace(model, bias=given, short_list=None)
    if (given.astype(np.float32) == own.astype(np.float32)).all():
        return model
    if not replace_bias:
        raise ValueError(
            f"the bias differs by up to {np.abs(given - own).max():.3g} from the one that the "
            "model was fitted with: leave it out to use the model's, or give replace_bias=True to "
            "move all outputs to this one"
        )
    with np.errstate(over="ignore"):  # an infinite offset is refused by the model
        offset = (model.offset + (given - own)).astype(np.float32)
    return replace(model, bias=given, offset=offset, report=None, short_list=None)
