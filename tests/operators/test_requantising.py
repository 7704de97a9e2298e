"""Results that are requantised in integers: the bits of the definition, in every kernel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import maddjit
from maddjit import reference
from maddjit.compiler import llvm
from maddjit.compiler.maddness.planner import make_plan
from maddjit.compiler.render import render
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import LEVELS, named
from maddjit.models.maddness import MaddnessModel
from tests.assembly import instructions, loops, stack_accesses
from tests.conftest import RUNNABLE, same_bits
from tests.operators.test_emulated_levels import operator as emulated_operator
from tests.random_models import random_model, with_trees

DTYPES = ("int8", "uint8")
WORDS = [name for name in LEVELS if named(name).words]


def requantised(model: MaddnessModel, dtype: str, gain: float, **limits: float) -> tuple[Any, Any]:
    """Return the model with scales above 0, and an epilogue.

    The least sum is less than the smallest result, and the largest one is `gain` times as far away
    as the largest result.
    """
    largest = int(model.tables.max(axis=1).sum(axis=0, dtype=np.int64).max())
    rng = np.random.default_rng(largest)
    step = 0.125
    scale = np.minimum(gain * 300 * step / max(largest, 1), 0.999 * step)
    scale = scale * rng.uniform(0.2, 1, model.n_outputs)
    offset = -scale * largest * rng.uniform(0.3, 0.7, model.n_outputs)
    zero_point = -5 if dtype == "int8" else 100
    epilogue = maddjit.Epilogue(
        dtype, step=step, zero_point=zero_point, arithmetic="integer", **limits
    )
    made = replace(model, scale=scale.astype(np.float32), offset=offset.astype(np.float32))
    return made, epilogue


def bytes_model(
    seed: int, n_codebooks: int, n_prototypes: int, n_outputs: int, **options: Any
) -> MaddnessModel:
    """Return a model whose thresholds are among the bytes of int8."""
    model = random_model(
        seed,
        n_features=23,
        n_codebooks=n_codebooks,
        n_prototypes=n_prototypes,
        n_outputs=n_outputs,
        **options,
    )
    thresholds = np.random.default_rng(seed).integers(-127, 128, model.thresholds.shape)
    return with_trees(model, thresholds=thresholds.astype(np.float32))


def rows(n_rows: int, n_features: int, order: Any = "F") -> Any:
    rng = np.random.default_rng(n_rows)
    A = rng.integers(-128, 128, (n_rows, n_features), dtype=np.int8)
    return np.asarray(A, order=order)


def assert_requantised(op: Any, model: MaddnessModel, epilogue: Any, A: Any) -> None:
    expected = reference.apply(model, A, epilogue)
    for order in "FC":
        out = np.empty(expected.shape, expected.dtype, order=order)  # type: ignore[call-overload]
        out[...] = 77
        op(A, out=out)
        assert same_bits(np.ascontiguousarray(out), expected)


@pytest.mark.quick(4)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("n_codebooks", "largest"),
    [(1, 255), (2, 127), (3, 255), (8, 31), (16, 255), (24, 15), (33, 60), (128, 255), (257, 255)],
)
def test_every_way_of_adding(level: str, n_codebooks: int, largest: int, dtype: str) -> None:
    """Sums of 8 bits, residues, groups, words and quads, with sums above 32767 and without."""
    model = bytes_model(n_codebooks, n_codebooks, 16, 11, largest=largest)
    for gain, limits in ((1.0, {}), (4.0, {"low": -1.0, "high": 9.0}), (0.02, {"low": 0.0})):
        wanted, epilogue = requantised(model, dtype, gain, **limits)
        op = maddjit.compile(wanted, level, dtype="int8", order="F", epilogue=epilogue)
        for n_rows in (1, 5, 31, 64, 100, 259):
            assert_requantised(op, wanted, epilogue, rows(n_rows, 23))


@pytest.mark.quick(4)
@pytest.mark.parametrize("n_prototypes", [2, 4, 8, 16, 32, 64, 128, 256])
def test_every_table(level: str, n_prototypes: int) -> None:
    model = bytes_model(n_prototypes, 20, n_prototypes, 37)
    wanted, epilogue = requantised(model, "int8", 1.5)
    for order in "FC":
        op = maddjit.compile(wanted, level, dtype="int8", order=order, epilogue=epilogue)
        for n_rows in (1, 70, 200):
            assert_requantised(op, wanted, epilogue, rows(n_rows, 23, order))


@pytest.mark.parametrize("n_codebooks", [16, 40])
def test_every_small_number_of_rows(level: str, n_codebooks: int) -> None:
    model, epilogue = requantised(bytes_model(1, n_codebooks, 16, 9), "int8", 2.0)
    op = maddjit.compile(model, level, dtype="int8", order="F", epilogue=epilogue)
    for n_rows in range(1, 201):
        A = rows(n_rows, 23)
        expected = reference.apply(model, A, epilogue)
        memory = np.full((9, n_rows + 66), 77, np.int8)
        out = memory[:, 33 : 33 + n_rows].T
        op(A, out=out)
        assert (out == expected).all()
        out[...] = 77
        assert (memory == 77).all()


@pytest.mark.slow
@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_codebooks=st.one_of(st.integers(1, 40), st.integers(1, 257)),
    n_prototypes=st.sampled_from([2, 4, 8, 16, 16, 16, 32, 64, 256]),
    n_outputs=st.integers(1, 40),
    group=st.sampled_from([1, 1, 2, 5, 8, 16, 24]),
    accumulate=st.sampled_from(["exact", "exact", "average"]),
    dtype=st.sampled_from(DTYPES),
    inputs=st.sampled_from(["int8", "float32"]),
    gain=st.sampled_from([0.001, 0.3, 1.0, 10.0]),
    low=st.sampled_from([-np.inf, -3.0, 0.0, 50.0]),
    n_rows=st.integers(1, 300),
    level=st.sampled_from(RUNNABLE),
)
def test_any_model(
    seed: int,
    n_codebooks: int,
    n_prototypes: int,
    n_outputs: int,
    group: int,
    accumulate: Any,
    dtype: str,
    inputs: str,
    gain: float,
    low: float,
    n_rows: int,
    level: str,
) -> None:
    model = bytes_model(
        seed, n_codebooks, n_prototypes, n_outputs, largest=255 // group, accumulate=accumulate
    )
    wanted, epilogue = requantised(model, dtype, gain, low=low)
    op = maddjit.compile(wanted, level, dtype=inputs, order="F", epilogue=epilogue)
    assert_requantised(op, wanted, epilogue, rows(n_rows, 23).astype(inputs, order="F"))


@pytest.mark.quick(2)
@pytest.mark.parametrize("level", [name for name in WORDS if name.startswith("x86")])
@pytest.mark.parametrize(("n_codebooks", "largest"), [(16, 255), (40, 30), (150, 255), (8, 9)])
def test_emulated(level: str, n_codebooks: int, largest: int) -> None:
    """What each instruction is taken to do gives the bits of the definition as well."""
    model = bytes_model(1, n_codebooks, 16, 9, largest=largest)
    for dtype in DTYPES:
        wanted, epilogue = requantised(model, dtype, 2.0, high=10.0)
        op = emulated_operator(wanted, level, "int8", epilogue=epilogue)
        assert_requantised(op, wanted, epilogue, rows(150, 23))


@pytest.mark.parametrize("level", WORDS)
@pytest.mark.parametrize(
    ("n_codebooks", "largest"), [(64, 255), (64, 31), (64, 15), (128, 255), (16, 255), (16, 15)]
)
def test_assembly(level: str, n_codebooks: int, largest: int) -> None:
    """Sums stay words until they are packed; no loop that looks codes up touches the stack."""
    wanted, epilogue = requantised(bytes_model(0, n_codebooks, 16, 64, largest=largest), "int8", 1)
    signature = Signature("int8", "F", "outputs", epilogue, "F")
    plan = make_plan(wanted, named(level), signature)
    assert plan.columns
    assert plan.columns.words
    plan = replace(plan, columns=replace(plan.columns, few=None), scan=None)  # scans by rows aside
    assembly = llvm.to_text(render(plan), plan.target, "assembly")
    products = [o for name, o in instructions(assembly) if "mulhrs" in name or name == "sqrdmulh"]
    assert products
    scans = [
        body
        for body in loops(assembly)
        if any(name.startswith(("vpshufb", "vpermb", "tbl")) for name, _ in body)
        and not any(name.startswith(("vpcmpgt", "vpcmplt", "cmgt")) for name, _ in body)
    ]
    assert scans
    assert not [stack_accesses(body, assembly) for body in scans if stack_accesses(body, assembly)]
