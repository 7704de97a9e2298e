"""Arg-max without writing the outputs: NumPy's answer, ties and infinities included."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import maddjit
from maddjit import reference
from maddjit.models.maddness import MaddnessModel
from tests.conftest import RUNNABLE, same_bits
from tests.operators.test_emulated_levels import operator
from tests.random_models import models, random_model, rows_for


@settings(max_examples=25)
@given(model=models(), level=st.sampled_from(RUNNABLE), n_rows=st.integers(0, 70))
def test_any_model(model: MaddnessModel, level: str, n_rows: int) -> None:
    op = maddjit.compile(model, level)
    A = rows_for(model, n_rows, "float32", 0)
    expected = np.argmax(op(A), axis=-1).astype(np.int64)
    assert same_bits(op.argmax(A), expected)
    assert same_bits(reference.argmax(model, A), expected)


@pytest.mark.quick(6)
@pytest.mark.parametrize("n_outputs", [1, 2, 31, 32, 33, 127, 128, 129, 300, 1000])
@pytest.mark.parametrize("largest", [15, 255])
def test_many_ties(level: str, n_outputs: int, largest: int) -> None:
    """All outputs equal, or equal in pairs far apart: the lowest index wins."""
    model = random_model(
        1, n_features=9, n_codebooks=16, n_prototypes=16, n_outputs=n_outputs, largest=largest
    )
    A = rows_for(model, 300, "float32", 0)
    half = np.arange(n_outputs) % max(1, n_outputs // 2)
    for tables, scale, offset in (
        (model.tables, np.zeros(n_outputs), np.zeros(n_outputs)),
        (model.tables, np.zeros(n_outputs), np.full(n_outputs, -np.finfo("f4").max)),
        (model.tables, np.full(n_outputs, -3e38), np.full(n_outputs, -3e38)),  # all −inf, or not
        (model.tables[..., half], np.ones(n_outputs), np.full(n_outputs, -9999.0)),
    ):
        tied = replace(model, tables=tables, scale=scale, offset=offset)
        assert same_bits(maddjit.compile(tied, level).argmax(A), reference.argmax(tied, A))


@pytest.mark.parametrize("level", ["x86-64-v3", "x86-64-v4"])
def test_wide_vectors(level: str) -> None:
    for largest in (15, 255):
        model = random_model(
            2, n_features=9, n_codebooks=16, n_prototypes=16, n_outputs=333, largest=largest
        )
        A = rows_for(model, 90, "float32", 0)
        assert same_bits(operator(model, level).argmax(A), reference.argmax(model, A))


def test_shapes_layouts_and_threads() -> None:
    model = random_model(3, n_features=9, n_codebooks=16, n_prototypes=16, n_outputs=77)
    op = maddjit.compile(model, epilogue=maddjit.Epilogue("int8"))
    A = rows_for(model, 30000, "float64", 0)
    expected = reference.argmax(model, A)
    assert same_bits(op.argmax(A), expected)
    assert same_bits(op.argmax(np.asfortranarray(A), threads=2), expected)
    assert op.argmax(A[0]).shape == ()
    assert op.argmax(A[0]) == expected[0]
    assert op.argmax(A[:0]).shape == (0,)


def test_code_stores_no_outputs() -> None:
    model = random_model(3, n_features=9, n_codebooks=16, n_prototypes=16, n_outputs=1000)
    code = maddjit.emit(model, "x86-64-v3", stage="optimized", result="argmax")
    assert "store <" not in code.split("scan.0")[-1].replace("store <8 x i8>", "")
    assert "call void" not in maddjit.emit(model, "x86-64-v3", result="argmax")


@pytest.mark.quick(5)
@pytest.mark.parametrize("largest", [255, 2])  # few different sums: many ties
@pytest.mark.parametrize("n_outputs", [1, 5, 64, 83, 300])
def test_top_k(level: str, n_outputs: int, largest: int) -> None:
    model = random_model(
        1, n_features=20, n_codebooks=5, n_prototypes=16, n_outputs=n_outputs, largest=largest
    )
    op = maddjit.compile(model, level)
    for n_rows in (1, 70, 300):
        A = rows_for(model, n_rows, "float32", 1)
        for k in {1, min(3, n_outputs), n_outputs}:
            assert same_bits(op.topk(A, k), reference.topk(model, A, k))
    assert same_bits(op.topk(A[0], 1), reference.topk(model, A[0], 1))


def test_top_k_of_infinite_outputs(level: str) -> None:
    model = random_model(1, n_features=9, n_codebooks=3, n_prototypes=4, n_outputs=70)
    model = replace(model, scale=np.where(np.arange(70) % 3, -3e38, 3e38).astype(np.float32))
    A = rows_for(model, 50, "float32", 1)
    op = maddjit.compile(model, level)
    for k in (1, 4, 70):
        assert same_bits(op.topk(A, k), reference.topk(model, A, k))
    assert same_bits(op.argmax(A), reference.argmax(model, A))


def test_k_is_from_one_to_the_number_of_outputs() -> None:
    model = random_model(1, n_features=9, n_codebooks=3, n_prototypes=4, n_outputs=7)
    op = maddjit.compile(model)
    for k in (0, 8):
        with pytest.raises(ValueError, match="k must be from 1 to 7"):
            op.topk(np.zeros((2, 9), np.float32), k)


def test_a_number_is_no_row() -> None:
    model = random_model(1, n_features=9, n_codebooks=3, n_prototypes=4, n_outputs=7)
    with pytest.raises(ValueError, match="must have shape"):
        maddjit.compile(model).argmax(np.float32(1))
