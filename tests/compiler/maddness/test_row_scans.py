"""The inner loops of row scans: nothing is spilled, and no address is in the frame pointer."""

from __future__ import annotations

import re
from typing import Any

import pytest

import maddjit
from maddjit.compiler.maddness.encoding import code_unit, plan_encode
from maddjit.compiler.maddness.planner import make_plan
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import LEVELS, named
from tests.compiler.test_assembly import emit, loops
from tests.random_models import random_model

WIDE = ["x86-64-v3", "x86-64-v4", "x86-64-v4-vbmi"]

SUMS: dict[str, Any] = {
    "8 bits": {"n_codebooks": 16, "largest": 15},
    "16 bits": {"n_codebooks": 16, "largest": 255},
    "16 bits by groups": {"n_codebooks": 32, "largest": 50},
    "32 bits": {"n_codebooks": 260, "largest": 255},
    "averages": {"n_codebooks": 16, "accumulate": "average"},
    "sums of averages": {"n_codebooks": 48, "accumulate": "average"},
}


def is_sum(name: str) -> bool:
    return re.match(r"vpadd[bwd]|vpavgb", name) is not None


def stores_to_stack(name: str, operands: str) -> bool:
    reads = name.startswith(("cmp", "test"))
    return not reads and re.search(r"(^|,)\s*-?\d*\(%r[sb]p\)$", operands) is not None


@pytest.mark.parametrize("sums", SUMS)
@pytest.mark.parametrize("n_prototypes", [16, 64])
@pytest.mark.parametrize("level", WIDE)
def test_nothing_is_spilled(level: str, n_prototypes: int, sums: str) -> None:
    for n_outputs in (100, 300):
        model = random_model(
            0, n_features=512, n_prototypes=n_prototypes, n_outputs=n_outputs, **SUMS[sums]
        )
        bodies = loops(maddjit.emit(model, level))
        scans = [body for body in bodies if sum(is_sum(name) for name, _ in body) >= 12]
        assert scans
        for scan in scans:
            assert not [step for step in scan if stores_to_stack(*step)]


@pytest.mark.parametrize("n_prototypes", [16, 64])
@pytest.mark.parametrize("level", LEVELS)
def test_no_address_is_in_the_frame_pointer(level: str, n_prototypes: int) -> None:
    """Rows of A that were read by way of it took longer from memory (decision 0003)."""
    for body in loops(emit(level, n_prototypes=n_prototypes, largest=15)):
        assert not any(re.search(r"\(%rbp,|, %rbp$", operands) for _, operands in body)


@pytest.mark.parametrize("level", ["x86-64-v3", "x86-64-v4-vbmi"])
def test_a_code_is_an_index_of_the_address(level: str) -> None:
    """Each table row is one operand. Between two codes, no instruction but additions is needed."""
    scan = max(loops(emit(level, largest=15)), key=lambda b: sum(n == "vpaddb" for n, _ in b))
    codes = [i for i, (name, _) in enumerate(scan) if name == "movzbl"]
    assert len(codes) == 16
    between = scan[codes[1] : codes[-1]]
    assert {name for name, _ in between} == {"movzbl", "vpaddb"}
    assert all("(%r" in operands for name, operands in between if name == "vpaddb")


@pytest.mark.parametrize("n_prototypes", [2, 16, 64, 256])
@pytest.mark.parametrize("level", LEVELS)
def test_multiples_of_codes_fit_a_byte(level: str, n_prototypes: int) -> None:
    target = named(level)
    unit = code_unit(n_prototypes, target)
    assert (n_prototypes - 1) * unit < 256
    assert unit * target.index_scale <= target.vector_bytes


def test_only_scans_by_rows_read_multiples_of_codes() -> None:
    model = random_model(0, n_features=40, n_codebooks=9, n_prototypes=16, n_outputs=7)
    target = named("x86-64-v4")
    units = {
        (order, result): plan_encode(model, target, Signature(order=order, result=result), 64)
        for order in ("C", "F")
        for result in ("outputs", "codes")
    }
    assert {key: encode.codes.unit for key, encode in units.items()} == {
        ("C", "outputs"): 8,
        ("C", "codes"): 1,
        ("F", "outputs"): 1,
        ("F", "codes"): 1,
    }


@pytest.mark.parametrize("n_outputs", [1, 5, 36, 100])
def test_table_rows_are_whole_operands_of_bytes(n_outputs: int) -> None:
    model = random_model(
        0, n_features=40, n_codebooks=9, n_prototypes=16, n_outputs=n_outputs, largest=20
    )
    for level in LEVELS:
        plan = make_plan(model, named(level), Signature())
        assert plan.scan
        for tile in plan.scan.tiles:
            for plane in tile.planes:
                assert plane.lanes >= 16
                assert plane.code_stride * plan.encode.codes.unit == plane.lanes
