"""The generated CPython function: runs the kernels it has, declines the rest, leaks nothing."""

from __future__ import annotations

import array
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import maddjit
from maddjit import reference
from maddjit.models.maddness import MaddnessModel
from maddjit.operators import fastcall
from maddjit.operators.fastcall import FastCall
from tests.conftest import same_bits
from tests.operators.test_memory import between_guards
from tests.random_models import random_model, rows_for, with_short_list

pytestmark = pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="the function is for CPython"
)


@pytest.fixture
def model() -> MaddnessModel:
    return random_model(0, n_features=12, n_codebooks=6, n_prototypes=16, n_outputs=10)


@pytest.fixture
def call(model: MaddnessModel) -> Any:
    op = maddjit.compile(model)
    return op._outputs.call


def test_calls_within_fast_calls_are_general(call: Any) -> None:
    """Without this the tests below would compare the general way with itself."""
    assert call is not fastcall.declines


@pytest.mark.parametrize("n_rows", [0, 1, 2, 31, 32, 33, 300])
def test_takes_rows(call: Any, model: MaddnessModel, n_rows: int) -> None:
    A = rows_for(model, n_rows, "float32", 1)
    expected = reference.apply(model, A)
    assert same_bits(call(A), expected)
    assert same_bits(call(A, None), expected)
    out = np.empty((n_rows, 10), np.float32)
    assert call(A, out) is out
    assert same_bits(out, expected)
    wide = np.hstack([A, A])
    assert same_bits(call(wide[:, :12]), expected)
    assert same_bits(call(A[::-1]), expected[::-1])


def test_takes_one_row(call: Any, model: MaddnessModel) -> None:
    row = rows_for(model, 1, "float32", 1)[0]
    out = np.empty(10, np.float32)
    assert same_bits(call(row), reference.apply(model, row))
    assert call(row, out) is out
    assert same_bits(out, reference.apply(model, row))


def test_other_buffers_and_subclasses_go_the_general_way(call: Any, model: MaddnessModel) -> None:
    row = rows_for(model, 1, "float32", 1)[0]
    op = maddjit.compile(model)
    for other in (memoryview(row), array.array("f", row), row.view(np.memmap)):
        assert call(other) is None
        assert same_bits(op(other), reference.apply(model, row))
    assert call(np.ma.masked_array(row)) is None


def declined() -> list[tuple[Any, ...]]:
    A = np.zeros((5, 12), np.float32)
    Y = np.zeros((5, 10), np.float32)
    read_only = Y.copy()
    read_only.flags.writeable = False
    memory = np.zeros(200, np.float32)
    return [
        (),
        (A, Y, Y),
        (None,),
        ([[0.0] * 12],),
        (b"x" * 48,),
        (A.astype(np.float64),),
        (A.astype(np.int32),),
        (A.astype(">f4"),),
        (A.astype(np.complex64),),
        (A[:, :11],),
        (np.zeros(11, np.float32),),
        (np.float32(1),),
        (np.zeros((2, 3, 12), np.float32),),
        (np.zeros((5, 12), [("a", "f4")]),),
        (np.zeros(5, [("a", "f4", 12)]),),
        (np.asfortranarray(A),),
        (np.zeros((5, 24), np.float32)[:, ::2],),
        (np.zeros(12 * 4 + 1, np.uint8)[1:].view(np.float32),),
        (A, Y.astype(np.float64)),
        (A, read_only),
        (A, Y[:4]),
        (A, Y[0]),
        (A[0], Y[:1]),
        (A, np.asfortranarray(Y)),
        (A, np.broadcast_to(Y[:1], (5, 10))),
        (A, np.lib.stride_tricks.as_strided(Y, (5, 10), (4, 4))),
        (A, Y.view(np.memmap)),
        (A, memoryview(Y)),
        (memory[:60].reshape(5, 12), memory[50:100].reshape(5, 10)),
        (memory[40:100].reshape(5, 12), memory[:50].reshape(5, 10)),
        (memory[59::-1].reshape(5, 12), memory[50:100].reshape(5, 10)),
    ]


@pytest.mark.parametrize("arguments", declined(), ids=range(len(declined())))
def test_declines_the_rest(call: Any, arguments: tuple[Any, ...]) -> None:
    arrays = [argument for argument in arguments if isinstance(argument, np.ndarray)]
    before = [sys.getrefcount(A) for A in arrays]
    for _ in range(50):
        assert call(*arguments) is None
    assert [sys.getrefcount(A) for A in arrays] == before


