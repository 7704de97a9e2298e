"""Annotated assembly is the assembly; its stages are the templates' functions."""

from __future__ import annotations

import re

import numpy as np
import pytest

import maddjit
from maddjit.compiler.target import named
from maddjit.looking.listing import annotated, classes
from tests.conftest import RUNNABLE
from tests.random_models import random_model, with_short_list

TABLES = random_model(0, n_features=40, n_codebooks=8, n_prototypes=16, n_outputs=20)
TILES = maddjit.fit_strassen_tile(np.eye(20, 17), tile=2)


def instructions(text: str) -> list[str]:
    return [line for line in text.split("\n") if re.match(r"\t[a-z]", line)]


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("model", [TABLES, TILES], ids=["tables", "tiles"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_instructions_are_those_that_run(level: str, model: object, order: str) -> None:
    op = maddjit.compile(model, level, order=order)  # type: ignore[call-overload]
    listing = annotated(op.ir(), op.target)
    plain = instructions(op.asm())
    assert instructions(listing.text()) == plain
    own = sum(
        number
        for counts in listing.counts.values()
        for name, number in counts.items()
        if name != "folded loads"
    )
    assert own == len(plain)


def test_stages_outlive_inlining() -> None:
    listing = annotated(maddjit.compile(TABLES, RUNNABLE[-1]).ir(), named(RUNNABLE[-1]))
    stages = [section.stage for section in listing.sections]
    assert stages.index("encode.codebooks") < stages.index("scan.0")
    assert listing.counts["scan.0"]["adds"] >= TABLES.n_codebooks
    assert listing.largest is not None
    text = listing.text()
    assert text.count("largest loop") == 1
    assert f"\n{listing.largest.label}:" in text.partition("largest loop")[2]
    assert "lines of constants are left out" in text
    assert ".long" not in text
    assert len(listing.text(with_constants=True)) > len(text)


def test_winners() -> None:
    op = maddjit.compile(with_short_list(TABLES, 1, 9), result="argmax", coverage=0.5)
    assert {"settle", "decide"} <= set(annotated(op.ir(), op.target).counts)


@pytest.mark.parametrize("target", ["aarch64", "x86-64-v4-vbmi"])
def test_other_targets(target: str) -> None:
    ir = maddjit.emit(TABLES, target, "template")
    listing = annotated(ir, named(target), apart=True)
    assert {"kernel", "encode.codebooks", "scan.0"} == set(listing.counts)
    assert listing.largest is not None
    for counts in listing.counts.values():
        assert counts.get("other", 0) <= 0.05 * sum(counts.values())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("vmovups\t(%rdi), %zmm0", ["loads"]),
        ("vmovups\t%zmm0, (%rdi,%rax)", ["stores"]),
        ("vmovaps\t%zmm0, %zmm1", ["moves"]),
        ("vpaddb\t(%rcx,%r15), %ymm2, %ymm2", ["adds", "folded loads"]),
        ("vfmadd231ps\t%zmm1, %zmm2, %zmm3", ["multiply-adds"]),
        ("vpermt2ps\t%zmm3, %zmm21, %zmm4", ["shuffles"]),
        ("pshufb\t%xmm1, %xmm2", ["shuffles"]),
        ("vblendmps\t%zmm9, %zmm8, %zmm3 {%k1}", ["selects"]),
        ("vcmpleps\t%zmm6, %zmm9, %k1", ["compares"]),
        ("addq\t$16, %r14", ["scalar"]),
        ("movq\t%rsi, -56(%rsp)", ["stores"]),
        ("jne\t.LBB0_3", ["branches"]),
        ("prefetchw\t(%rbp,%r11)", ["prefetches"]),
        ("ldr\tq0, [x0, #16]", ["loads"]),
        ("stp\td15, d14, [sp, #-160]!", ["stores"]),
        ("fmla\tv0.4s, v1.4s, v2.4s", ["multiply-adds"]),
        ("tbl\tv0.16b, { v1.16b }, v2.16b", ["shuffles"]),
        ("add\tv0.16b, v1.16b, v2.16b", ["adds"]),
        ("b.ne\t.LBB0_3", ["branches"]),
        ("add\tx8, x8, #1", ["scalar"]),
    ],
)
def test_classes(line: str, expected: list[str]) -> None:
    name, _, operands = line.partition("\t")
    assert list(classes(name, f"\t{operands}")) == expected
