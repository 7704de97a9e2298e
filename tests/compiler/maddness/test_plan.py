"""Plans: pure, printable, every output stored once, every constant in its place."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maddjit.arrays.formats import INPUTS
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.maddness.planner import make_plan
from maddjit.compiler.maddness.reading import Insert, Read, Shuffle
from maddjit.compiler.render import render
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import LEVELS, named
from maddjit.compiler.workspace import LINE
from maddjit.models.maddness import MaddnessModel
from tests.random_models import models, random_model


def stored_outputs(plan: Plan) -> list[int]:
    assert plan.scan
    outputs = []
    for tile in plan.scan.tiles:
        for repetition in range(tile.count):
            start = tile.output_offset + repetition * tile.output_stride
            for plane in tile.planes:
                for store in itertools.chain.from_iterable(part.stores for part in plane.parts):
                    first = (start + store.byte_offset) // 4
                    outputs += range(first, first + len(store.lanes))
    return outputs


@given(model=models(), level=st.sampled_from(LEVELS))
def test_every_output_is_stored_once(model: MaddnessModel, level: str) -> None:
    plan = make_plan(model, named(level), Signature())
    assert sorted(stored_outputs(plan)) == list(range(model.n_outputs))


@given(model=models(), level=st.sampled_from(LEVELS))
def test_every_codebook_is_summed_once(model: MaddnessModel, level: str) -> None:
    plan = make_plan(model, named(level), Signature())
    assert plan.scan
    for tile in plan.scan.tiles:
        codebooks = []
        for run in tile.runs:
            for repetition in range(run.count):
                for step in itertools.chain.from_iterable(group.steps for group in run.groups):
                    place = run.codes_offset + repetition * run.codes_stride + step.codes_offset
                    codebooks.append(place // plan.encode.codes.codebook_step)
        assert codebooks == list(range(model.n_codebooks))


@given(model=models(), level=st.sampled_from(LEVELS))
def test_groups_fit_a_byte(model: MaddnessModel, level: str) -> None:
    plan = make_plan(model, named(level), Signature())
    largest = model.tables.max(axis=1).astype(int)
    if model.accumulate == "exact":
        starts = np.arange(0, model.n_codebooks, plan.sums.group)
        assert np.add.reduceat(largest, starts).max() <= 255
        assert largest.sum(axis=0).max() < 2**plan.sums.bits


@pytest.mark.parametrize("n_codebooks", [1, 16, 64, 80, 100, 128, 200, 256, 3000])
def test_codes_of_neighbours_do_not_share_cache_sets(n_codebooks: int) -> None:
    model = random_model(0, n_features=9, n_codebooks=n_codebooks, n_prototypes=2, n_outputs=3)
    plan = make_plan(model, named("x86-64-v4"), Signature(order="F"))
    step = plan.encode.codes.codebook_step
    assert step // LINE % 2 == 1
    assert step >= plan.row_block + plan.target.lanes  # whole vectors are written


@given(model=models(), level=st.sampled_from(LEVELS), dtype=st.sampled_from(sorted(INPUTS)))
def test_a_row_is_read_in_ascending_order_into_the_lanes_of_its_codebooks(
    model: MaddnessModel, level: str, dtype: str
) -> None:
    plan = make_plan(model, named(level), Signature(dtype))
    itemsize = INPUTS[dtype].itemsize
    for batch in plan.encode.batches:
        offsets = [read.byte_offset for read in batch.reads]
        assert offsets == sorted(offsets)
        # Follow every element into the lane that it ends in.
        held: dict[str, list[Any]] = {
            "blank": [None if batch.blank == "poison" else 0] * batch.lanes
        }
        for step in batch.steps:
            match step:
                case Read(name, offset, is_line=True):
                    held[name] = [offset // itemsize + i for i in range(batch.lanes)]
                    assert held[name][-1] < model.n_features
                case Read(name, offset):
                    held[name] = [offset // itemsize]
                case Insert(name, vector, element, lane):
                    held[name] = [*held[vector]]
                    held[name][lane] = held[element][0]
                case Shuffle(name, left, right, lanes):
                    both = held[left] + held[right]
                    held[name] = [both[lane] if lane >= 0 else None for lane in lanes]
        # No lane is poison: its code may lead a gather.
        assert not any(None in held[name] for name in batch.vectors)
        columns = np.array([held[name][: batch.n_codebooks] for name in batch.vectors]).T
        own = slice(batch.first, batch.first + batch.n_codebooks)
        assert (columns == model.split_dims[own]).all()


def test_plans_are_pure_and_short_to_print() -> None:
    model = random_model(0, n_features=9, n_codebooks=4, n_prototypes=16, n_outputs=40)
    plans = [make_plan(model, named("x86-64-v3"), Signature()) for _ in range(2)]
    assert plans[0] == plans[1]
    assert "constants" not in repr(plans[0])


def test_code_does_not_grow_with_the_operator() -> None:
    sizes = []
    for n_codebooks, n_outputs in ((300, 512), (512, 8192)):
        model = random_model(
            0, n_features=512, n_codebooks=n_codebooks, n_prototypes=16, n_outputs=n_outputs
        )
        ir = render(make_plan(model, named("x86-64-v3"), Signature()))
        sizes.append(sum(not line.startswith("@") for line in ir.splitlines()))
    assert max(sizes) < 3500
    assert sizes[1] <= 1.1 * sizes[0]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("result", ["outputs", "sums", "codes"])
def test_rendered_text_is_complete(level: str, result: str) -> None:
    model = random_model(0, n_features=9, n_codebooks=4, n_prototypes=64, n_outputs=40)
    ir = render(make_plan(model, named(level), Signature("float64", "F", result)))  # type: ignore[arg-type]
    assert "{{" not in ir
    assert "None" not in ir
