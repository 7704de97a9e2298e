"""`regress`: tables of a fitted model learned once more, from outputs that the rows should have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit import reference
from maddjit.learning.maddness import settings
from maddjit.learning.maddness.regression import TreeRidge
from maddjit.learning.maddness.rounding import Rounding
from maddjit.learning.maddness.tables import quantise
from maddjit.models.maddness import MaddnessModel

_GROWTH = 1 + 2**-6
"""By how much steps may exceed what the range of the entries asks for."""
PENALTIES = (3.0, 10.0, 30.0)
"""Penalties of the regression that are tried on a fifth of the rows."""


def regress(
    model: MaddnessModel,
    rows: NDArray[Any],
    targets: NDArray[Any],
    *,
    byte_group: int = 1,
    most_scale: float = np.inf,
    random_state: int = 0,
) -> MaddnessModel:
    """Return a model with the same trees, whose tables give rows the targets as well as they can.

    Targets may be something else than a product of the rows: the outputs that a layer has in a
    network whose earlier layers are exact, while the rows come from approximate ones.

    Parameters
    ----------
    model : MaddnessModel
        Without a core.
    rows : (N, D) array
    targets : (N, M) array
    byte_group : int
        As in `maddjit.fit`, but no more than there are codebooks.
    most_scale : float
        What a unit of the entries may stand for, at most. Groups are halved until it is so. If that
        is not enough, the least entries of a table are raised.
    random_state : int
        The seed of the rows that are set apart to choose a penalty by.

    Returns
    -------
    MaddnessModel
        Without a report, and without a bias that is known.
    """
    codes = reference.encode(model, rows)
    mean = targets.mean(axis=0, dtype=np.float64)
    centred = targets - mean
    order = np.random.default_rng(random_state).permutation(len(rows))
    judged, learned = np.split(order, [len(rows) // 5])
    penalty = settings.PENALTY_OF_MANY
    if model.n_codebooks * model.n_prototypes <= settings.MAX_CODES and len(judged):
        penalty = _best_penalty(model, codes, centred, judged, learned)
    ridge = TreeRidge.of(codes, model.n_prototypes, np.ones(len(codes), np.float32))
    tables = ridge.tables(centred, penalty)
    rounding = None
    if len(ridge.gram) <= settings.MAX_TOGETHER:
        rounding = Rounding.of(ridge.gram, model.n_prototypes)
    # A step is a little more than a 255th of the range that the entries of a group have.
    most_span = 255 * most_scale / _GROWTH
    tables = np.maximum(tables, tables.max(axis=1, keepdims=True) - most_span)
    group = min(byte_group, model.n_codebooks)
    while True:
        entries, scale, offset = quantise(
            tables,
            mean,
            scale="per-output",
            accumulate="exact",
            byte_group=group,
            rounding=rounding,
        )
        if group == 1 or scale.max() <= most_scale:
            break
        group //= 2
    return replace(
        model,
        tables=entries,
        scale=scale,
        offset=offset,
        accumulate="exact",
        report=None,
        short_list=None,
        bias=None,
    )


def _best_penalty(
    model: MaddnessModel,
    codes: NDArray[np.uint8],
    targets: NDArray[Any],
    judged: NDArray[np.intp],
    learned: NDArray[np.intp],
) -> float:
    """Return the penalty with the least squared error on rows that are set apart."""
    weights = np.ones(len(learned), np.float32)
    ridge = TreeRidge.of(codes[learned], model.n_prototypes, weights)
    books = np.arange(model.n_codebooks)
    errors = []
    for penalty in PENALTIES:
        tables = ridge.tables(targets[learned], penalty)
        found = np.zeros((len(judged), targets.shape[1]))
        for c in books:
            found += tables[c, codes[judged, c]]
        errors.append(float(np.mean((found - targets[judged]) ** 2)))
    return PENALTIES[int(np.argmin(errors))]
