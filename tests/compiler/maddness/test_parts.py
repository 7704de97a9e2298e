"""Part-plans, each made and checked alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maddjit.arrays.epilogue import Epilogue
from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.columns import plan_columns
from maddjit.compiler.maddness.core import core_constants, plan_core
from maddjit.compiler.maddness.costs import rows_per_thread
from maddjit.compiler.maddness.encoding import plan_encode
from maddjit.compiler.maddness.packing import Packing
from maddjit.compiler.maddness.planner import make_plan, rows_of_block
from maddjit.compiler.maddness.projecting import plan_project
from maddjit.compiler.maddness.runs import Summands, Sums, merges, plan_runs, plan_sums
from maddjit.compiler.maddness.scan_plan import BestLists, ScanPlan
from maddjit.compiler.maddness.scanning import plan_tiles
from maddjit.compiler.maddness.scoring import plan_scores
from maddjit.compiler.maddness.settling import plan_products, plan_row, plan_settle
from maddjit.compiler.maddness.shuffles import quadrupled
from maddjit.compiler.maddness.tables import lane_order
from maddjit.compiler.maddness.tree_levels import byte_level, row_level
from maddjit.compiler.maddness.turning import plan_turn
from maddjit.compiler.maddness.writing import plan_output
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import LEVELS, named
from maddjit.compiler.workspace import LINE
from maddjit.models.core import CORE_LANES, LowRankCore
from tests.random_models import random_model, with_short_list

AVX2, VBMI = named("x86-64-v3"), named("x86-64-v4-vbmi")


def model_of(**sizes: int) -> Any:
    chosen = {"n_features": 40, "n_codebooks": 20, "n_prototypes": 16, "n_outputs": 50} | sizes
    return random_model(0, **chosen)


def with_core(rank: int, n_features: int = 40, n_outputs: int = 50) -> LowRankCore:
    rng = np.random.default_rng(rank)
    U = rng.standard_normal((n_features, rank)).astype(np.float32)
    return LowRankCore(U, rng.standard_normal((rank, n_outputs)).astype(np.float32))


def summands(n_codebooks: int, bits: int = 16, group: int = 4, accumulate: Any = "exact") -> Any:
    return Summands(n_codebooks, 16, Sums(accumulate, bits, group), codes_step=1)


@pytest.mark.parametrize(
    ("largest", "n_codebooks", "bits", "group"),
    [(12, 20, 8, 20), (13, 20, 16, 16), (255, 20, 16, 1), (255, 258, 32, 1), (51, 40, 16, 5)],
)
def test_sums_are_as_wide_as_the_tables_need(
    largest: int, n_codebooks: int, bits: int, group: int
) -> None:
    model = model_of(n_codebooks=n_codebooks)
    model = replace(model, tables=np.full_like(model.tables, largest))
    assert plan_sums(model) == Sums("exact", bits, group)


def test_averages_do_not_grow_with_their_entries() -> None:
    model = replace(model_of(n_codebooks=16), accumulate="average")
    assert plan_sums(model).bits == 8
    assert plan_sums(replace(model_of(n_codebooks=48), accumulate="average")).bits == 16


@given(
    n_codebooks=st.integers(1, 300),
    group=st.integers(1, 32),
    bits=st.sampled_from([8, 16, 32]),
    unroll=st.integers(1, 128),
)
def test_runs_take_each_codebook_once(n_codebooks: int, group: int, bits: int, unroll: int) -> None:
    runs = plan_runs(summands(n_codebooks, bits, group), unroll, [256], [1000])
    codes, tables = [], []
    for run in runs:
        for turn in range(run.count):
            for part in run.groups:
                assert len(part.steps) <= group
                for step in part.steps:
                    codes.append(run.codes_offset + turn * run.codes_stride + step.codes_offset)
                    start = run.table_offsets[0] + turn * run.table_strides[0]
                    tables.append(start + step.table_offsets[0])
    assert codes == list(range(n_codebooks))
    assert tables == [1000 + 256 * c for c in range(n_codebooks)]


@pytest.mark.parametrize("accumulate", ["exact", "average"])
@pytest.mark.parametrize("n", [1, 2, 4, 8, 16])
def test_merges_use_every_value_once(n: int, accumulate: Any) -> None:
    found = merges(n, accumulate)
    used = [value for _, left, right in found for value in (left, right)]
    made = [new for new, _, _ in found]
    assert made == list(range(n, 2 * n - 1))
    assert sorted(used) == list(range(2 * n - 2))


@pytest.mark.parametrize("order", ["C", "F", "strided"])
@pytest.mark.parametrize("level", LEVELS)
def test_codes_do_not_overlap(order: Any, level: str) -> None:
    model = model_of()
    encode = plan_encode(model, named(level), Signature(order=order), row_block=128)
    codes = encode.codes
    places = {
        codes.row_step * row + codes.codebook_step * codebook
        for row in range(128)
        for codebook in range(model.n_codebooks)
    }
    assert len(places) == 128 * model.n_codebooks
    assert max(places) < codes.n_bytes
    assert bool(encode.batches) == (order == "C")
    assert (encode.trees is None) == (order == "C")


def test_many_split_columns_are_not_read_by_straight_line_code() -> None:
    model = model_of(n_codebooks=1 + settings.MOST_ELEMENTS // 4)
    assert not plan_encode(model, AVX2, Signature(), row_block=64).batches


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("element", ["number", "byte"])
def test_levels_use_what_a_target_has(level: str, element: str) -> None:
    target = named(level)
    for depth in range(8):
        found = row_level(target, depth) if element == "number" else byte_level(target, depth)
        if found is None:
            assert not target.byte_shuffles
            assert 2**depth > settings.MOST_SPLATS["i8"]
            continue
        assert found.entries == 2**depth
        assert not found.intrinsic or found.intrinsic in target.intrinsics
        values = max(1, len(found.registers) if found.lookup == "permute" else found.entries)
        if found.folds:
            assert len(found.folds) == values - 1  # everything is folded to one
            assert found.fetched == 2 * values - 2


@given(
    n_outputs=st.integers(1, 700),
    vector_bytes=st.sampled_from([16, 32, 64]),
    bits=st.sampled_from([8, 16, 32]),
    tile_bytes=st.sampled_from([1, 20_000, 10**6]),
)
def test_tiles_hold_all_outputs(
    n_outputs: int, vector_bytes: int, bits: int, tile_bytes: int
) -> None:
    scan = ScanPlan(plan_tiles(summands(20, bits), n_outputs, 4, vector_bytes, tile_bytes))
    assert n_outputs <= scan.width < n_outputs + vector_bytes
    stored = [
        tile.output_offset + turn * tile.output_stride + store.byte_offset + 4 * lane
        for tile in scan.tiles
        for turn in range(tile.count)
        for part, _ in tile.parts
        for store in part.stores
        for lane in range(len(store.lanes))
    ]
    assert sorted(stored) == list(range(0, 4 * n_outputs, 4))


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("spliced", [0, 32])
def test_lane_orders_are_permutations(bits: int, spliced: int) -> None:
    (tile,) = plan_tiles(summands(20, bits), 48, 4, 32, 10**6, spliced=spliced)
    assert [plane.is_spliced for plane in tile.planes] == [spliced > 0 and bits < 32, False]
    for plane in tile.planes:
        assert sorted(lane_order(plane, bits)) == list(range(plane.lanes))


def test_best_lists_hold_the_scores_of_all_rows_and_of_a_part() -> None:
    best = BestLists(k=3, row_block=128)
    assert (best.list_bytes, best.last_rank) == (12, 2)
    assert best.n_bytes - best.scores_offset == 4 * 64
    assert best.scores_offset == 128 * best.list_bytes


def test_columns_are_scanned_by_fours_where_few_codebooks_fill_a_byte() -> None:
    few, many = summands(21, 16, group=1), summands(21, 16, group=8)
    by_fours = plan_columns(few, 50, VBMI)
    assert by_fours
    assert by_fours.quads
    assert (by_fours.quads.count, by_fours.sum_bits) == (6, 32)
    assert by_fours.tiles[0].rows == 16 * len(by_fours.tiles[0].vectors)
    narrow = replace(VBMI, vector_bytes=32)  # vectors of 64 bytes are what the template is for
    for columns in (
        plan_columns(many, 50, VBMI),
        plan_columns(few, 50, AVX2),
        plan_columns(few, 50, narrow),
    ):
        assert columns
        assert columns.quads is None
        assert columns.sum_bits == 16
    assert quadrupled(few).n_codebooks == 6
    assert plan_columns(few, 50, named("x86-64")) is None


@pytest.mark.parametrize("n_outputs", [1, 3, 50])
def test_column_tiles_have_each_output_once(n_outputs: int) -> None:
    columns = plan_columns(summands(20, 8), n_outputs, AVX2)
    assert columns
    for is_last in (False, True):
        outputs = [
            tile.first_output + turn * tile.n_outputs + output
            for tile in columns.tiles
            if tile.is_last == is_last
            for turn in range(tile.count)
            for output in range(tile.n_outputs)
        ]
        assert outputs == list(range(n_outputs))
    assert {tile.step for tile in columns.tiles if tile.is_last} == {columns.tiles[0].rows}
    assert columns.tail_results == max(t.n_outputs * t.rows for t in columns.tiles if t.is_last)


@pytest.mark.parametrize("order", ["C", "F", "strided"])
@pytest.mark.parametrize("rank", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("level", LEVELS)
def test_every_projection_is_found_and_added_once(order: Any, rank: int, level: str) -> None:
    core = plan_core(
        with_core(rank), named(level), Signature(order=order), 128, None if order == "F" else 64
    )
    project = core.project
    assert rank <= project.n_chunks * project.chunk < rank + project.chunk
    assert project.n_bytes >= project.n_chunks * project.chunk * project.step
    assert project.step > 4 * 128
    added = [
        number + turn * terms.p_step // project.step
        for terms in core.expand.terms
        for turn in range(terms.count)
        for number in terms.numbers
    ]
    assert added == list(range(rank))
    assert (core.strips is not None) == (order == "F")
    regions = core.regions()
    assert regions["projections"] == project.n_bytes
    assert bool(regions["core_lanes"]) == (order == "F")


@pytest.mark.parametrize(("chunk", "shared"), [(1, 1), (1, 4), (3, 4), (4, 4), (5, 2), (8, 2)])
def test_folds_add_all_lanes_of_each_sum(chunk: int, shared: int) -> None:
    for group in plan_project(with_core(8), chunk, shared, 16, Signature(), 128).groups:
        n = len(group.leaves)
        lanes = [[{(leaf, lane)} for lane in range(CORE_LANES)] for leaf in range(n)]
        for fold in group.folds:
            both = lanes[fold.left] + lanes[fold.right]
            lanes.append([both[a] | both[b] for a, b in zip(fold.lower, fold.upper, strict=True)])
        for s, places in enumerate(group.leaving):
            for row, place in enumerate(places):
                leaf = group.leaves.index((row, s))
                assert lanes[group.folded][place] == {(leaf, lane) for lane in range(CORE_LANES)}


def test_core_constants_are_the_factors_filled_up() -> None:
    core = with_core(3, n_features=20)
    by_rows = core_constants(core, plan_core(core, AVX2, Signature(), 64, 64))
    assert len(by_rows["projection"]) == 4 * 32 * 3
    V = np.frombuffer(by_rows["expansion"], "<f4").reshape(3, 64)
    assert (V[:, :50] == core.expansion).all()
    assert not V[:, 50:].any()
    by_columns = core_constants(core, plan_core(core, AVX2, Signature(order="F"), 64, None))
    assert by_columns["expansion"] == core.expansion.T.astype("<f4").tobytes()


@given(
    n_outputs=st.integers(1, 700), bits=st.sampled_from([8, 16]), tile_bytes=st.integers(1, 10**5)
)
def test_maxima_are_numbered_in_the_order_of_the_tiles(
    n_outputs: int, bits: int, tile_bytes: int
) -> None:
    scan = ScanPlan(plan_tiles(summands(20, bits), n_outputs, 8, 32, tile_bytes))
    scores = plan_scores(scan, bits, row_block=256)
    number = 0
    for kind, tile in zip(scores.maxima, scan.tiles, strict=True):
        assert kind.number == number
        assert 0 <= kind.count * kind.group - tile.count < kind.group
        assert kind.lanes * bits // 8 <= scores.slot
        assert (kind.part_lanes, *[lanes for _, lanes in kind.halves])[-1] == kind.lanes
        number += kind.count
    assert scores.tile_step > 256 * scores.slot
    assert scores.n_bytes == number * scores.tile_step
    assert sum(scores.bits) == 2**bits - 1


def test_rows_are_copied_unless_they_fill_groups_of_float32() -> None:
    assert plan_row(128, Packing.of(128, 9), Signature()).direct
    assert not plan_row(128, Packing.of(128, 9), Signature("float64")).direct
    assert not plan_row(128, Packing.of(128, 9), Signature(order="strided")).direct
    row = plan_row(70, Packing.of(70, 9), Signature())
    assert not row.direct
    assert (row.n_features, row.whole, row.rest, row.columns) == (70, 64, 6, 128)


def test_winners_are_settled_at_once_if_one_tile_has_them_all() -> None:
    for n_outputs, k, scored, at_once in (
        (100, 1, False, True),
        (100, 1, True, True),
        (100, 3, False, False),
        (300, 1, False, False),
    ):
        scan = ScanPlan(plan_tiles(summands(20), n_outputs, 8, 32, 10**6))
        signature = Signature(result="winners", k=k, scored=scored)
        settle = plan_settle(scan, 16, (40, n_outputs), signature, 256, AVX2)
        assert settle.at_once == at_once
        assert settle.settles_all == (scored or k > 1)
        assert (settle.last_rank, settle.first_output_place) == (k - 1, k + 1)
        assert {part.lanes for tile in scan.tiles for part, _ in tile.parts} <= set(
            settle.list_lanes
        )
        regions = settle.regions(256)
        assert regions["counts"] == 8 * 256
        assert bool(regions["long_scores"]) == (k > 1)
        assert [*regions][-1] == "lists"
    assert plan_settle(scan, 16, (40, 300), signature, 256, AVX2).screen
    assert plan_settle(scan, 16, (40, 2), signature, 256, AVX2).screen is None


def test_more_is_fetched_ahead_of_a_large_B() -> None:
    near, far = plan_products(Packing.of(1024, 10)), plan_products(Packing.of(1024, 1000))
    assert len(near.lines_ahead) < len(far.lines_ahead) < 4 * 1024 // LINE


def test_results_of_several_tiles_have_a_stage() -> None:
    for n_outputs, result, is_staged in (
        (2000, "outputs", True),
        (2000, "sums", True),
        (20, "outputs", False),
        (2000, "argmax", False),
        (2000, "codes", False),
    ):
        signature: Any = Signature(result=result)  # type: ignore[arg-type]
        tiles = plan_tiles(summands(20), n_outputs, signature.output.itemsize, 32, 32 * 1024)
        scan = None if result == "codes" else ScanPlan(tiles)
        output = plan_output(n_outputs, AVX2, signature, 256, scan)
        assert bool(output.stage_rows) == is_staged
        assert output.stage_bytes <= settings.STAGE_BYTES
        assert (output.ending is not None) == (result == "outputs")


def test_blocks_are_whole_and_threads_take_whole_blocks() -> None:
    for n_codebooks in (1, 60, 5000):
        for order in ("C", "F", "strided"):
            model = model_of(n_codebooks=n_codebooks, n_prototypes=2)
            rows = rows_of_block(model, Signature(order=order))  # type: ignore[arg-type]
            assert rows % 64 == 0
            assert 64 <= rows <= settings.MOST_ROWS[order]
            assert rows_per_thread(100, rows) % rows == 0


def test_a_row_of_more_work_takes_longer_and_threads_take_fewer() -> None:
    for order in ("C", "F"):
        signature: Any = Signature(order=order, out_order=order)  # type: ignore[arg-type]
        for target in (AVX2, VBMI):
            few, many = (
                make_plan(model_of(n_outputs=n_outputs), target, signature).rows_per_thread
                for n_outputs in (20, 2000)
            )
            assert few > many
    for nanoseconds in (1, 99, 10**6):
        rows = rows_per_thread(nanoseconds, 64)
        assert (rows - 64) * nanoseconds < settings.THREAD_NANOSECONDS <= rows * nanoseconds


@pytest.mark.parametrize("order", ["C", "F", "strided"])
@pytest.mark.parametrize("result", ["outputs", "codes", "sums", "argmax", "winners"])
def test_workspaces_have_the_regions_that_parts_need(order: Any, result: Any) -> None:
    model = with_short_list(model_of(), 1, 5)
    plan = make_plan(model, AVX2, Signature(order=order, result=result))
    front = ["front"] if order == "F" else []
    names = [region.name for region in plan.workspace.regions]
    assert names[: len(front) + 2] == [*front, "codes", "best"]
    assert ("maxima" in names) == (result == "winners")
    assert names[-1] == ("lists" if result == "winners" else "best")
    assert plan.workspace_bytes == plan.workspace.n_bytes >= plan.encode.codes.n_bytes
    with_U = replace(model_of(), core=with_core(2))
    plan = make_plan(with_U, AVX2, Signature(order=order))
    names = [region.name for region in plan.workspace.regions][len(front) :]
    assert names[2:] == ["projections", "core_lanes"]
    plan = make_plan(with_U, AVX2, Signature(order=order, out_order="F"))
    names = [region.name for region in plan.workspace.regions][len(front) :]
    assert names[2:4] == ["quads", "tail"]


@pytest.mark.parametrize("itemsize", [1, 2, 4, 8])
@pytest.mark.parametrize("level", LEVELS)
def test_interleavings_turn_rows_into_columns(itemsize: int, level: str) -> None:
    dtype = {1: "uint8", 2: "float16", 4: "float32", 8: "float64"}[itemsize]
    signature = Signature(out_order="F", epilogue=Epilogue(dtype=dtype))
    turn = plan_turn(64, 50, signature, named(level), row_block=256)
    values: dict[int, list[tuple[int, int]]] = {}
    for index, offsets in enumerate(turn.lanes):
        parts = dict(enumerate([(o // turn.row_step, i) for i in range(turn.n)] for o in offsets))
        for join in turn.joins:
            both = parts[join.left] + parts[join.right]
            parts[join.new] = [both[place] for place in join.places]
        values[index] = parts[max(parts)]
    for step in turn.interleavings:
        both = values[step.left] + values[step.right]
        values[step.low] = [both[place] for place in turn.low]
        values[step.high] = [both[place] for place in turn.high]
    for output, value in enumerate(turn.outputs):
        assert values[value] == [(row, output) for row in range(turn.rows)]
    outputs = [
        tile.first_output + turn.n * i + output
        for tile in turn.tiles
        for i in range(tile.count)
        for output in range(tile.n_outputs)
    ]
    assert outputs == list(range(50))
