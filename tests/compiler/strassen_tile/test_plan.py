"""Plans of Strassen-Tile kernels, part by part, and their assembly: a dense inner loop."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import pytest

import maddjit
from maddjit.arrays.formats import bfloat16_to_float32
from maddjit.compiler.signature import RULES, Choices, Signature
from maddjit.compiler.strassen_tile import settings
from maddjit.compiler.strassen_tile.packing import packed_values
from maddjit.compiler.strassen_tile.planner import (
    cut_rows,
    make_tile_plan,
    plan_decode,
    plan_encode,
    plan_multiply,
    plan_stage,
)
from maddjit.compiler.target import BFLOAT16, LEVELS, Target, TargetError, named
from maddjit.compiler.workspace import LINE
from maddjit.models import schemes
from maddjit.models.strassen_tile import StrassenTileModel
from tests.assembly import instructions, loops
from tests.operators.test_strassen_tile import NAMES, some_model, some_scheme

SIZES = ((5, 3), (64, 64), (700, 130))
"""Columns of A and outputs."""
KINDS = (
    Signature(),
    Signature("int8", "F"),
    Signature(epilogue=maddjit.Epilogue(dtype="float64")),
    Signature(precision="bfloat16"),
)


def cases() -> Iterator[tuple[StrassenTileModel, Target, Signature]]:
    for name in NAMES:
        for n_features, n_outputs in SIZES:
            model = some_model(some_scheme(name), n_features, n_outputs)
            for level in map(named, LEVELS):
                yield from ((model, level, kind) for kind in KINDS[:-1])
                if level.may_have_bfloat16:
                    yield model, level.with_bfloat16(), KINDS[-1]


def test_rows_are_cut_into_groups_whose_z_stays_near() -> None:
    for model, level, signature in cases():
        rows = cut_rows(model, signature, RULES)
        assert rows.group == model.scheme.shape[0] * model.tile_rows
        assert rows.block == rows.groups * rows.group
        encode = plan_encode(model, level, signature, rows)
        assert rows.groups == 1 or model.scheme.rank * encode.step <= 1.1 * settings.Z_BYTES
        assert rows.groups == 1 or rows.block_tile_rows <= settings.MOST_TILE_ROWS
    model = some_model(schemes.strassen(), 64, 64)
    told = cut_rows(model, Signature(), Choices(row_block=64 * model.tile_rows))
    assert told.block == 64 * model.tile_rows


def test_a_staged_row_holds_every_column_once() -> None:
    for model, level, _ in cases():
        stage = plan_stage(model, level)
        columns = [c for b in stage.blocks for c in range(b.first, b.first + b.width)]
        assert columns == list(range(model.n_features))
        assert stage.row_step == stage.n_vectors * level.vector_bytes
        assert stage.row_step >= len(stage.blocks) * stage.block_step
        for k, block in enumerate(stage.blocks):
            assert block.byte_offset == k * stage.block_step
            assert block.whole % level.lanes == 0
            assert 0 <= block.rest < level.lanes
            assert 4 * block.width <= stage.block_step


def test_z_has_room_for_every_column() -> None:
    for model, level, signature in cases():
        rows = cut_rows(model, signature, RULES)
        encode = plan_encode(model, level, signature, rows)
        assert encode.n_columns >= model.values.shape[1]
        assert encode.n_columns % level.lanes == 0
        assert encode.row_step >= encode.element_bytes * encode.n_columns
        assert encode.step >= rows.block_tile_rows * encode.row_step
        assert len(encode.code.results) == model.scheme.rank
        assert len(encode.inputs) == model.scheme.encode_a.shape[1]
        if encode.is_direct:
            assert model.n_features == len(plan_stage(model, level).blocks) * encode.n_columns
            assert (signature.dtype, signature.order) == ("float32", "C")


def test_every_step_is_in_one_pass() -> None:
    for model, level, signature in cases():
        rows = cut_rows(model, signature, RULES)
        encode = plan_encode(model, level, signature, rows)
        multiply = plan_multiply(model, level, rows, encode)
        assert 4 * multiply.n_steps == encode.element_bytes * encode.n_columns
        steps = [i for start, count in multiply.passes for i in range(start, start + count)]
        assert steps == list(range(multiply.n_steps))
        assert all(count % multiply.unroll == 0 for _, count in multiply.passes)
        assert all(len(strip.steps) == multiply.unroll for strip in multiply.strips)
        assert multiply.n_panels * multiply.panel >= model.values.shape[2]
        assert (multiply.tallest.rows + 1) * multiply.vectors + 1 <= level.n_registers
        covered = rows.block_tile_rows + settings.SPARE_ROWS
        assert multiply.u_step >= covered * multiply.panel_bytes
        assert encode.step >= covered * encode.row_step
        assert multiply.z_step == encode.row_step


def test_strips_cover_any_number_of_tile_rows() -> None:
    for model, level, signature in cases():
        multiply = make_tile_plan(model, level, signature).multiply
        tallest, lower = multiply.tallest.rows, multiply.lower
        for tiles in range(1, 200):
            whole = (tiles + multiply.filled) // tallest
            is_pair = whole > 0 and 0 < tiles - whole * tallest <= multiply.paired
            whole -= is_pair
            left = tiles - whole * tallest
            last = [strip.rows for strip in lower if strip.above < left <= strip.rows]
            if is_pair:
                assert not last
                last = 2 * [lower[0].rows]
            assert tiles <= whole * tallest + sum(last) <= tiles + settings.SPARE_ROWS


def test_a_strip_fetches_each_line_of_the_z_that_follows_once() -> None:
    scheme = schemes.kronecker(schemes.strassen(), schemes.strassen())
    for level in map(named, LEVELS):
        near = make_tile_plan(some_model(scheme, 64, 64), level, Signature())
        far = make_tile_plan(some_model(scheme, 1024, 1024), level, Signature())
        for strip in near.multiply.strips:
            assert [line for step in strip.steps for line in step.z_lines] == []
        for strip in far.multiply.strips:
            lines = sorted(line for step in strip.steps for line in step.z_lines)
            assert lines == list(range(-(-strip.z_bytes * far.multiply.unroll // LINE)))


def test_every_output_is_decoded_once() -> None:
    for model, level, signature in cases():
        rows = cut_rows(model, signature, RULES)
        multiply = plan_multiply(model, level, rows, plan_encode(model, level, signature, rows))
        decode = plan_decode(model, level, signature, multiply)
        assert sum(decode.widths) == model.n_outputs
        assert decode.whole_panels * multiply.panel <= min(decode.widths)
        assert len(decode.code.results) == len(decode.outputs) == len(model.scheme.decode)
        assert decode.edge_row_step == len(decode.widths) * decode.panel_step
        assert decode.vector_step * multiply.vectors == decode.panel_step


def test_parts_of_the_workspace_have_room() -> None:
    for model, level, signature in cases():
        plan = make_tile_plan(model, level, signature)
        sizes = {region.name: region.size for region in plan.workspace.regions}
        assert sizes == {
            "z": plan.rank * plan.encode.step,
            "u": plan.rank * plan.multiply.u_step,
            "stage": plan.rows.group * plan.stage.row_step,
            "edge": plan.rows.group * plan.decode.edge_row_step,
        }
        assert plan.workspace_bytes == plan.workspace.n_bytes
        assert plan.packed.nbytes == plan.multiply.n_panels * plan.multiply.v_panel_step
        assert plan.packed.__array_interface__["data"][0] % 64 == 0
        assert not plan.packed.flags.writeable
        ((name, bias),) = plan.constants
        assert (name, len(bias)) == ("bias", plan.multiply.n_panels * plan.decode.bias_step)


def test_a_printed_plan_has_lines_for_each_part_and_not_for_each_step() -> None:
    scheme = schemes.kronecker(schemes.strassen(), schemes.strassen())
    plan = make_tile_plan(some_model(scheme, 40, 100), named("aarch64"), Signature())
    lines = str(plan).splitlines()
    names = [line.split()[0] for line in lines]
    assert {name.partition(".")[0] for name in names} == {field.name for field in fields(plan)}
    assert len(lines) < 40
    assert "62 Operation" in str(plan)


def test_packed_is_panel_by_panel() -> None:
    model = some_model(schemes.strassen(), 40, 100)
    plan = make_tile_plan(model, named("x86-64-v3"), Signature())
    n_panels, panel = plan.multiply.n_panels, plan.multiply.panel
    V = plan.packed.reshape(n_panels, plan.rank, plan.encode.n_columns, panel)
    every = V.transpose(1, 2, 0, 3).reshape(plan.rank, plan.encode.n_columns, -1)
    assert (every[:, :20, :50] == model.values).all()
    assert np.count_nonzero(every) == np.count_nonzero(model.values)


def test_packed_bfloat16_has_two_rows_side_by_side() -> None:
    values = np.arange(1, 1 + 2 * 3 * 5, dtype=np.float32).reshape(2, 3, 5)  # exact in bfloat16
    packed = packed_values(values, n_columns=16, panel=4, is_bfloat16=True)
    V = bfloat16_to_float32(packed).reshape(2, 2, 8, 4, 2)
    every = V.transpose(1, 2, 4, 0, 3).reshape(2, 16, 8)
    assert (every[:, :3, :5] == values).all()
    assert np.count_nonzero(every) == values.size


def micro_kernels(code: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield the name and the only loop of each function that multiplies a strip."""
    for match in re.finditer(r'^"?multiply\.(rows\.[\w.]+)"?:', code, re.MULTILINE):
        (loop,) = loops(code[match.start() : code.index(".Lfunc_end", match.start())])
        yield match[1], loop


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("is_far", [False, True])
def test_inner_loops_multiply_and_do_not_spill(
    level: str, is_far: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "NEAR_BYTES", 0 if is_far else 2**40)
    model = some_model(schemes.strassen(), 1024, 1024)
    multiply = make_tile_plan(model, named(level), Signature()).multiply
    found = dict(micro_kernels(maddjit.emit(model, level)))
    assert len(found) == 2 * len(multiply.strips)  # the first pass, and those that add to it
    for strip in multiply.strips:
        for name in (strip.name, f"{strip.name}.on"):
            loop = found[name]
            counts = Counter(name for name, _ in loop)
            products = multiply.unroll * strip.rows * multiply.vectors
            assert counts["vfmadd231ps"] + counts["fmla"] + counts["mulps"] == products
            assert not any("rsp" in operands or "[sp" in operands for _, operands in loop)
            if named(level).fuses:
                loads = multiply.unroll * (strip.rows + multiply.vectors)
                fetches = sum(step.fetches + len(step.z_lines) for step in strip.steps)
                addresses = 16 if named(level).architecture == "x86_64" else 0.2 * len(loop)
                assert len(loop) <= products + loads + fetches + addresses


