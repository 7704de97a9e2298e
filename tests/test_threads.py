"""Threads: the same bits for any number, from many callers, after a fork; serial when small."""

from __future__ import annotations

import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import maddjit
from maddjit import reference, threads
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
    A = np.asarray(rows_for(model, 12007, "float32", 0), order=order)
    expected = reference.apply(model, A)
    op = maddjit.compile(model, level, threads=2)
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
    done = []

    def work(first: int, last: int) -> None:
        if first == 0:
            raise KeyboardInterrupt
        time.sleep(0.05)
        done.append(last)

    with pytest.raises(KeyboardInterrupt):
        threads.run(work, [(0, 1), (1, 2), (2, 3)])
    assert sorted(done) == [2, 3]

    interrupts = [KeyboardInterrupt()]

    def interrupted(others: Any) -> None:
        if interrupts:
            raise interrupts.pop()
        waited(others)

    waited = threads.wait
    monkeypatch.setattr(threads, "wait", interrupted)
    done.clear()

    def slow_elsewhere(first: int, last: int) -> None:
        time.sleep(0.2 * first)
        done.append(last)

    with pytest.raises(KeyboardInterrupt):
        threads.run(slow_elsewhere, [(0, 1), (1, 2)])
    assert sorted(done) == [1, 2]
