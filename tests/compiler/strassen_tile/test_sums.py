"""Linear maps as sums: every term once, in the order of the inputs, and in registers."""

from __future__ import annotations

import re
import struct
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import maddjit
from maddjit.compiler.signature import Signature
from maddjit.compiler.strassen_tile import settings
from maddjit.compiler.strassen_tile.planner import make_tile_plan
from maddjit.compiler.strassen_tile.sums import Sums, sums_of
from maddjit.compiler.target import LEVELS, named
from maddjit.models import schemes
from maddjit.models.strassen_tile import StrassenTileModel
from tests.assembly import loops, stack_accesses
from tests.operators.test_strassen_tile import some_model, some_scheme


def value_of(block: Sums, x: np.ndarray) -> dict[int, float]:
    """Return the results of a block, computed step by step."""
    values: dict[str, float] = {}
    steps = list(block.begun)
    for turn in block.turns:
        values[turn.name] = float(x[turn.input])
        steps += turn.steps
    for step in steps:
        left, right = values.get(step.left, 0.0), values.get(step.right, 0.0)
        factor = struct.unpack(">d", int(step.factor or "0", 16).to_bytes(8, "big"))[0]
        values[step.new] = {
            "add": left + right,
            "subtract": left - right,
            "scale": left * factor,
            "add scaled": left * factor + right,
            "negate": -left,
            "zero": 0.0,
        }[step.kind]
    return {number: values[name] for number, name in block.results}


@given(
    st.integers(1, 9).flatmap(
        lambda n: st.lists(
            st.lists(st.sampled_from([0, 1, -1, 2, 0.5]), min_size=n, max_size=n),
            min_size=1,
            max_size=9,
        )
    ),
    st.integers(1, 6),
)
def test_results_are_the_products(rows: list[list[float]], most: int) -> None:
    matrix = np.array(rows, np.float32)
    x = 3.0 ** np.arange(matrix.shape[1])
    blocks = sums_of(matrix, most)
    found = {i: y for block in blocks for i, y in value_of(block, x).items()}
    assert found == dict(enumerate((matrix.astype(np.float64) @ x).tolist()))
    sizes = [len(block.results) for block in blocks]
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    for block in blocks:
        inputs = [turn.input for turn in block.turns]
        assert inputs == sorted(set(inputs))


def dense() -> StrassenTileModel:
    rng = np.random.default_rng(0)
    shapes = (24, 16), (24, 16), (16, 24)
    factors = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    return some_model(schemes.BilinearScheme("dense", (4, 4, 4), *factors), 256, 256)


def test_sums_are_for_maps_that_share_no_pairs() -> None:
    for level in map(named, LEVELS):
        plan = make_tile_plan(dense(), level, Signature())
        for part in (plan.encode, plan.decode):
            for block in part.sums:
                sums = part.vectors * len(block.results)
                assert sums <= settings.MOST_SUMS
                assert sums + part.vectors < level.n_registers
        assert sorted(i for b in plan.encode.sums for i, _ in b.results) == list(range(24))
        assert sorted(i for b in plan.decode.sums for i, _ in b.results) == list(range(16))
        for name in ("plain", "strassen", "strassen twice"):
            exact = make_tile_plan(some_model(some_scheme(name), 64, 64), level, Signature())
            assert not exact.encode.sums
            assert not exact.decode.sums


@pytest.mark.parametrize("level", [name for name in LEVELS if named(name).fuses])
@pytest.mark.parametrize("name", ["encode", "decode"])
def test_dense_maps_multiply_and_hardly_spill(level: str, name: str) -> None:
    plan = make_tile_plan(dense(), named(level), Signature())
    part = plan.encode if name == "encode" else plan.decode
    code = maddjit.emit(dense(), level)
    match = re.search(rf'^"?{name}"?:', code, re.MULTILINE)
    assert match
    own = code[match.start() : code.index(".Lfunc_end", match.start())]
    loop = max(loops(own), key=len)
    counts = Counter(instruction for instruction, _ in loop)
    products = sum(counts[kind] for kind in ("vfmadd231ps", "vmulps", "fmla", "fmul"))
    assert products == 24 * 16 * part.vectors
    fetches = sum(counts[kind] for kind in ("prefetcht0", "prefetchw", "prfm"))
    assert fetches == 16 * part.fetched_lines
    assert len(stack_accesses(loop, own)) <= 0.1 * len(loop)  # factors on aarch64, few elsewhere
