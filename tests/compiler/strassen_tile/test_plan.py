"""Plans and assembly of Strassen-Tile kernels: memory that does not overlap, a dense inner loop."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import maddjit
from maddjit.compiler.signature import Signature
from maddjit.compiler.strassen_tile.planner import make_tile_plan
from maddjit.compiler.target import BFLOAT16, LEVELS, TargetError, named
from maddjit.models import schemes
from tests.compiler.test_assembly import instructions, loops
from tests.operators.test_strassen_tile import NAMES, some_model, some_scheme


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_parts_of_the_workspace_follow_each_other(level: str, name: str) -> None:
    for n_features, n_outputs in ((5, 3), (64, 64), (700, 130)):
        model = some_model(some_scheme(name), n_features, n_outputs)
        plan = make_tile_plan(model, named(level), Signature())
        rows = plan.block_groups * plan.tile_rows
        assert rows % plan.strip == 0
        assert plan.z_step >= rows * plan.z_row_bytes
        assert plan.z_row_bytes >= plan.z_element_bytes * plan.padded_features
        assert plan.u_step >= rows * plan.panel_bytes
        assert plan.u_offset >= plan.rank * plan.z_step
        assert plan.stage_offset >= plan.u_offset + plan.rank * plan.u_step
        assert plan.edge_offset >= plan.stage_offset + plan.row_unit * plan.stage_row_bytes
        end = plan.edge_offset + plan.row_unit * plan.edge_row_bytes
        assert plan.workspace_bytes >= end + 63  # its beginning moves to a cache line's
        assert plan.packed.nbytes == plan.n_panels * plan.v_panel_bytes
        assert plan.packed.__array_interface__["data"][0] % 64 == 0
        assert sum(block.width for block in plan.feature_blocks) == n_features
        assert sum(plan.output_widths) == n_outputs


def test_packed_is_panel_by_panel() -> None:
    model = some_model(schemes.strassen(), 40, 100)
    plan = make_tile_plan(model, named("x86-64-v3"), Signature())
    V = plan.packed.reshape(plan.n_panels, plan.rank, plan.padded_features, plan.panel)
    every = V.transpose(1, 2, 0, 3).reshape(plan.rank, plan.padded_features, -1)
    assert (every[:, :20, :50] == model.values).all()
    assert np.count_nonzero(every) == np.count_nonzero(model.values)


@pytest.mark.parametrize("level", LEVELS)
def test_the_inner_loop_multiplies_and_does_not_spill(level: str) -> None:
    code = maddjit.emit(some_model(schemes.strassen(), 256, 256), level)
    start = code.index("\nmultiply:")
    (loop,) = loops(code[start : code.index(".Lfunc_end", start)])
    plan = make_tile_plan(some_model(schemes.strassen(), 256, 256), named(level), Signature())
    counts = Counter(name for name, _ in loop)
    products = plan.unroll * plan.strip * plan.vectors
    assert counts["vfmadd231ps"] + counts["fmla"] + counts["mulps"] == products
    assert not any("rsp" in operands or "[sp" in operands for _, operands in loop)
    if plan.fuses:
        assert products >= 0.5 * len(loop)
        # broadcasts and vectors of V, prefetches, and what keeps the count
        assert len(loop) <= products + plan.unroll * (plan.strip + plan.vectors + 4) + 8


def test_the_inner_loop_of_bfloat16() -> None:
    model = some_model(schemes.strassen(), 256, 256)
    code = maddjit.emit(model, "x86-64-v4-vbmi", precision="bfloat16")
    start = code.index("\nmultiply:")
    (loop,) = loops(code[start : code.index(".Lfunc_end", start)])
    counts = Counter(name for name, _ in loop)
    assert counts["vdpbf16ps"] >= 0.6 * len(loop)
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