Method = Callable[..., Any]
METHODS: dict[str, tuple[str, tuple[str, ...], Method]] = {
    "outputs": ("plain", ("float32",), lambda op, A, out: op(A, out)),
    "sums": ("plain", ("int32", "uint16", "uint8"), lambda op, A, out: op.sums(A, out)),
    "codes": ("plain", ("uint8",), lambda op, A, out: op.encode(A, out)),
    "argmax": ("plain", (), lambda op, A, _: op.argmax(A)),
    "topk": ("plain", (), lambda op, A, _: op.topk(A, 3)),
    "bytes": ("bytes", ("int8",), lambda op, A, out: op(A, out)),
    "winner": ("winner", (), lambda op, A, _: op(A)),
    "winners": ("winners", (), lambda op, A, _: op(A)),
    "tiles": ("tiles", ("float32",), lambda op, A, out: op(A, out)),
}
"""Each method with a fast call: its operator, the dtypes that its results may have, how to call."""


def operator(kind: str, level: str | None = None) -> Any:
    """Return an operator of one of the kinds above, for rows of 12 columns."""
    model = random_model(0, n_features=12, n_codebooks=6, n_prototypes=16, n_outputs=10, largest=40)
    if kind == "tiles":
        B = np.random.default_rng(0).standard_normal((12, 10))
        return maddjit.compile(maddjit.fit_strassen_tile(B, tile=2), level)
    if kind in ("winner", "winners"):
        k, result = (1, "argmax") if kind == "winner" else (3, "topk")
        short = with_short_list(model, k, 20)
        return maddjit.compile(short, level, result=result, coverage=0.5)
    epilogue = maddjit.Epilogue("int8") if kind == "bytes" else None
    return maddjit.compile(model, level, epilogue=epilogue)


def generally(op: Any) -> Any:
    """Return an operator that shares the kernels of another one, and has no fast calls."""
    other = object.__new__(type(op))
    other.__dict__.update(op.__dict__, _topk={})
    for name, value in vars(op).items():
        if isinstance(value, FastCall):
            other.__dict__[name] = FastCall(op.target, 12, value.results, False, is_used=False)
    if not hasattr(op, "_topk"):
        del other.__dict__["_topk"]
    else:
        results = replace(op._argmax.results, width=3)
        other._topk[3] = FastCall(op.target, 12, results, False, is_used=False)
    return other


