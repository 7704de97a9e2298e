"""Smaller models of the same sums."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import maddjit
from maddjit import reference
from maddjit.compiler.maddness.simplify import simplified
from maddjit.models.maddness import MaddnessModel
from tests.conftest import same_bits
from tests.random_models import models, random_model, rows_for, with_trees


def model_of(seed: int = 0, largest: int = 60) -> MaddnessModel:
    return random_model(
        seed, n_features=9, n_codebooks=6, n_prototypes=8, n_outputs=20, largest=largest
    )


@given(model=models(), seed=st.integers(0, 100), data=st.data())
def test_sums_stay(model: MaddnessModel, seed: int, data: st.DataObject) -> None:
    tables = np.array(model.tables)
    splits, thresholds = np.array(model.split_dims), np.array(model.thresholds)
    drop = data.draw(st.integers(0, model.n_codebooks))
    tables[:drop] = 0
    if data.draw(st.booleans()):
        tables[:, 1::2] = tables[:, 0::2]
    twin = data.draw(st.integers(0, model.n_codebooks - 1))
    splits[-1], thresholds[-1] = splits[twin], thresholds[twin]
    changed = with_trees(replace(model, tables=tables), split_dims=splits, thresholds=thresholds)
    A = rows_for(model, 40, "float32", seed)
    assert same_bits(reference.sums(simplified(changed), A), reference.sums(changed, A))


def test_codebooks_that_add_nothing_are_dropped() -> None:
    model = model_of()
    tables = np.array(model.tables)
    tables[[1, 4]] = 0
    assert simplified(replace(model, tables=tables)).n_codebooks == 4
    assert simplified(replace(model, tables=np.zeros_like(tables))).n_codebooks == 1


def test_twins_become_one_if_their_entries_fit_a_byte() -> None:
    model = model_of()
    splits, thresholds = np.array(model.split_dims), np.array(model.thresholds)
    splits[3], thresholds[3] = splits[0], thresholds[0]
    twins = with_trees(model, split_dims=splits, thresholds=thresholds)
    assert simplified(twins).n_codebooks == 5
    large = replace(twins, tables=np.full_like(model.tables, 200))
    assert simplified(large).n_codebooks == 6


def test_equal_leaves_take_no_level() -> None:
    model = model_of()
    small = simplified(replace(model, tables=np.repeat(model.tables[:, ::4], 4, axis=1)))
    assert (small.n_prototypes, small.depth) == (2, 1)


def test_operators_keep_the_codes_of_the_whole_model(level: str) -> None:
    model = model_of()
    tables = np.array(model.tables)
    tables[2] = 0
    model = replace(model, tables=tables)
    op = maddjit.compile(model, level)
    A = rows_for(model, 50, "float32", 0)
    assert op.plan.n_codebooks == 5
    assert same_bits(op.encode(A), reference.encode(model, A))
    assert same_bits(op(A), reference.apply(model, A))
    assert same_bits(op(np.asfortranarray(A)), reference.apply(model, A))


def test_averages_depend_on_every_codebook() -> None:
    model = random_model(
        0, n_features=9, n_codebooks=4, n_prototypes=4, n_outputs=3, accumulate="average"
    )
    assert simplified(replace(model, tables=np.zeros_like(model.tables))).n_codebooks == 4
