"""Large results: memory that is used again, and results that are written past the caches."""

from __future__ import annotations

import gc
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import maddjit
from maddjit import reference
from maddjit.compiler import llvm, target
from maddjit.compiler.maddness.planner import make_plan
from maddjit.compiler.request import Request
from maddjit.compiler.signature import Signature
from maddjit.operators.building import build
from maddjit.operators.maddness import CompiledOperator
from maddjit.operators.pool import POOLED_BYTES, Pool
from tests.conftest import same_bits
from tests.random_models import random_model, rows_for

SHAPE = (1024, POOLED_BYTES // 4096)


def test_memory_is_used_again_once_nothing_refers_to_it() -> None:
    pool = Pool()
    first = pool.empty(SHAPE, np.dtype(np.float32))
    view = first[::2, 3:]
    address = first.ctypes.data
    del first
    other = pool.empty(SHAPE, np.dtype(np.float32))
    assert not np.may_share_memory(view, other)
    del view
    gc.collect()
    assert pool.empty(SHAPE, np.dtype(np.float32)).ctypes.data == address


def test_a_pool_keeps_few_blocks_and_none_that_are_far_too_large() -> None:
    pool = Pool()
    held = [pool.empty(SHAPE, np.dtype(np.float64)) for _ in range(5)]
    addresses = {array.ctypes.data for array in held}
    del held
    assert len(pool._free) == 2
    small = pool.empty((POOLED_BYTES,), np.dtype(np.uint8))  # half the size: taken
    assert small.ctypes.data in addresses
    tiny = pool.empty((8,), np.dtype(np.float32))
    assert tiny.base is None


def test_results_of_many_threads_are_their_own() -> None:
    model = random_model(0, n_features=8, n_codebooks=4, n_prototypes=16, n_outputs=1100)
    op = maddjit.compile(model)
    A = rows_for(model, 1000, "float32", 0)
    expected = reference.apply(model, A)
    wrong = []

    def call() -> None:
        for _ in range(10):
            if not same_bits(op(A), expected):
                wrong.append(1)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def small_cache(model: Any, level: str, epilogue: maddjit.Epilogue) -> CompiledOperator:
    """Return an operator that takes the last cache to hold nothing."""
    chosen = replace(target.resolve(level, llvm.host()), cache_bytes=0)
    return CompiledOperator(Request(model, chosen, Signature(epilogue=epilogue)), build)


@pytest.mark.quick(4)
@pytest.mark.parametrize("n_outputs", [129, 260, 1000, 2100])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "float64"])
def test_past_the_caches(level: str, n_outputs: int, dtype: str) -> None:
    model = random_model(1, n_features=40, n_codebooks=9, n_prototypes=16, n_outputs=n_outputs)
    epilogue = maddjit.Epilogue(dtype=dtype, step=0.1 if dtype == "uint8" else 1.0)
    op = small_cache(model, level, epilogue)
    for n_rows in (1, 2, 100, 515):
        for order in "CF":
            A = np.asarray(rows_for(model, n_rows, "float32", 1), order=order)  # type: ignore[call-overload]
            expected = reference.apply(model, A, epilogue)
            for start in (0, 1, 5, 16):  # elements from the start of some memory: not of a line
                memory = np.zeros(expected.size + 32, expected.dtype)
                out = memory[start : start + expected.size].reshape(expected.shape)
                op(A, out=out)
                assert same_bits(out.copy(), expected)
                assert not memory[:start].any()
                assert not memory[start + expected.size :].any()
            assert same_bits(op.sums(A), reference.sums(model, A))


@pytest.mark.parametrize(("cache", "held"), [(0, 0), (8, 8), (32, 32), (300, 32)])
def test_results_go_past_a_cache_that_does_not_hold_them(cache: int, held: int) -> None:
    model = random_model(0, n_features=8, n_codebooks=2, n_prototypes=4, n_outputs=1024)
    chosen = replace(target.named("x86-64"), cache_bytes=cache << 20)
    assert make_plan(model, chosen, Signature()).streaming_rows == held << 8


def test_large_results_leave_without_being_fetched() -> None:
    model = random_model(0, n_features=512, n_codebooks=16, n_prototypes=16, n_outputs=1000)
    assert "vmovntps" in maddjit.emit(model, "x86-64-v4")
    narrow = random_model(0, n_features=512, n_codebooks=16, n_prototypes=16, n_outputs=60)
    assert "vmovntps" not in maddjit.emit(narrow, "x86-64-v4")  # written in order anyway


def test_results_of_just_that_size_come_from_the_pool() -> None:
    model = random_model(0, n_features=8, n_codebooks=2, n_prototypes=4, n_outputs=1024)
    op = maddjit.compile(model)
    A = rows_for(model, POOLED_BYTES // 4096, "float32", 0)
    address = op(A).ctypes.data
    gc.collect()
    assert op(A).ctypes.data == address
