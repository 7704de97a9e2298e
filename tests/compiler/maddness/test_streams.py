"""Plans of tables that lie run by run: when, how they are cut, and what their costs say."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import maddjit
from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.costs import (
    instructions,
    least_packed_rows,
    packed_nanoseconds,
    stream_nanoseconds,
)
from maddjit.compiler.maddness.planner import make_plan
from maddjit.compiler.maddness.runs import Sums
from maddjit.compiler.maddness.scan_plan import Streams
from maddjit.compiler.maddness.streams import packed_from
from maddjit.compiler.maddness.tables import lane_order
from maddjit.compiler.signature import Choices, Signature
from maddjit.compiler.target import LEVELS, named
from maddjit.compiler.workspace import LINE
from maddjit.models.maddness import MaddnessModel
from tests.compiler.test_assembly import loops
from tests.random_models import models, random_model

STREAMS = Choices(streams=True)
KINDS = [Sums("exact", 8, 20), Sums("exact", 16, 1), Sums("exact", 16, 4), Sums("exact", 32, 1)]


def large(n_outputs: int = 3000, n_prototypes: int = 16, n_codebooks: int = 64) -> MaddnessModel:
    return random_model(
        0,
        n_features=70,
        n_codebooks=n_codebooks,
        n_prototypes=n_prototypes,
        n_outputs=n_outputs,
    )


def has_streams(model: MaddnessModel, **options: Any) -> bool:
    choices = options.pop("choices", Choices())
    plan = make_plan(model, named("x86-64-v3"), Signature(**options), choices)
    return plan.scan is not None and plan.scan.streams is not None


def test_large_tables_are_streams() -> None:
    assert has_streams(large())
    assert has_streams(large(), result="sums")
    assert has_streams(large(), result="argmax")
    assert not has_streams(large(1000))  # they fit an L2 cache
    assert not has_streams(large(60, 256, 100), result="outputs")  # short runs, and too many
    assert not has_streams(large(), result="codes")
    assert not has_streams(large(), choices=Choices(tile_bytes=32 * 1024))
    assert not has_streams(large(), choices=Choices(streams=False))
    assert has_streams(large(60), choices=STREAMS)


@given(model=models(), level=st.sampled_from(LEVELS))
def test_tiles_of_both_kinds_cover_all_outputs_with_the_same_planes(
    model: MaddnessModel, level: str
) -> None:
    plan = make_plan(model, named(level), Signature(), STREAMS)
    assert plan.scan
    streams = plan.scan.streams
    assert streams
    assert streams.run_step // LINE % 2 == 1
    assert plan.scan.width <= streams.run_step
    assert plan.table_bytes == streams.n_runs * streams.run_step
    kinds = [plan.scan.tiles, streams.packed] if streams.packed else [plan.scan.tiles]
    planes = []
    for tiles in kinds:
        found = []
        for tile in tiles:
            for repetition, plane in itertools.product(range(tile.count), tile.planes):
                start = tile.table_offset + repetition * tile.table_stride + plane.byte_offset
                found.append((start, plane.lanes))
        starts = np.cumsum([0, *(lanes for _, lanes in found)])
        assert [start for start, _ in found] == starts[:-1].tolist()
        assert starts[-1] == plan.scan.width
        planes.append(found)
    assert planes[0] == planes[-1]  # one constant serves both


@given(model=models(), level=st.sampled_from(LEVELS))
def test_table_rows_are_where_plans_say(model: MaddnessModel, level: str) -> None:
    plan = make_plan(model, named(level), Signature(), STREAMS)
    assert plan.scan
    assert plan.scan.streams
    shape = (plan.n_codebooks, plan.n_prototypes, plan.scan.streams.run_step)
    runs = np.frombuffer(dict(plan.constants)["tables"], np.uint8).reshape(shape)
    for tile in plan.scan.tiles:
        for plane in tile.planes:
            unit = plan.encode.codes.unit
            assert plane.code_stride * unit == plan.scan.streams.run_step
            start = tile.table_offset + plane.byte_offset
            outputs = start + lane_order(plane, plan.sums.bits)
            real = outputs < plan.n_outputs
            entries = runs[..., start : start + plane.lanes]
            assert entries[..., ~real].sum() == 0
            if plan.n_codebooks == model.n_codebooks and plan.n_prototypes == model.n_prototypes:
                assert (entries[..., real] == model.tables[..., outputs[real]]).all()


def test_packed_tiles_fit_their_buffer() -> None:
    for level, n_prototypes in itertools.product(LEVELS, (4, 8, 16)):
        model = large(200, n_prototypes, 1024 // n_prototypes - 9)
        plan = make_plan(model, named(level), Signature(), STREAMS)
        assert plan.scan
        streams = plan.scan.streams
        assert streams
        assert streams.packed
        for tile in streams.packed:
            (stride,) = tile.code_strides
            assert stride * plan.encode.codes.unit == streams.packed_step
            assert tile.n_outputs <= streams.packed_step
        assert streams.packed_step * streams.n_runs == streams.packed_bytes
        assert streams.packed_bytes <= settings.MOST_PACKED_BYTES
        assert plan.workspace_bytes >= plan.workspace["packed"] + streams.packed_bytes


def test_tiles_that_are_near_or_exceed_the_buffer_are_never_packed() -> None:
    for n_codebooks, n_prototypes in ((20, 256), (16, 16)):
        model = large(60, n_prototypes, n_codebooks)
        plan = make_plan(model, named("x86-64-v3"), Signature(), STREAMS)
        assert plan.scan
        assert isinstance(plan.scan.streams, Streams)
        assert plan.scan.streams.packed == ()
        assert plan.scan.streams.packed_bytes == 0


def test_results_of_streams_have_no_stage() -> None:
    assert make_plan(large(), named("x86-64-v3"), Signature()).stage_bytes == 0


@pytest.mark.parametrize("sums", KINDS)
@pytest.mark.parametrize("vector_bytes", [16, 32, 64])
def test_costs(sums: Sums, vector_bytes: int) -> None:
    assert instructions(sums, 2) > instructions(sums, 1)
    assert instructions(sums, 2) < 2 * instructions(sums, 1)  # they share the code
    packed = packed_nanoseconds(sums, 2, vector_bytes)
    assert stream_nanoseconds(sums, 2, vector_bytes, LINE) > packed
    assert packed_nanoseconds(sums, 2, 2 * vector_bytes) == packed / 2
    # More codes are more to pack, and no more to look up.
    rows = [packed_from(sums, 1024, K, vector_bytes) for K in (2, 16, 64)]
    assert 0 < rows[0] < rows[1] < rows[2]
    assert packed_from(sums, 2048, 16, vector_bytes) == 0  # a packed tile is too large
    assert packed_from(sums, 256, 16, vector_bytes) == 0  # a tile is near as it is


def test_packing_pays_when_what_rows_save_exceeds_what_it_takes() -> None:
    rows = least_packed_rows(16, 0.01)
    assert rows * 0.01 > 16 * settings.FAR_NANOSECONDS >= (rows - 1) * 0.01


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("largest", [3, 60, 255])
def test_loops_over_streams_keep_sums_in_registers(level: str, largest: int) -> None:
    model = random_model(
        0,
        n_features=70,
        n_codebooks=64,
        n_prototypes=16,
        n_outputs=2000,
        largest=largest,
    )
    assembly = maddjit.emit(model, level)
    fetching = [
        body
        for body in loops(assembly)
        if any(name in ("prefetcht1", "prfm") for name, _ in body)
        and any(name.endswith("paddb") or name.endswith("paddw") for name, _ in body)
    ]
    assert fetching or level == "aarch64"
    for body in fetching:
        assert not any("%rsp" in operands for _, operands in body)
