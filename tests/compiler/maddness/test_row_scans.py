"""The inner loops of row scans: no sum is spilled, and no address is in the frame pointer."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import pytest

from maddjit.compiler import llvm
from maddjit.compiler.maddness.encoding import code_unit, plan_encode
from maddjit.compiler.maddness.planner import make_plan
from maddjit.compiler.maddness.runs import plan_sums
from maddjit.compiler.render import render
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import LEVELS, named
from tests.assembly import loops, stack_accesses, stack_stores
from tests.compiler.maddness.test_columns import COMPARES, SUMS
from tests.compiler.test_assembly import emit
from tests.random_models import random_model

ADDITION = re.compile(r"v?padd[bwd]|v?pavgb|add|urhadd|uaddw2?")


def scans(
    level: str, n_prototypes: int, way: str, n_outputs: int, result: Any
) -> tuple[str, list[list[tuple[str, str]]]]:
    """Return the assembly of a kernel by rows, and the innermost loops of its scan.

    Those add vectors and compare no numbers.
    """
    largest, n_codebooks, accumulate = SUMS[way]
    model = random_model(
        0,
        n_features=9,
        n_codebooks=n_codebooks,
        n_prototypes=n_prototypes,
        n_outputs=n_outputs,
        accumulate=accumulate,  # type: ignore[arg-type]
        largest=largest,
    )
    sums = {8: "uint8", 16: "uint16", 32: "int32"}[plan_sums(model).bits]
    plan = make_plan(model, named(level), Signature(result=result, sums=sums))
    assembly = llvm.to_text(render(plan), plan.target, "assembly")
    return assembly, [body for body in loops(assembly) if adds_vectors(body)]


def adds_vectors(body: list[tuple[str, str]]) -> bool:
    additions = [o for name, o in body if ADDITION.fullmatch(name) and re.search(r"%.mm|\bv\d", o)]
    return len(additions) >= 4 and not any(COMPARES.match(name) for name, _ in body)


CASES = [
    (level, n_prototypes, way)
    for level in LEVELS
    for n_prototypes in (2, 4, 8, 16, 32, 64, 128, 256)
    for way, (_, n_codebooks, _) in SUMS.items()
    if n_codebooks * n_prototypes <= 2**14  # larger tables take minutes to compile
]
SPILLED = {
    "8 bits",
    "16 bits",
    "32 bits",
    "averages of 16 bits",
    "small averages of 16 bits",
    "averages of 32 bits",
}
"""On aarch64 these keep sums or addresses on the stack; what that costs is not known."""
SPILLED_ONCE = {("x86-64-v4", 2, "averages"), ("x86-64-v4-vbmi", 2, "averages")}
"""Of these outputs LLVM writes up to four averages to the stack, in a loop of 245 steps or more."""


@pytest.mark.quick(8)
@pytest.mark.parametrize(("level", "n_prototypes", "way"), CASES)
def test_no_sum_is_spilled(level: str, n_prototypes: int, way: str) -> None:
    """Loops write nothing to the stack. Loops of sums on x86-64 do not read it either.

    What other loops read there are numbers that do not change from row to row, which LLVM has put
    there in front of the loop: scales and offsets of outputs, and on aarch64 addresses of table
    rows. Scales and offsets that were read from where they lie, by volatile loads, took from 1.0 to
    1.2 times as long on an Emerald Rapids server. Hiding their addresses from LLVM spilled sums.
    """
    case = level, n_prototypes, way
    sizes = (20,) if SUMS[way][1] > 1000 else (100, 300) if n_prototypes == 16 else (300,)
    for result, n_outputs in product(("outputs", "sums"), sizes):
        assembly, bodies = scans(level, n_prototypes, way, n_outputs, result)
        assert bodies
        in_outputs = result == "outputs" and case in SPILLED_ONCE
        if not (way in SPILLED if level == "aarch64" else in_outputs):
            assert [stack_stores(body, assembly) for body in bodies] == [[] for _ in bodies]
        if result == "sums" and level != "aarch64":
            assert [stack_accesses(body, assembly) for body in bodies] == [[] for _ in bodies]


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
