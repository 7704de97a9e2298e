"""The scan by columns: its loops look up and add, and keep everything in registers."""

from __future__ import annotations

import re
from typing import Any

import pytest

from maddjit.compiler import llvm
from maddjit.compiler.maddness.planner import make_plan
from maddjit.compiler.maddness.runs import plan_sums
from maddjit.compiler.maddness.shuffles import byte_shuffle
from maddjit.compiler.render import render
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import LEVELS, named
from tests.assembly import instructions, loops, stack_accesses
from tests.random_models import random_model

SHUFFLES = ("pshufb", "vpshufb", "vpermb", "vpermi2b", "vpermt2b", "tbl")
COMPARES = re.compile(r"v?cmp\w*ps|fcm\w+")
SUMS = {  # How bytes are added: the largest entry, codebooks, and the way.
    "8 bits": (255 // 40, 40, "exact"),
    "16 bits": (255, 40, "exact"),
    "16 bits of 16 codebooks": (255, 16, "exact"),
    "16 bits of 4 codebooks": (255, 4, "exact"),
    "16 bits of groups of 2": (127, 40, "exact"),
    "16 bits of groups of 4": (63, 40, "exact"),
    "16 bits of groups of 8": (31, 40, "exact"),
    "32 bits": (255, 300, "exact"),
    "averages": (255, 16, "average"),
    "averages of 16 bits": (255, 48, "average"),
    "small averages of 16 bits": (255, 40, "average"),
    "averages of 32 bits": (255, 4112, "average"),
}
CASES = [
    (level, n_prototypes, way)
    for level in LEVELS
    for n_prototypes in (2, 4, 8, 16, 32, 64, 128, 256)
    for way in SUMS
    if byte_shuffle(named(level), n_prototypes)
]


def scans(
    level: str, n_prototypes: int, way: str, **signature: Any
) -> tuple[str, list[list[tuple[str, str]]]]:
    """Return the assembly of a kernel by columns, and the innermost loops of its scan.

    Those shuffle bytes and compare no numbers.
    """
    largest, n_codebooks, accumulate = SUMS[way]
    model = random_model(
        0,
        n_features=9,
        n_codebooks=n_codebooks,
        n_prototypes=n_prototypes,
        n_outputs=7,
        accumulate=accumulate,  # type: ignore[arg-type]
        largest=largest,
    )
    sums = {8: "uint8", 16: "uint16", 32: "int32"}[plan_sums(model).bits]
    plan = make_plan(
        model, named(level), Signature(order="F", out_order="F", sums=sums, **signature)
    )
    assembly = llvm.to_text(render(plan), plan.target, "assembly")
    found = []
    for body in loops(assembly):
        names = [name for name, _ in body]
        if any(name in SHUFFLES for name in names) and not any(map(COMPARES.match, names)):
            found.append(body)
    return assembly, found


@pytest.mark.parametrize(("level", "n_prototypes", "way"), CASES)
def test_no_loop_of_a_scan_touches_the_stack(level: str, n_prototypes: int, way: str) -> None:
    for result in ("sums", "outputs"):
        assembly, bodies = scans(level, n_prototypes, way, result=result)
        assert bodies
        assert [stack_accesses(body, assembly) for body in bodies] == [[] for _ in bodies]


@pytest.mark.parametrize(("level", "n_prototypes", "way"), CASES)
def test_only_scans_of_four_codebooks_at_once_fetch_tables(
    level: str, n_prototypes: int, way: str
) -> None:
    assembly, _ = scans(level, n_prototypes, way, result="sums")
    names = [name for name, _ in instructions(assembly)]
    fetches = any("prefetch" in name or name == "prfm" for name in names)
    assert fetches == ("vpdpbusd" in names)


@pytest.mark.parametrize("way", SUMS)
def test_avx2_reads_each_table_by_one_broadcast(way: str) -> None:
    _, bodies = scans("x86-64-v3", 16, way, result="sums")
    for body in bodies:
        names = [name for name, _ in body]
        assert "vinserti128" not in names
        assert names.count("vpshufb") >= names.count("vbroadcasti128") > 0
