"""Threads: the same bits for any number, from many callers, after a fork; serial when small."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import maddjit
from maddjit import reference
from maddjit.operators import threads
from tests.conftest import same_bits
from tests.random_models import random_model, rows_for


@given(st.integers(0, 10**6), st.integers(1, 64), st.integers(1, 5000))
def test_spans_cover_all_rows_once(n_rows: int, n_threads: int, least: int) -> None:
    parts = threads.spans(n_rows, n_threads, least)
    assert parts[0][0] == 0
    assert parts[-1][1] == n_rows
    assert all(a[1] == b[0] for a, b in itertools.pairwise(parts))
    assert len(parts) <= n_threads
    assert len(parts) == 1 or all(last - first > max(0, least - 64) for first, last in parts)


@pytest.mark.parametrize("order", ["C", "F"])
def test_same_bits_for_any_number(level: str, order: Any) -> None:
    model = random_model(0, n_features=20, n_codebooks=16, n_prototypes=16, n_outputs=150)
    op = maddjit.compile(model, level, threads=2)
    n_rows = 4 * op.plan.rows_per_thread + 7
    A = np.asarray(rows_for(model, n_rows, "float32", 0), order=order)
    expected = reference.apply(model, A)
    assert len(threads.spans(len(A), 4, op.plan.rows_per_thread)) == 4
    assert same_bits(op(A), expected)
    out = np.empty_like(expected)
    for n_threads in (1, 2, 3, 7, 50):
        out.fill(0)
        op(A, out=out, threads=n_threads)
        assert same_bits(out, expected)
    assert same_bits(op(A[:5]), expected[:5])


def test_many_callers_at_once() -> None:
    model = random_model(0, n_features=20, n_codebooks=16, n_prototypes=16, n_outputs=50)
    op = maddjit.compile(model, threads=3)
    batches = [rows_for(model, 5000 + i, "float32", i) for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(op, batches))
    for A, Y in zip(batches, answers, strict=True):
        assert same_bits(Y, reference.apply(model, A))


def test_a_forked_child_has_its_own_pool() -> None:
    model = random_model(0, n_features=20, n_codebooks=16, n_prototypes=16, n_outputs=50)
    op = maddjit.compile(model, threads=2)
    A = rows_for(model, 20000, "float32", 0)
    expected = op(A)
    child = os.fork()
    if child == 0:
        os._exit(0 if same_bits(op(A), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_child_forked_while_a_thread_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(0, n_features=20, n_codebooks=16, n_prototypes=16, n_outputs=50)
    op, A = maddjit.compile(model), rows_for(model, 20, "float32", 0)
    begun, build = threading.Event(), op._kernels._build

    def slow(signature: Any) -> Any:
        begun.set()
        time.sleep(0.3)
        return build(signature)

    monkeypatch.setattr(op._kernels, "_build", slow)
    other = threading.Thread(target=op.sums, args=(A,))
    other.start()
    begun.wait(10)
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # ends a child that waits for ever
        os._exit(0 if same_bits(op.encode(A), reference.encode(model, A)) else 1)
    other.join()
    assert os.waitpid(child, 0)[1] == 0


def test_children_forked_while_a_thread_is_inside_llvm() -> None:
    model = random_model(0, n_features=20, n_codebooks=16, n_prototypes=16, n_outputs=50)
    stop = threading.Event()

    def compile_again() -> None:
        while not stop.is_set():
            maddjit.compile(model)

    other = threading.Thread(target=compile_again)
    other.start()
    try:
        for _ in range(8):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                maddjit.compile(model)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        other.join()


def test_errors_come_back() -> None:
    def work(first: int, last: int) -> None:
        if first:
            raise ArithmeticError(last)

    with pytest.raises(ArithmeticError):
        threads.run(work, [(0, 1), (1, 2), (2, 3)])


@pytest.mark.parametrize("n_threads", [0, -1, 2.5, "2"])
def test_numbers_that_are_none(n_threads: Any) -> None:
    model = random_model(0, n_features=4, n_codebooks=2, n_prototypes=4, n_outputs=3)
    with pytest.raises(ValueError, match="threads must be a whole number of at least 1"):
        maddjit.compile(model, threads=n_threads)
    with pytest.raises(ValueError, match="threads must be"):
        maddjit.compile(model)(np.zeros((2, 4), np.float32), threads=n_threads)


def test_an_interrupt_waits_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, done = threading.Event(), []

    def work(first: int, last: int) -> None:
        if first == 0:
            begun.wait(10)
            raise KeyboardInterrupt
        begun.set()
        time.sleep(0.05)
        done.append(last)

    with pytest.raises(KeyboardInterrupt):
        threads.run(work, [(0, 1), (1, 2)])
    assert done == [2]

    interrupts = [KeyboardInterrupt()]

    def interrupted(self: threading.Condition, predicate: Any) -> bool:
        if interrupts:
            raise interrupts.pop()
        return waited(self, predicate)

    def slow_elsewhere(first: int, last: int) -> None:
        if first == 0:
            begun.wait(10)
        else:
            begun.set()
            time.sleep(0.2)
        done.append(last)

    waited = threading.Condition.wait_for
    monkeypatch.setattr(threading.Condition, "wait_for", interrupted)
    done.clear()
    begun.clear()
    with pytest.raises(KeyboardInterrupt):
        threads.run(slow_elsewhere, [(0, 1), (1, 2)])
    assert done == [1, 2]


def test_nothing_runs_after_an_interrupt_while_parts_are_handed_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late: list[Callable[[], None]] = []
    done: list[int] = []

    class Interrupted:
        def submit(self, part: Callable[[], None]) -> None:
            late.append(part)
            raise KeyboardInterrupt

    monkeypatch.setattr(threads, "_shared_pool", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        threads.run(lambda first, last: done.append(first), [(0, 1), (1, 2)])
    late[0]()
    assert done == []


def test_the_caller_does_what_no_thread_can_be_started_for(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(0, n_features=20, n_codebooks=16, n_prototypes=16, n_outputs=50)
    op = maddjit.compile(model, threads=4)
    A = rows_for(model, 20000, "float32", 0)
    expected = reference.apply(model, A)
    real, started = threading.Thread.start, []

    def start(self: threading.Thread) -> None:
        if started and self.name.startswith("maddjit"):
            raise RuntimeError("can't start new thread")
        started.append(self.name)
        real(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(threads, "_pool", ThreadPoolExecutor(8, thread_name_prefix="maddjit"))
    threads._shared_pool().submit(time.sleep, 0.05)  # parts are queued behind it
    done: list[int] = []

    def work(first: int, last: int) -> None:
        done.append(first)

    threads.run(work, [(i, i + 1) for i in range(5)])
    assert sorted(done) == [0, 1, 2, 3, 4]
    time.sleep(0.1)
    assert sorted(done) == [0, 1, 2, 3, 4]
    assert same_bits(op(A), expected)


@pytest.mark.parametrize("when", ["atexit", "thread"])
def test_while_the_interpreter_ends(when: str) -> None:
    code = (
        "import atexit, sys, threading, time, numpy as np, maddjit\n"
        "op = maddjit.compile(maddjit.fit_strassen_tile(np.eye(8), tile=1), threads=2)\n"
        "A = np.ones((2 * op.plan.rows_per_thread, 8), np.float32)\n"
        "def last():\n"
        "    if threading.current_thread() is not threading.main_thread():\n"
        "        threading.main_thread().join()\n"
        "        time.sleep(0.2)\n"  # until nothing more may be handed to the pool
        "    print(np.allclose(op(A), A, atol=1e-6))\n"
        "if sys.argv[1] == 'atexit':\n"
        "    atexit.register(last)\n"
        "else:\n"
        "    threading.Thread(target=last).start()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, when], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