def laid_out(values: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Return numbers, of one or two axes, in memory as it might be."""
    kind = rng.integers(9)
    if kind == 0:
        return np.asfortranarray(values)
    if kind == 1:
        return np.repeat(values, 2, axis=-1)[..., ::2]
    if kind == 2:
        return values[::-1].copy()[::-1]
    if kind == 3:
        return values[..., ::-1].copy()[..., ::-1]
    if kind == 4:
        return np.asfortranarray(np.repeat(values, 2, axis=0))[: len(values)]
    if kind == 5 and values.dtype != object:
        memory = np.empty(values.nbytes + 1, np.uint8)[1:]
        apart: NDArray[Any] = memory.view(values.dtype).reshape(values.shape)
        apart[...] = values
        return apart
    if kind == 6 and values.ndim == 2 and len(values):
        return np.broadcast_to(values[:1], values.shape)
    return values


def odd(rng: np.random.Generator, dtypes: tuple[str, ...], width: int, n_rows: int) -> Any:
    """Return an argument that is usually an array of one of the dtypes, and now and then is odd."""
    known = rng.random() < 0.8
    others = ("float32", "float64", "int16", "uint16", "int64", ">f4", "complex64", "bool", "O")
    dtype = rng.choice(dtypes if known else others)
    shape = [(n_rows, width), (width,), (n_rows, width + 1), (), (2, n_rows, width)]
    values = 9 * rng.standard_normal(shape[rng.choice(5, p=[0.72, 0.2, 0.04, 0.02, 0.02])])
    found: Any = np.asarray(np.abs(values).astype(dtype if np.ndim(values) else "f4"))
    if not found.shape:
        return found
    found = laid_out(found, rng)
    kind = rng.integers(40)
    if kind == 0:
        return found.tolist()
    if kind == 1:
        return found.view(np.memmap)
    if kind == 2:
        return np.ma.masked_array(found)
    if kind == 3:
        return memoryview(found) if found.dtype.kind in "fu" else None
    if kind == 4:
        found.flags.writeable = False
    if kind == 5 and dtype != "O":
        return found.view([("a", found.dtype)]) if found.flags.c_contiguous else "text"
    return found


def outcome(method: Method, op: Any, A: Any, out: Any) -> tuple[Any, ...]:
    """Return everything that can be seen of a call: its result or error, and what `out` holds."""
    try:
        found = method(op, A, out)
    except (TypeError, ValueError) as error:
        return type(error), str(error)
    assert (found is out) == (out is not None)
    return type(found), found.dtype, found.shape, np.asarray(found).tobytes()


def arguments(name: str, seed: int) -> tuple[Any, Any]:
    """Return an A and an `out`, which may be odd, of different kinds, and share their memory."""
    _, dtypes, _ = METHODS[name]
    rng = np.random.default_rng(seed)
    n_rows = int(rng.choice([0, 1, 1, 2, 5, 40]))
    A = odd(rng, ("float32", "float32", "float64", "int8"), 12, n_rows)
    if not dtypes or rng.random() < 0.4:
        return A, None
    width = 6 if name == "codes" else 10
    if rng.random() < 0.1 and n_rows:
        memory = rng.standard_normal(60 * (n_rows + 1)).astype(np.float32).view(np.uint8)
        start = int(rng.choice([0, 4, 16 * n_rows, 48 * n_rows]))
        out = memory[start:].view(np.float32)[: n_rows * width].view(dtypes[0])
        rows = memory[: 48 * n_rows].view(np.float32).reshape(n_rows, 12)
        return rows, out[: n_rows * width].reshape(n_rows, width)
    return A, odd(rng, dtypes, width, n_rows)


@pytest.mark.parametrize("name", METHODS)
def test_every_outcome_is_that_of_the_general_way(name: str) -> None:
    """Arrays of all kinds, fitting or not: results, dtypes, shapes and errors are the same."""
    kind, _, method = METHODS[name]
    op, n_fast = operator(kind), 0
    general = generally(op)
    fasts = [value for value in vars(op).values() if isinstance(value, FastCall)]
    for seed in range(1500):
        (A, out), (B, other) = arguments(name, seed), arguments(name, seed)
        assert outcome(method, op, A, out) == outcome(method, general, B, other)
        for one, two in ((A, B), (out, other)):
            if isinstance(one, np.ndarray) and one.dtype != object:
                assert np.asarray(one).tobytes() == np.asarray(two).tobytes()
        every = [*fasts, *getattr(op, "_topk", {}).values()]
        n_fast += any(fast.call(A, out) is not None for fast in every)
    assert n_fast > 500


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("order", ["C", "F", "strided"])
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_second_calls_are_fast(
    name: str, order: Any, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call compiles a kernel; from then on Python has nothing to do."""
    kind, dtypes, method = METHODS[name]
    op = operator(kind)
    rows = (9 * np.random.default_rng(0).standard_normal((7, 12))).astype(dtype)
    A = np.repeat(rows, 2, axis=1)[:, ::2] if order == "strided" else np.asarray(rows, order=order)
    width = 6 if name == "codes" else 10
    outs = [None, *(np.zeros((7, width), dtype) for dtype in dtypes)]
    if name in ("outputs", "sums", "bytes"):
        outs += [np.zeros((7, width), dtype, "F") for dtype in dtypes]
    expected = [outcome(method, op, A, out) for out in outs]
    for unused in ("_rows", "_run"):
        monkeypatch.setattr(op, unused, None, raising=False)
    if op.target.byte_shuffles:
        assert [outcome(method, op, A, out) for out in outs] == expected
    assert outcome(method, op, A, None) == expected[0]


@pytest.mark.parametrize("name", METHODS)
def test_counts_references_right(name: str) -> None:
    kind, dtypes, method = METHODS[name]
    op = operator(kind)
    A = np.random.default_rng(0).standard_normal((3, 12)).astype(np.float32)
    out = np.empty((3, 6 if name == "codes" else 10), dtypes[0]) if dtypes else None
    dtype = np.dtype(dtypes[0] if dtypes else np.int64)
    watched = (A, out, np.empty, np.ndarray, dtype, 10, 3, 1, (), None, op)
    F = np.asfortranarray(A)

    def calls() -> None:
        method(op, A, None)
        method(op, A[0], None)
        method(op, A, out)
        method(op, F, None)

    calls()
    before = [sys.getrefcount(thing) for thing in watched]
    for _ in range(1000):
        calls()
    after = [sys.getrefcount(thing) for thing in watched]
    assert max(abs(a - b) for a, b in zip(after, before, strict=True)) < 30
    if name != "winner":
        result = weakref.ref(method(op, A, None))
        assert result() is None


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("n_rows", [1, 200])
def test_many_threads_at_once(name: str, n_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls without the GIL meet in one kernel, whose workspace serves one of them at a time."""
    monkeypatch.setattr(fastcall, "_ROWS_WITH_GIL", 0)
    kind, _, method = METHODS[name]
    op = operator(kind)
    rng = np.random.default_rng(0)
    rows = [rng.standard_normal((n_rows, 12)).astype(np.float32) for _ in range(8)]
    expected = [method(op, A, None) for A in rows]
    ready = threading.Barrier(8)

    def work(i: int) -> bool:
        ready.wait()
        return all(same_bits(method(op, rows[i], None), expected[i]) for _ in range(300))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def records(fast: FastCall) -> list[Any]:
    """Return the records of the kernels that a builtin runs."""
    return [record for _, record, _ in fast._kept[1:]]


def test_a_call_without_a_workspace_allocates_one(model: MaddnessModel) -> None:
    op = maddjit.compile(model)
    A = rows_for(model, 70, "float32", 1)
    (record,) = records(op._outputs)
    kept = record.workspace
    record.workspace = None
    assert same_bits(op._outputs.call(A), reference.apply(model, A))
    assert record.workspace is None
    record.workspace = kept
    assert same_bits(op._outputs.call(A), reference.apply(model, A))
    assert record.workspace == kept
    record.workspace, record.allocated_bytes = None, -1  # more than there is
    before = sys.getrefcount(A)
    assert op._outputs.call(A) is None
    assert sys.getrefcount(A) == before


@pytest.mark.parametrize("kind", ["winner", "winners"])
@pytest.mark.parametrize("at_end", [True, False])
def test_winners_are_found_inside_of_the_workspace(level: str, kind: str, at_end: bool) -> None:
    op = operator(kind, level)
    A = np.random.default_rng(0).standard_normal((1025, 12)).astype(np.float32)
    expected = op(A)
    (record,) = records(op._winners)
    with between_guards(record.allocated_bytes - 64, at_end) as memory:
        kept = record.workspace
        record.workspace = memory.__array_interface__["data"][0]
        for n_rows in (1, 2, 1023, 1024):
            assert same_bits(op._winners.call(A[:n_rows]), expected[:n_rows])
        record.workspace = kept
    assert op._winners.call(A) is None  # more rows than have room


def test_monitor_counts_rows_of_both_ways() -> None:
    op = operator("winners")
    A = np.random.default_rng(0).standard_normal((50, 12)).astype(np.float32)
    lengths = op.settle(A).lengths
    op.reset()
    for _ in range(3):
        assert op._winners.call(A) is not None
    op(A, threads=1)
    op(A[0])
    assert op.monitor().n_rows == 201
    assert op.monitor().mean == (4 * lengths.sum() + lengths[0]) / 201
    other = op.with_coverage(0.4)
    assert other.monitor().n_rows == 0
    other(A)
    assert (op.monitor().n_rows, other.monitor().n_rows) == (201, 50)
    op.reset()
    assert op.monitor().n_rows == 0


def test_large_results_come_from_the_pool(model: MaddnessModel, call: Any) -> None:
    n_rows = fastcall.POOLED_BYTES // 40
    A = np.zeros((n_rows + 1, 12), np.float32)
    assert call(A[: n_rows - 1]) is not None
    assert call(A) is None
    out = np.empty((n_rows + 1, 10), np.float32)
    assert call(A, out) is out


def test_operators_with_threads_have_none(model: MaddnessModel) -> None:
    op = maddjit.compile(model, threads=2)
    for fast in (op._outputs, op._argmax):
        assert fast.call is fastcall.declines
    A = rows_for(model, 5, "float32", 1)
    assert same_bits(op(A), reference.apply(model, A))
    assert same_bits(op.argmax(A), reference.argmax(model, A))
    assert same_bits(op.sums(A), reference.sums(model, A))


def test_bits_of_bfloat16(model: MaddnessModel) -> None:
    """Whole numbers of 16 bits are such bits for the operators that say so alone."""
    bits = np.random.default_rng(0).integers(0, 2**16, (9, 12)).astype(np.uint16)
    op = maddjit.compile(model, dtype="bfloat16")
    expected = generally(op)(bits)
    assert same_bits(op._outputs.call(bits), expected)
    assert maddjit.compile(model)._outputs.call(bits) is None


def test_lives_on_without_its_operator(model: MaddnessModel) -> None:
    call: Any = maddjit.compile(model)._outputs.call
    gc.collect()
    A = rows_for(model, 3, "float32", 1)
    assert same_bits(call(A), reference.apply(model, A))


@pytest.mark.parametrize("kind", ["plain", "winner", "tiles"])
def test_operators_die(kind: str) -> None:
    op = operator(kind)
    op(np.zeros((3, 12), np.float32))
    dead = weakref.ref(op)
    del op
    gc.collect()
    assert dead() is None