def test_the_inner_loop_of_bfloat16() -> None:
    model = some_model(schemes.strassen(), 256, 256)
    code = maddjit.emit(model, "x86-64-v4-vbmi", precision="bfloat16")
    found = dict(micro_kernels(code))
    assert found
    for name, loop in found.items():
        counts = Counter(name for name, _ in loop)
        assert counts["vdpbf16ps"] >= 0.4 * len(loop), name
        assert not any("rsp" in operands for _, operands in loop)
    assert any(name == "vcvtneps2bf16" for name, _ in instructions(code))


def test_zeros_and_ones_of_a_scheme_are_no_multiplications() -> None:
    code = maddjit.emit(some_model(schemes.winograd(), 256, 256), "x86-64-v3")
    start = code.index("\nencode:")
    counts = Counter(
        name for name, _ in instructions(code[start : code.index(".Lfunc_end", start)])
    )
    assert counts["vaddps"] + counts["vsubps"] == 4
    assert not any("mul" in name or "fmadd" in name for name in counts if name != "imulq")


def test_levels_without_bfloat16_say_so() -> None:
    with pytest.raises(TargetError, match=BFLOAT16):
        named("x86-64-v3").with_bfloat16()
    model = some_model(schemes.strassen(), 16, 16)
    with pytest.raises(ValueError, match=BFLOAT16):
        make_tile_plan(model, named("x86-64-v4"), Signature(precision="bfloat16"))
    with pytest.raises(ValueError, match="rows of outputs"):
        make_tile_plan(model, named("x86-64-v4"), Signature(result="sums"))
