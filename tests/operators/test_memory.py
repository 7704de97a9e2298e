"""Nothing is read or written outside A, Y and the workspace: guard pages and guard bytes."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import maddjit
from maddjit import Choices, reference
from maddjit.arrays.formats import bfloat16_to_float32
from maddjit.operators.runner import Runner
from tests.conftest import same_bits
from tests.random_models import random_model, rows_for

PAGE = mmap.PAGESIZE


@contextmanager
def between_guards(size: int, at_end: bool) -> Iterator[NDArray[np.uint8]]:
    """Yield `size` bytes that end (or begin) at a page that may be neither read nor written."""
    pages = -(-size // PAGE)
    area = mmap.mmap(-1, (pages + 2) * PAGE)
    base = ctypes.addressof(ctypes.c_char.from_buffer(area))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    guards = (base, base + (pages + 1) * PAGE)
    for guard in guards:
        assert protect(guard, PAGE, 0) == 0
    start = PAGE + (pages * PAGE - size if at_end else 0)
    try:
        yield np.frombuffer(area, np.uint8, size, start)
    finally:
        for guard in guards:
            assert protect(guard, PAGE, mmap.PROT_READ | mmap.PROT_WRITE) == 0


@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_guard_pages_around_A_and_out(level: str, at_end: bool, order: Any, dtype: str) -> None:
    model = random_model(1, n_features=19, n_codebooks=7, n_prototypes=16, n_outputs=37)
    op = maddjit.compile(model, level, dtype=dtype, order=order)
    for n_rows in (1, 5, 16, 23, 300):
        rows = rows_for(model, n_rows, dtype, n_rows)
        with (
            between_guards(rows.nbytes, at_end) as memory_A,
            between_guards(n_rows * 37 * 4, at_end) as memory_Y,
        ):
            A = memory_A.view(dtype).reshape(rows.shape, order=order)
            A[...] = rows
            out = memory_Y.view(np.float32).reshape(n_rows, 37)
            op(A, out=out)
            assert same_bits(out, reference.apply(model, rows))


@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_guard_pages_around_lines(level: str, at_end: bool, dtype: str) -> None:
    model = random_model(1, n_features=19, n_codebooks=18, n_prototypes=16, n_outputs=37)
    op = maddjit.compile(model, level, dtype=dtype, choices=maddjit.Choices(lines=True))
    bits = np.uint16 if dtype == "bfloat16" else np.float32
    for n_rows in (1, 5, 300):
        rows = rows_for(model, n_rows, "float32", n_rows)
        if dtype == "bfloat16":
            rows = (rows.view(np.uint32) >> 16).astype(np.uint16)
        with between_guards(rows.nbytes, at_end) as memory_A:
            A = memory_A.view(bits).reshape(rows.shape)
            A[...] = rows
            wide = bfloat16_to_float32(rows) if dtype == "bfloat16" else rows
            assert same_bits(op(A), reference.apply(model, wide))


@pytest.mark.quick(4)
@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("n_prototypes", [16, 64])
@pytest.mark.parametrize("largest", [255, 30])
def test_guard_pages_around_columns(
    level: str, at_end: bool, n_prototypes: int, largest: int
) -> None:
    model = random_model(
        1, n_features=19, n_codebooks=7, n_prototypes=n_prototypes, n_outputs=6, largest=largest
    )
    op = maddjit.compile(model, level, order="F")
    for n_rows in (1, 2, 5, 15, 16, 27, 31, 53, 64, 300, 1030):
        rows = rows_for(model, n_rows, "float32", n_rows)
        with (
            between_guards(rows.nbytes, at_end) as memory_A,
            between_guards(n_rows * 6 * 4, at_end) as memory_Y,
        ):
            A = memory_A.view(np.float32).reshape(rows.shape, order="F")
            A[...] = rows
            out = memory_Y.view(np.float32).reshape((n_rows, 6), order="F")
            op(A, out=out)
            assert same_bits(np.ascontiguousarray(out), reference.apply(model, rows))
            sums = memory_Y.view(np.int32).reshape((n_rows, 6), order="F")
            op.sums(A, out=sums)
            assert (sums == reference.sums(model, rows)).all()


@pytest.mark.quick(6)
@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8"])
def test_guard_pages_around_encoded_columns(level: str, at_end: bool, dtype: str) -> None:
    model = random_model(1, n_features=5, n_codebooks=7, n_prototypes=16, n_outputs=6, largest=9)
    op = maddjit.compile(model, level, dtype=dtype, order="F", choices=Choices(row_block=64))
    for n_rows in (1, 5, 15, 17, 31, 33, 63, 65, 100, 129, 300):
        rows = np.random.default_rng(0).integers(-2, 3, (n_rows, 5)).astype(dtype)
        with (
            between_guards(rows.nbytes, at_end) as memory_A,
            between_guards(n_rows * 7, at_end) as memory_Y,
        ):
            A = memory_A.view(dtype).reshape(rows.shape, order="F")
            A[...] = rows
            out = memory_Y.reshape(n_rows, 7)
            op.encode(A, out=out)
            assert same_bits(out, reference.encode(model, rows))


@pytest.mark.quick(9)
@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("order", ["C", "F", "strided"])
@pytest.mark.parametrize(
    ("result", "out_order", "k"),
    [
        ("outputs", "C", 1),
        ("outputs", "F", 1),
        ("sums", "F", 1),
        ("codes", "C", 1),
        ("argmax", "C", 1),
        ("argmax", "C", 3),
    ],
)
def test_guard_pages_around_the_workspace(
    level: str, at_end: bool, order: Any, result: Any, out_order: Any, k: int
) -> None:
    model = random_model(3, n_features=19, n_codebooks=7, n_prototypes=16, n_outputs=37)
    op = maddjit.compile(model, level)
    runner = op._runner_for("float32", order, result, out_order, "int32", k)
    block = runner.kernel.plan.row_block
    for n_rows in (1, 63, block, block + 1):
        rows = in_order(rows_for(model, n_rows, "float32", n_rows), order)
        width = {"codes": op.model.n_codebooks, "argmax": k}.get(result, 37)
        assert_stays_inside(
            runner, rows, np.zeros((n_rows, width), runner.dtype, out_order), at_end
        )


@pytest.mark.quick(4)
@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("order", ["C", "F", "strided"])
@pytest.mark.parametrize("kind", ["core", "tiles"])
def test_guard_pages_around_workspaces_of_other_kinds(
    level: str, at_end: bool, order: Any, kind: str
) -> None:
    rng = np.random.default_rng(0)
    if kind == "tiles":
        op: Any = maddjit.compile(maddjit.fit_strassen_tile(np.ones((19, 37)), tile=2), level)
    else:
        model = random_model(3, n_features=19, n_codebooks=7, n_prototypes=16, n_outputs=37)
        parts = (rng.standard_normal(shape).astype(np.float32) for shape in ((19, 3), (3, 37)))
        op = maddjit.compile(replace(model, core=maddjit.LowRankCore(*parts)), level)
    runner = op._runner(op.kernel("float32", order).plan.signature)
    for n_rows in (1, 63, 300):
        rows = in_order(rng.standard_normal((n_rows, 19)).astype(np.float32), order)
        assert_stays_inside(runner, rows, np.zeros((n_rows, 37), np.float32), at_end)


def in_order(rows: NDArray[Any], order: str) -> NDArray[Any]:
    """Return rows whose rows are contiguous, or columns, or neither."""
    if order == "strided":
        return np.repeat(rows, 2, axis=1)[:, ::2]
    return np.asarray(rows, order="F" if order == "F" else "C")


def assert_stays_inside(
    runner: Runner, rows: NDArray[Any], out: NDArray[Any], at_end: bool
) -> None:
    """Run a kernel whose workspace ends, or begins, at a page that it may not touch."""
    with between_guards(runner.workspace_bytes, at_end) as workspace:
        runner._spare[:] = [workspace]
        runner(rows, out)
        assert runner._spare.pop() is workspace


@pytest.mark.parametrize("n_outputs", [1, 5, 31, 33, 100])
def test_guard_bytes_between_rows_of_out(level: str, n_outputs: int) -> None:
    model = random_model(2, n_features=8, n_codebooks=4, n_prototypes=16, n_outputs=n_outputs)
    op = maddjit.compile(model, level)
    A = rows_for(model, 77, "float32", 3)
    memory = np.full((79, n_outputs + 9), -7.0, np.float32)
    out = memory[1:-1, 4 : 4 + n_outputs]
    assert op(A, out=out) is out
    assert same_bits(out.copy(), reference.apply(model, A))
    memory[1:-1, 4 : 4 + n_outputs] = -7.0
    assert (memory == -7.0).all()


@pytest.mark.parametrize(
    "view",
    [
        lambda Y: np.asfortranarray(Y),
        lambda Y: np.repeat(Y, 2, axis=1)[:, ::2],
        lambda Y: Y[::-1],
        lambda Y: Y[:, ::-1],
    ],
    ids=["F", "every other column", "reversed rows", "reversed columns"],
)
def test_out_in_any_layout(level: str, view: Any) -> None:
    model = random_model(3, n_features=8, n_codebooks=4, n_prototypes=16, n_outputs=21)
    A = rows_for(model, 50, "float32", 4)
    out = view(np.zeros((50, 21), np.float32))
    assert maddjit.compile(model, level)(A, out=out) is out
    assert same_bits(np.ascontiguousarray(out), reference.apply(model, A))


def test_out_may_overlap_A(level: str) -> None:
    model = random_model(4, n_features=16, n_codebooks=4, n_prototypes=16, n_outputs=16)
    A = rows_for(model, 40, "float32", 5)
    expected = reference.apply(model, A)
    assert same_bits(maddjit.compile(model, level)(A, out=A), expected)
