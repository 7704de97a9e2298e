"""Feature levels: detection, choice, refusals, and the facts about their CPUs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import maddjit
from maddjit.compiler.target import (
    BFLOAT16,
    LEVELS,
    Host,
    Target,
    TargetError,
    missing_features,
    named,
    resolve,
    runnable,
)
from tests import openblas

AVX2 = named("x86-64-v3").requires
AVX512 = named("x86-64-v4").requires
VBMI = named("x86-64-v4-vbmi").requires


EVERY = [pytest.param(named(name), id=name) for name in LEVELS]
ON_X86 = [
    pytest.param(named(name), id=name) for name in LEVELS if named(name).architecture == "x86_64"
]
NEEDS = {
    "llvm.x86.sse2.": set(),
    "llvm.x86.sse41.": {"avx2"},
    "llvm.x86.avx.": {"avx2"},
    "llvm.x86.avx2.": {"avx2"},
    "llvm.x86.avx512.pshuf.b.512": {"avx512bw"},
    "llvm.x86.avx512.permvar.qi.512": {"avx512vbmi"},
    "llvm.x86.avx512.vpermi2var.qi.512": {"avx512vbmi"},
    "llvm.x86.avx512.packssdw.512": {"avx512bw"},
    "llvm.x86.avx512.packuswb.512": {"avx512bw"},
    "llvm.x86.avx512.pmaddubs.w.512": {"avx512bw"},
    "llvm.x86.avx512.vpdpbusd.512": {"avx512vnni"},
    "llvm.x86.avx512bf16.": {BFLOAT16},
    "llvm.x86.avx512.": {"avx512f"},
}
"""The features that intrinsics of x86-64 need, by the first of these beginnings that fits."""


def needed(intrinsic: str) -> set[str]:
    if not intrinsic.startswith("llvm.x86."):
        return set()
    found = [needs for begun, needs in NEEDS.items() if intrinsic.startswith(begun)]
    assert found, f"NEEDS lacks {intrinsic}"
    return found[0]


def instructions(target: Target) -> list[str]:
    """Return the instructions that are facts of a target."""
    looked_up = [name for _, name in (*target.permutes, *target.byte_shuffles)]
    loads = [target.masked_load(n, size) for n in (8, 16, 64) for size in (1, 2, 4, 8)]
    rows = [*(target.packs or ()), *loads]
    products = [target.byte_products, target.byte_pairs, target.bfloat16_products]
    return list(filter(None, [*looked_up, *rows, *products, target.least_word]))


@pytest.mark.parametrize("level", ON_X86)
def test_facts_agree_with_the_features_that_a_level_requires(level: Target) -> None:
    has_avx512 = "avx512f" in level.requires
    assert level.vector_bytes == (64 if has_avx512 else 32 if "avx2" in level.requires else 16)
    assert level.lanes == level.vector_bytes // 4
    assert level.n_registers == (32 if has_avx512 else 16)
    assert level.fuses == ("fma" in level.requires)
    assert level.converts_half == ("f16c" in level.requires)
    assert level.has_masks == level.may_have_bfloat16 == has_avx512
    assert level.paired_bytes == ((2, 4) if {"avx512f", "avx512bw"} <= level.requires else ())
    assert bool(level.byte_products) == ("avx512vnni" in level.requires)
    assert bool(level.least_word) == ("avx2" in level.requires)
    assert bool(level.byte_pairs) == ("avx2" in level.requires and not level.byte_products)
    assert bool(level.byte_shuffle(64)) == ("avx512vbmi" in level.requires)
    assert not level.bfloat16_products
    assert level.packs
    assert bool(level.masked_load(level.lanes, 4)) == ("avx2" in level.requires)
    assert bool(level.masked_load(level.lanes, 1)) == ("avx512bw" in level.requires)
    assert bool(level.masked_load(level.vector_bytes, 1)) == ("avx512bw" in level.requires)


def test_facts_of_aarch64() -> None:
    """The first version of the architecture has all of it, so no feature is required."""
    level = named("aarch64")
    assert (level.vector_bytes, level.n_registers, level.requires) == (16, 32, frozenset())
    assert level.fuses
    assert level.converts_half
    assert level.byte_shuffles == ((16, "llvm.aarch64.neon.tbl1.v16i8"),)
    lacks = (level.has_masks, level.paired_bytes, level.permutes, level.byte_products, level.packs)
    assert not any(lacks)
    assert not level.may_have_bfloat16


@pytest.mark.parametrize("level", EVERY)
def test_what_a_level_has_it_may_declare_and_requires(level: Target) -> None:
    for target in (level, *([level.with_bfloat16()] if level.may_have_bfloat16 else [])):
        assert set(instructions(target)) <= set(target.intrinsics)
        for intrinsic in target.intrinsics:
            assert needed(intrinsic) <= target.requires, intrinsic


@pytest.mark.parametrize("level", EVERY)
def test_look_ups(level: Target) -> None:
    for table, one in ((level.permutes, level.permute), (level.byte_shuffles, level.byte_shuffle)):
        assert [(entries, one(entries)) for entries, _ in table] == list(table)
        assert one(3) == ""


def test_a_level_with_products_of_bfloat16() -> None:
    level = named("x86-64-v4").with_bfloat16()
    assert level.requires == AVX512 | {BFLOAT16}
    assert level.features == "+prfchw,+avx512bf16"
    assert level.bfloat16_products == "llvm.x86.avx512bf16.dpbf16ps.512"
    with pytest.raises(TargetError, match="take an AVX-512 one"):
        named("x86-64-v3").with_bfloat16()


def test_openblas_has_a_cpu_of_every_level() -> None:
    """With MADDJIT_TARGET, tests take the machine for one of that level."""
    assert set(openblas.CORES) == set(LEVELS)


def host(*features: str, cpu: str = "somecpu", triple: str = "x86_64-pc-linux-gnu") -> Host:
    return Host(triple, cpu, frozenset(features), 2**20)


@pytest.mark.parametrize(
    ("features", "best"),
    [((), "x86-64"), (AVX2, "x86-64-v3"), (AVX512, "x86-64-v4"), (VBMI, "x86-64-v4-vbmi")],
)
def test_best_level(features: frozenset[str], best: str) -> None:
    assert resolve(None, host(*features)).name == best
    assert resolve("host", host(*features)).name == best


def test_one_missing_feature_lowers_the_level() -> None:
    assert resolve(None, host(*(AVX512 - {"avx512dq"}))).name == "x86-64-v3"
    with pytest.raises(TargetError, match="'x86-64-v4' needs avx512dq, which this machine"):
        resolve("x86-64-v4", host(*(AVX512 - {"avx512dq"})))


def test_code_is_scheduled_for_the_host() -> None:
    target = resolve(None, host(*AVX2, cpu="znver3"))
    assert (target.tune, target.cpu, target.triple) == (
        "znver3",
        "x86-64-v3",
        "x86_64-pc-linux-gnu",
    )


def test_architectures() -> None:
    arm = host(triple="aarch64-unknown-linux-gnu")
    assert [level.name for level in runnable(arm)] == ["aarch64"]
    assert missing_features(named("x86-64-v3"), arm) == ["x86_64"]
    with pytest.raises(TargetError, match="no target for riscv64"):
        resolve(None, host(triple="riscv64-linux-gnu"))


def test_unknown_name() -> None:
    with pytest.raises(TargetError, match=f"the targets are {LEVELS[0]}"):
        named("sse9")


PACKAGE = Path(maddjit.__file__).parent
MAY_READ = {
    "intrinsics": {"compiler/target.py", "compiler/llvm.py"},
    "requires": {
        "compiler/target.py",
        "compiler/fingerprint.py",  # which code a target gets
        "compiler/c_names.py",  # the others report it
        "cli/doctor.py",
    },
}
"""Modules that may read an attribute of targets from which facts could be concluded."""


NAME_OR_WIDTH = re.compile(r"([\w.]*[._])?(target|level)\.(name|vector_bytes)")


def compared(tree: ast.AST) -> list[ast.expr]:
    """Return the operands of all comparisons and the subjects of all `match` statements."""
    found: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            found += [node.left, *node.comparators]
        elif isinstance(node, ast.Match):
            found.append(node.subject)
    return found


def test_facts_about_cpus_are_asked_of_targets_only() -> None:
    """No module compares a level's name or width, or concludes from features what a CPU can do."""
    levels = {name for name in LEVELS if "-" in name}  # an architecture has the name of another
    modules = sorted(PACKAGE.rglob("*.py"))
    assert len(modules) > 100
    for path in modules:
        module, tree = path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in MAY_READ:
                assert module in MAY_READ[node.attr], f"{module} reads {ast.unparse(node)}"
        for part in compared(tree):
            text = ast.unparse(part)
            assert not NAME_OR_WIDTH.fullmatch(text), f"{module} compares {text}"
            constants = {node.value for node in ast.walk(part) if isinstance(node, ast.Constant)}
            assert not constants & levels, f"{module} compares with {text}"
