"""The generated CPython function: takes what it was made for, declines the rest, leaks nothing."""

from __future__ import annotations

import array
import gc
import sys
import weakref
from typing import Any

import numpy as np
import pytest

import maddjit
from maddjit import reference
from maddjit.models.maddness import MaddnessModel
from tests.conftest import same_bits
from tests.random_models import random_model, rows_for

pytestmark = pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="the function is for CPython"
)


@pytest.fixture
def model() -> MaddnessModel:
    return random_model(0, n_features=12, n_codebooks=6, n_prototypes=16, n_outputs=10)


@pytest.fixture
def call(model: MaddnessModel) -> Any:
    op = maddjit.compile(model)
    return op._fast_call


@pytest.mark.parametrize("n_rows", [0, 1, 2, 31, 32, 33, 300])
def test_takes_rows(call: Any, model: MaddnessModel, n_rows: int) -> None:
    A = rows_for(model, n_rows, "float32", 1)
    expected = reference.apply(model, A)
    assert same_bits(call(A), expected)
    out = np.empty((n_rows, 10), np.float32)
    assert call(A, out) is out
    assert same_bits(out, expected)
    wide = np.hstack([A, A])
    assert same_bits(call(wide[:, :12]), expected)


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
        assert call(other) is NotImplemented
        assert same_bits(op(other), reference.apply(model, row))
    assert call(np.ma.masked_array(row)) is NotImplemented


def test_float64_operators_have_their_own(model: MaddnessModel) -> None:
    call: Any = maddjit.compile(model, dtype="float64")._fast_call
    A = rows_for(model, 9, "float64", 1)
    assert same_bits(call(A), reference.apply(model, A))
    assert call(np.zeros((9, 12), np.float32)) is NotImplemented


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
        (np.asfortranarray(A),),
        (A[::-1],),
        (np.broadcast_to(A[:1], (5, 12)),),
        (np.zeros((5, 24), np.float32)[:, ::2],),
        (A, None),
        (A, Y.astype(np.float64)),
        (A, read_only),
        (A, Y[:4]),
        (A, Y[0]),
        (A[0], Y[:1]),
        (A, np.asfortranarray(Y)),
        (A, Y[::-1]),
        (memory[:60].reshape(5, 12), memory[50:100].reshape(5, 10)),
        (memory[40:100].reshape(5, 12), memory[:50].reshape(5, 10)),
    ]


@pytest.mark.parametrize("arguments", declined(), ids=range(len(declined())))
def test_declines_the_rest(call: Any, arguments: tuple[Any, ...]) -> None:
    arrays = [argument for argument in arguments if isinstance(argument, np.ndarray)]
    before = [sys.getrefcount(A) for A in arrays]
    for _ in range(50):
        assert call(*arguments) is NotImplemented
    assert [sys.getrefcount(A) for A in arrays] == before


def test_counts_references_right(call: Any, model: MaddnessModel) -> None:
    A = rows_for(model, 3, "float32", 1)
    out = np.empty((3, 10), np.float32)
    watched = (A, out, np.empty, np.dtype(np.float32), 10)
    call(A)
    before = [sys.getrefcount(thing) for thing in watched]
    for _ in range(1000):
        call(A)
        call(A[0])
        call(A, out)
    after = [sys.getrefcount(thing) for thing in watched]
    assert max(abs(a - b) for a, b in zip(after, before, strict=True)) < 10
    result = weakref.ref(call(A))
    assert result() is None


def test_lives_on_without_its_operator(model: MaddnessModel) -> None:
    call: Any = maddjit.compile(model)._fast_call
    gc.collect()
    A = rows_for(model, 3, "float32", 1)
    assert same_bits(call(A), reference.apply(model, A))


def test_operators_die(model: MaddnessModel) -> None:
    op = maddjit.compile(model)
    dead = weakref.ref(op)
    del op
    gc.collect()
    assert dead() is None
