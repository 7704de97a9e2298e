"""Smaller models of the same sums: without codebooks that add nothing, or leaves that add alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from maddjit.models.encoders import HashTrees
from maddjit.models.maddness import MaddnessModel


def simplified(model: MaddnessModel) -> MaddnessModel:
    """Return a model of the same sums, smaller if possible. Its codes may differ.

    Codebooks whose tables are all zero are dropped. Codebooks with the same tree become one if
    their entries together fit a byte. The last level of all trees is dropped as long as its
    neighbouring leaves have equal entries. Averages depend on every codebook, and so do additive
    codes, so models of these stay as they are.
    """
    if model.accumulate != "exact" or not isinstance(model.encoder, HashTrees):
        return model
    return _without_equal_leaves(_without_twins(_without_zeros(model)))


def _without_zeros(model: MaddnessModel) -> MaddnessModel:
    """Return the model without codebooks whose tables are all zero."""
    used: NDArray[np.bool_] = np.asarray(model.tables.any(axis=(1, 2)))
    used[0] |= not used.any()  # a model has at least one codebook
    return model if used.all() else _with_codebooks(model, used, model.tables)


def _without_twins(model: MaddnessModel) -> MaddnessModel:
    """Return the model with codebooks of the same tree added up, where their sums fit a byte."""
    first: dict[tuple[bytes, bytes], int] = {}
    tables: NDArray[np.uint8] | None = None
    kept = np.ones(model.n_codebooks, bool)
    for c in range(model.n_codebooks):
        # Thresholds are compared as numbers, but 0 and −0 split alike: adding 0 makes them one.
        key = model.split_dims[c].tobytes(), (model.thresholds[c] + np.float32(0)).tobytes()
        twin = first.setdefault(key, c)
        if twin == c:
            continue
        tables = model.tables.copy() if tables is None else tables
        both = tables[twin].astype(np.int64) + tables[c]
        if both.max() < 256:
            tables[twin] = both
            kept[c] = False
    return model if tables is None or kept.all() else _with_codebooks(model, kept, tables)


def _without_equal_leaves(model: MaddnessModel) -> MaddnessModel:
    """Return the model without last levels whose decisions change no entry."""
    while model.depth > 1 and (model.tables[:, 0::2] == model.tables[:, 1::2]).all():
        model = replace(
            model,
            encoder=replace(
                model.trees,
                split_dims=model.split_dims[:, :-1],
                thresholds=model.thresholds[:, : model.n_prototypes // 2 - 1],
            ),
            tables=model.tables[:, 0::2],
        )
    return model


def _with_codebooks(
    model: MaddnessModel, kept: NDArray[np.bool_], tables: NDArray[np.uint8]
) -> MaddnessModel:
    """Return the model of some of its codebooks, with these tables of theirs."""
    return replace(
        model,
        encoder=replace(
            model.trees,
            split_dims=model.split_dims[kept],
            thresholds=model.thresholds[kept],
        ),
        tables=tables[kept],
    )
