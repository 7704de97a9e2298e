"""Results whose columns are contiguous, and sums of every width: the scan by byte shuffles."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import maddjit
from maddjit import reference
from maddjit.arrays.formats import INPUTS, OUTPUTS, bfloat16_to_float32
from maddjit.compiler.maddness.planner import make_plan
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import named
from maddjit.models.maddness import MaddnessModel
from tests.assembly import loops, stack_accesses
from tests.conftest import RUNNABLE, same_bits
from tests.random_models import models, random_model, rows_for

DTYPES = {8: "uint8", 16: "uint16", 32: "int32"}


def assert_columns(op: maddjit.CompiledOperator, model: MaddnessModel, A: Any) -> None:
    expected, sums = reference.apply(model, A), reference.sums(model, A)
    out = np.full(expected.shape, np.nan, np.float32, order="F")
    assert op(A, out=out) is out
    assert same_bits(np.ascontiguousarray(out), expected)
    for bits, dtype in DTYPES.items():
        if bits >= op.plan.sum_bits:
            for order in "CF":
                given_out = np.zeros(sums.shape, dtype, order=order)  # type: ignore[call-overload]
                op.sums(A, out=given_out)
                assert (given_out == sums).all()


@pytest.mark.slow
@settings(max_examples=40)
@given(
    model=models(),
    n_rows=st.one_of(st.integers(0, 70), st.sampled_from([255, 256, 257, 1025])),
    order=st.sampled_from("CF"),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_any_model(
    model: MaddnessModel, n_rows: int, order: Any, seed: int, data: st.DataObject
) -> None:
    op = maddjit.compile(model, data.draw(st.sampled_from(RUNNABLE)), order=order)
    A = np.asarray(rows_for(model, n_rows, "float32", seed), order=order)
    assert_columns(op, model, A)


@pytest.mark.slow
@settings(max_examples=30)
@given(
    model=models(),
    dtype=st.sampled_from(sorted(INPUTS)),
    epilogue=st.builds(
        lambda dtype, low: maddjit.Epilogue(
            dtype, low=low, step=0.5 if dtype in ("int8", "uint8") else 1.0
        ),
        st.sampled_from(sorted(OUTPUTS)),
        st.sampled_from([-np.inf, 0.0]),
    ),
    order=st.sampled_from("CF"),
    out_order=st.sampled_from("CF"),
    n_rows=st.integers(1, 300),
    lines=st.sampled_from([None, True, False]),
    data=st.data(),
)
def test_every_way_of_every_format(
    model: MaddnessModel,
    dtype: str,
    epilogue: maddjit.Epilogue,
    order: Any,
    out_order: Any,
    n_rows: int,
    lines: bool | None,
    data: st.DataObject,
) -> None:
    rows = rows_for(model, n_rows, "float32", 0)
    form = INPUTS[dtype]
    if dtype == "bfloat16":
        A: Any = (rows.view(np.uint32) >> 16).astype(np.uint16)
        wide = bfloat16_to_float32(A)
    else:
        if form.dtype.kind in "iu":
            low = 0 if form.dtype.kind == "u" else -100
            rows = np.clip(np.nan_to_num(rows), low, 100)
        with np.errstate(over="ignore"):
            A = wide = rows.astype(form.dtype)
    op = maddjit.compile(
        model,
        data.draw(st.sampled_from(RUNNABLE)),
        dtype=dtype,
        epilogue=epilogue,
        choices=maddjit.Choices(lines=lines),
    )
    expected = reference.apply(model, wide, epilogue)
    out = np.empty(expected.shape, expected.dtype, order=out_order)
    op(np.asarray(A, order=order), out=out)
    assert same_bits(np.ascontiguousarray(out), expected)


@pytest.mark.parametrize("largest", [15, 255])
def test_every_small_number_of_rows(level: str, largest: int) -> None:
    model = random_model(
        1, n_features=9, n_codebooks=16, n_prototypes=16, n_outputs=37, largest=largest
    )
    op = maddjit.compile(model, level, order="F")
    for n_rows in range(1, 71):
        assert_columns(op, model, np.asfortranarray(rows_for(model, n_rows, "float32", n_rows)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_prototypes", "n_codebooks", "largest"),
    [
        *itertools.product([2, 4, 8, 16, 32, 64, 128, 256], [1, 16], [15]),
        *itertools.product([2, 4, 8, 16, 32, 64, 128, 256], [18], [30, 120, 255]),
        *itertools.product([2, 4, 8, 16], [300], [255]),
    ],
)
def test_every_table_and_width(
    level: str, n_prototypes: int, n_codebooks: int, largest: int
) -> None:
    model = random_model(
        n_prototypes,
        n_features=20,
        n_codebooks=n_codebooks,
        n_prototypes=n_prototypes,
        n_outputs=6,
        largest=largest,
    )
    op = maddjit.compile(model, level, order="F")
    assert_columns(op, model, np.asfortranarray(rows_for(model, 331, "float32", 1)))


@pytest.mark.parametrize("accumulate", ["exact", "average"])
@pytest.mark.parametrize("dtype", ["float64", "int8", "bfloat16"])
def test_formats_and_epilogues(level: str, accumulate: Any, dtype: str) -> None:
    model = random_model(
        5, n_features=20, n_codebooks=16, n_prototypes=16, n_outputs=9, accumulate=accumulate
    )
    epilogue = maddjit.Epilogue(low=0, dtype="uint8" if dtype == "int8" else dtype)
    op = maddjit.compile(model, level, epilogue=epilogue)
    A = rows_for(model, 100, "float32", 3)
    expected = reference.apply(model, A, epilogue)
    out = np.empty(expected.shape, expected.dtype, order="F")
    op(A, out=out)
    assert same_bits(np.ascontiguousarray(out), expected)


def test_out_of_every_layout(level: str) -> None:
    model = random_model(2, n_features=8, n_codebooks=4, n_prototypes=16, n_outputs=7)
    op = maddjit.compile(model, level)
    for n_rows in (1, 2, 65):
        A = rows_for(model, n_rows, "float32", 0)
        expected = reference.apply(model, A)
        big = np.zeros((4 * n_rows + 8, 40), np.float32)
        tall = np.zeros((40, 4 * n_rows + 8), np.float32)
        for memory, out in (
            (big, big[3 : 3 + n_rows, 5:12]),
            (tall, tall[5:12, 3 : 3 + n_rows].T),
            (tall, tall[11:4:-1, 3 : 3 + n_rows].T),
            (big, big[: 3 * n_rows : 3, ::5][:, :7]),
            (big, big[n_rows:0:-1, 5:12]),
            (tall, tall[3:10, n_rows:0:-1].T),
        ):
            memory[...] = 7
            op(A, out=out)
            assert same_bits(np.ascontiguousarray(out), expected)
            out[...] = 7
            assert (memory == 7).all()


def test_threads_write_their_own_rows(level: str) -> None:
    model = random_model(2, n_features=8, n_codebooks=4, n_prototypes=16, n_outputs=30)
    A = np.asfortranarray(rows_for(model, 9000, "float32", 0))
    out = np.empty((9000, 30), np.float32, order="F")
    op = maddjit.compile(model, level)
    op._least_rows = 100
    op(A, out=out, threads=3)
    assert same_bits(np.ascontiguousarray(out), reference.apply(model, A))


def test_sums_do_not_go_where_they_do_not_fit() -> None:
    model = random_model(2, n_features=8, n_codebooks=4, n_prototypes=16, n_outputs=7)
    op = maddjit.compile(model)
    A = rows_for(model, 5, "float32", 0)
    with pytest.raises(TypeError, match="uint16 or int32, not uint8"):
        op.sums(A, out=np.empty((5, 7), np.uint8))
    with pytest.raises(TypeError, match="not list"):
        op.sums(A, out=[0])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("level", "n_prototypes", "largest", "instruction"),
    [
        ("x86-64-v3", 16, 15, "vpshufb"),
        ("x86-64-v4", 16, 15, "vpshufb"),
        ("x86-64-v4-vbmi", 64, 15, "vpermb"),
        ("x86-64-v4-vbmi", 16, 255, "vpdpbusd"),
    ],
)
def test_the_instruction_each_scan_is_for(
    level: str, n_prototypes: int, largest: int, instruction: str
) -> None:
    model = random_model(
        0, n_features=512, n_codebooks=16, n_prototypes=n_prototypes, n_outputs=64, largest=largest
    )
    assembly = maddjit.emit(model, level, order="F", result="sums", out_order="F")
    scans = [body for body in loops(assembly) if sum(name == instruction for name, _ in body) >= 8]
    assert scans
    assert not any(stack_accesses(scan, assembly) for scan in scans)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "uint8"])
@pytest.mark.parametrize("n_outputs", [1, 16, 37])
def test_rows_become_columns_where_no_byte_shuffle_is(
    level: str, dtype: str, n_outputs: int
) -> None:
    model = random_model(
        2, n_features=8, n_codebooks=4, n_prototypes=256, n_outputs=n_outputs, largest=60
    )
    epilogue = maddjit.Epilogue(dtype=dtype)
    op = maddjit.compile(model, level, epilogue=epilogue)
    for n_rows in (1, 65, 700):
        A = np.asfortranarray(rows_for(model, n_rows, "float32", 0))
        expected = reference.apply(model, A, epilogue)
        out = np.zeros(expected.shape, expected.dtype, order="F")
        op(A, out=out)
        assert same_bits(np.ascontiguousarray(out), expected)
    assert_columns(maddjit.compile(model, level), model, A)
    plan = op.kernel(order="F", out_order="F").plan
    assert (plan.columns, plan.scan and bool(plan.scan.turn)) == (None, True)


def test_only_outputs_and_sums_come_by_columns() -> None:
    model = random_model(2, n_features=8, n_codebooks=4, n_prototypes=64, n_outputs=7)
    with pytest.raises(ValueError, match="no kernel for columns of codes"):
        make_plan(model, named("x86-64-v3"), Signature(result="codes", out_order="F"))


@pytest.mark.quick(2)
@pytest.mark.parametrize(("n_codebooks", "group"), [(24, 12), (30, 6), (30, 5), (48, 24), (25, 3)])
def test_groups_are_not_cut_across_their_bounds(level: str, n_codebooks: int, group: int) -> None:
    model = random_model(
        2, n_features=30, n_codebooks=n_codebooks, n_prototypes=16, n_outputs=5, largest=1
    )
    tables = np.array(model.tables)
    # Each group's sum can be 255, made of its last codebooks and, in the next group, its first.
    half = max(1, group // 2)
    for first in range(0, n_codebooks, group):
        own = slice(first + group - half, first + group)
        if first // group % 2:
            own = slice(first, first + half)
        tables[own, :, :] = (255 - group) // half
    model = replace(model, tables=tables)
    op = maddjit.compile(model, level, order="F")
    assert op.plan.group >= group
    assert_columns(op, model, np.asfortranarray(rows_for(model, 130, "float32", 1)))


def test_each_kernel_is_compiled_when_it_is_needed_and_reported() -> None:
    model = random_model(2, n_features=8, n_codebooks=4, n_prototypes=16, n_outputs=7)
    op = maddjit.compile(model)
    A = np.asfortranarray(rows_for(model, 70, "float32", 1))
    for dtype in ("uint16", "int32"):
        op.sums(A, out=np.empty((70, 7), dtype, order="F"))
    names = set(op.report.kernels)
    assert len(names) == 3
    assert "float32 F → uint16 sums by columns" in names
    assert "float32 F → int32 sums by columns" in names


@pytest.mark.parametrize("n_codebooks", [2, 4, 8, 16])
@pytest.mark.parametrize("entries", [(255,), (0, 255), (0, 1, 254, 255), (127, 128, 129)])
def test_sums_at_the_ends_of_their_range(
    level: str, n_codebooks: int, entries: tuple[int, ...]
) -> None:
    model = random_model(3, n_features=20, n_codebooks=n_codebooks, n_prototypes=16, n_outputs=5)
    tables = np.random.default_rng(n_codebooks).choice(entries, model.tables.shape)
    model = replace(model, tables=tables)
    op = maddjit.compile(model, level, order="F")
    A = np.asfortranarray(rows_for(model, 300, "float32", 2))
    expected = reference.sums(model, A)
    out = np.zeros(expected.shape, DTYPES[op.plan.sum_bits], order="F")
    op.sums(A, out=out)
    assert (out == expected).all()
