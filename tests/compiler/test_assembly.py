"""The assembly of every feature level: the instructions it exists for, no calls, no scalar code."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import maddjit
from maddjit.compiler.target import LEVELS, named
from tests.assembly import instructions, loops
from tests.random_models import random_model, with_short_list, with_trees


def emit(
    level: str, order: Any = "C", n_prototypes: int = 16, largest: int = 255, **options: Any
) -> str:
    model = random_model(
        0,
        n_features=512,
        n_codebooks=16,
        n_prototypes=n_prototypes,
        n_outputs=128,
        largest=largest,
        **options,
    )
    return maddjit.emit(model, level, order=order)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("order", ["C", "F", "strided"])
@pytest.mark.parametrize("n_prototypes", [16, 64])
def test_no_calls_at_any_level(level: str, order: str, n_prototypes: int) -> None:
    code = instructions(emit(level, order, n_prototypes))
    assert not any(name in ("call", "callq", "bl", "blr") for name, _ in code)
    jumps = [operands for name, operands in code if re.match(r"j|b(\.|$)|br$", name)]
    assert jumps
    assert all(".LBB" in operands for operands in jumps)  # also no tail call


@pytest.mark.parametrize(
    ("level", "register"), [("x86-64", "%xmm"), ("x86-64-v3", "%ymm"), ("x86-64-v4", "%zmm")]
)
def test_scan_adds_whole_vectors_of_table_rows(level: str, register: str) -> None:
    scans = [
        body
        for body in loops(emit(level, largest=15))
        if sum(name.endswith("paddb") for name, _ in body) >= 8
    ]
    assert scans
    width = {"%xmm": 16, "%ymm": 32, "%zmm": 64}[register]
    for scan in scans:
        adds = [operands for name, operands in scan if name.endswith("paddb")]
        assert all(register in operands for operands in adds)
        assert len(adds) == 15 * min(4, 128 // width)  # 16 codebooks, vectors side by side
        assert not any(name in ("addb", "addl", "imulq") for name, _ in scan)


@pytest.mark.parametrize(("level", "register"), [("x86-64-v3", "%ymm"), ("x86-64-v4", "%zmm")])
def test_encode_compares_vectors(level: str, register: str) -> None:
    for order in ("C", "F", "strided"):
        code = instructions(emit(level, order))
        compares = [operands for name, operands in code if re.match(r"vcmp\w+ps", name)]
        assert compares
        assert all(register in operands for operands in compares)
        assert not any(name.endswith("comiss") for name, _ in code)
        if order != "C":
            shuffles = [o for name, o in code if name in ("vpermilps", "vpermps", "vpermd")]
            assert any(register in operands for operands in shuffles)


def row_reads(body: list[tuple[str, str]], names: tuple[str, ...]) -> list[int]:
    """Return the offsets of the reads from a row, which have the most frequent base register."""
    found = [
        (match[2], int(match[1] or 0))
        for name, operands in body
        if name in names and (match := re.search(r"(-?\d*)\((%r\w+)\)", operands))
    ]
    (base, _), *_ = Counter(register for register, _ in found).most_common()
    return [offset for register, offset in found if register == base]


def encoder(level: str, split_dims: NDArray[np.integer]) -> list[tuple[str, str]]:
    model = random_model(0, n_features=512, n_codebooks=16, n_prototypes=16, n_outputs=128)
    assembly = maddjit.emit(with_trees(model, split_dims=split_dims), level)
    (body,) = [b for b in loops(assembly) if any(name.startswith("vcmp") for name, _ in b)]
    return body


def test_elements_of_a_row_are_read_in_ascending_order() -> None:
    within = np.random.default_rng(0).permuted(np.tile(np.arange(32), (16, 1)), axis=1)[:, :4]
    body = encoder("x86-64-v3", within + 32 * np.arange(16)[:, np.newaxis])
    offsets = row_reads(body, ("vmovss", "vinsertps"))
    assert len(offsets) == 16 * 4
    assert offsets == sorted(offsets)


def test_whole_lines_are_read_once_in_ascending_order() -> None:
    body = encoder("x86-64-v4", np.random.default_rng(0).integers(0, 512, (16, 4)))
    offsets = row_reads(body, ("vmovups", "vmovaps", "vpermt2ps", "vpermi2ps", "vblendps"))
    assert offsets == sorted(set(offsets))
    assert all(offset % 64 == 0 for offset in offsets)
    assert not any("rsp" in operands for _, operands in body)  # nothing is spilled
    assert 20 <= sum(name == "vpermt2ps" for name, _ in body) <= 45


@pytest.mark.parametrize("level", ["x86-64-v3", "x86-64-v4"])
@pytest.mark.parametrize("n_prototypes", [16, 64, 128])
def test_thresholds_come_from_registers(level: str, n_prototypes: int) -> None:
    names = [name for name, _ in instructions(emit(level, "F", n_prototypes))]
    assert not any("gather" in name for name in names)


@pytest.mark.parametrize(
    ("level", "dtype", "compare", "most"),
    [
        ("x86-64-v3", "float32", "vcmpleps", 68),
        ("x86-64-v4", "float32", "vcmpleps", 68),
        ("x86-64-v4-vbmi", "float32", "vcmpleps", 68),
        ("x86-64-v3", "int8", "vpcmpgtb", 26),
        ("x86-64-v3", "uint8", "vpcmpgtb", 30),
        ("x86-64-v4", "int8", "vpcmpltb", 26),
    ],
)
def test_columns_are_compared_where_they_lie(
    level: str, dtype: str, compare: str, most: int
) -> None:
    """The longest turn compares four columns, uses no other memory, and packs its codes once."""
    model = random_model(0, n_features=512, n_codebooks=16, n_prototypes=16, n_outputs=8)
    thresholds = np.abs(model.thresholds) + 1  # no row of bytes goes right at all of them
    model = with_trees(model, thresholds=np.where(thresholds < 9, thresholds, 9))
    code = maddjit.emit(model, level, dtype=dtype, order="F")
    found = [body for body in loops(code) if any(name == compare for name, _ in body)]
    turn = max(found, key=lambda body: sum(name == compare for name, _ in body))
    assert sum(name == compare for name, _ in turn) == (16 if dtype == "float32" else 4)
    assert len(turn) <= most
    assert not any("rsp" in operands for _, operands in turn)  # nothing is spilled
    reads = [operands for _, operands in turn if "(" in operands]
    assert len(reads) == (17 if dtype == "float32" else 5)  # and one store
    assert not any("cvt" in name for name, _ in turn)


def test_wide_sums_stay_in_vectors() -> None:
    bodies = loops(emit("x86-64-v3"))
    adds = [sum(name == "vpaddw" and "%ymm" in o for name, o in body) for body in bodies]
    assert max(adds) >= 60
    assert not any(name == "vpmovzxbw" for name, _ in bodies[adds.index(max(adds))])


def test_averages_are_one_instruction() -> None:
    code = instructions(emit("x86-64-v3", accumulate="average"))
    assert sum(name == "vpavgb" for name, _ in code) >= 15 * 128 // 32
    code = instructions(emit("aarch64", accumulate="average"))
    assert any(name == "urhadd" for name, _ in code)


def test_multiply_and_add_are_not_contracted() -> None:
    for level in LEVELS:
        names = [name for name, _ in instructions(emit(level))]
        fused = [name for name in names if "fmadd" in name or name == "fmla"]
        products = [name for name in names if re.fullmatch(r"v?mulps|fmul", name)]
        sums = [name for name in names if re.fullmatch(r"v?addps|fadd", name)]
        assert bool(fused) == named(level).fuses  # these scale spliced sums and add nothing
        assert len(fused + products) == len(sums) > 0


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("order", ["C", "F"])
def test_winners_are_settled_by_whole_vectors_and_no_calls(level: str, order: Any) -> None:
    """The loop over columns multiplies and adds 64 columns with as many vectors as hold them."""
    model = random_model(0, n_features=512, n_codebooks=16, n_prototypes=16, n_outputs=300)
    for k in (1, 3):
        code = maddjit.emit(
            with_short_list(model, k, 30), level, order=order, result="winners", coverage=0.5
        )
        assert not any(name in ("call", "callq", "bl", "blr") for name, _ in instructions(code))
        width = named(level).vector_bytes
        names = {"add": ("vaddps", "addps", "fadd"), "mul": ("vmulps", "mulps", "fmul")}
        found = []
        for body in loops(code):
            counts = {what: sum(name in known for name, _ in body) for what, known in names.items()}
            if counts["mul"]:
                found.append((counts["mul"], counts["add"]))
                assert not any("fma" in name or "fml" in name for name, _ in body)
        assert (256 // width, 256 // width) in found
