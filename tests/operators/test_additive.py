"""Additive codes equal the reference at every level, in every layout, format and number of rows."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import maddjit
from maddjit import Choices, reference
from maddjit.arrays.formats import bfloat16_to_float32
from maddjit.compiler.target import LEVELS
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.encoders import AdditiveCodes
from maddjit.models.maddness import MaddnessModel
from maddjit.reference import convolution
from tests.conftest import same_bits
from tests.operators.test_bits import assert_same
from tests.operators.test_convolution import CASES, planes
from tests.operators.test_emulated_levels import operator
from tests.operators.test_memory import between_guards
from tests.operators.test_winners import COVERAGE, winners
from tests.random_models import random_additive, with_core, with_short_list

SIZES = [
    {"n_features": 120, "n_codebooks": 16, "n_prototypes": 16},
    {"n_features": 131, "n_codebooks": 5, "n_prototypes": 16, "rank": 64},
    {"n_features": 37, "n_codebooks": 6, "n_prototypes": 4, "rank": 7},
    {"n_features": 9, "n_codebooks": 1, "n_prototypes": 2},
    {"n_features": 70, "n_codebooks": 7, "n_prototypes": 64, "rank": 33},
    {"n_features": 33, "n_codebooks": 3, "n_prototypes": 256, "rank": 150},
]


def rows_of(n_features: int, n_rows: int, dtype: str, seed: int = 0) -> NDArray[Any]:
    """Return rows around those that random codes are made for, with special numbers among them."""
    rng = np.random.default_rng(seed)
    A = 1.5 * rng.standard_normal((n_rows, n_features))
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, A.shape, dtype, endpoint=True)
    special = rng.choice(np.array([np.nan, np.inf, -np.inf, -0.0, 3e38, -3e38, 1e-45]), A.shape)
    with np.errstate(over="ignore"):
        return np.where(rng.random(A.shape) < 0.05, special, A).astype(dtype)


def layouts(A: NDArray[Any]) -> dict[str, NDArray[Any]]:
    wide = np.repeat(np.repeat(A, 2, axis=0), 2, axis=1)
    return {"C": A, "F": np.asfortranarray(A), "strided": wide[::2, ::2]}


def heavy(model: MaddnessModel) -> MaddnessModel:
    """Return a model whose weights are as large as they may be, all of one sign in some places."""
    encoder = model.encoder
    assert isinstance(encoder, AdditiveCodes)
    prototypes = encoder.prototypes.copy()
    prototypes[:, ::2] = 127
    prototypes[:, 1::2] = -127
    projection = encoder.projection
    if projection:
        matrix = np.where(projection.matrix < 0, -127, 127).astype(np.int8)
        projection = replace(projection, matrix=matrix)
    return replace(model, encoder=replace(encoder, prototypes=prototypes, projection=projection))


@pytest.mark.quick(6)
@pytest.mark.parametrize("sizes", SIZES)
def test_every_number_of_rows(level: str, sizes: dict[str, int]) -> None:
    model = random_additive(1, n_outputs=9, **sizes)
    op = maddjit.compile(model, level, choices=Choices(row_block=64))
    for n_rows in (0, 1, 2, 3, 4, 7, 15, 16, 17, 33, 64, 65, 150):
        for A in layouts(rows_of(model.n_features, n_rows, "float32", n_rows)).values():
            assert same_bits(op.encode(A), reference.encode(model, A))


@pytest.mark.quick(6)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "uint8", "int16"])
def test_formats(level: str, dtype: str) -> None:
    model = random_additive(
        2, n_features=45, n_codebooks=5, n_prototypes=16, n_outputs=40, rank=20, largest=50
    )
    op = maddjit.compile(model, level, dtype=dtype)
    for A in layouts(rows_of(45, 70, dtype)).values():
        assert same_bits(op.encode(A), reference.encode(model, A))


def test_bfloat16(level: str) -> None:
    model = random_additive(3, n_features=45, n_codebooks=5, n_prototypes=16, n_outputs=40)
    A = (rows_of(45, 70, "float32").view(np.uint32) >> 16).astype(np.uint16)
    op = maddjit.compile(model, level, dtype="bfloat16")
    for rows in layouts(A).values():
        wide = bfloat16_to_float32(rows)
        assert same_bits(op(rows), reference.apply(model, wide))


@pytest.mark.quick(6)
@pytest.mark.parametrize("sizes", SIZES)
def test_large_weights_and_equal_scores(level: str, sizes: dict[str, int]) -> None:
    model = heavy(random_additive(4, n_outputs=9, **sizes))
    op = maddjit.compile(model, level)
    A = rows_of(model.n_features, 40, "float32")
    for rows in (A, np.asfortranarray(A)):
        assert same_bits(op.encode(rows), reference.encode(model, rows))


@pytest.mark.parametrize("n_prototypes", [2, 4])
def test_scores_that_fill_up_a_vector_are_never_chosen(level: str, n_prototypes: int) -> None:
    model = random_additive(10, n_features=9, n_codebooks=6, n_prototypes=n_prototypes, n_outputs=3)
    encoder = model.encoder
    assert isinstance(encoder, AdditiveCodes)
    A = rows_of(9, 40, "float32")
    for shift in (15, 17, 31):
        gram = np.where(encoder.gram != 0, 2**15 - 1, 0)
        shifted = replace(encoder, shifts=np.full(6, shift), gram=gram)
        own = replace(model, encoder=shifted)
        assert same_bits(maddjit.compile(own, level).encode(A), reference.encode(own, A))


@pytest.mark.quick(4)
@pytest.mark.parametrize("largest", [255, 15])
@pytest.mark.parametrize("order", ["C", "F"])
def test_results(level: str, largest: int, order: str) -> None:
    model = random_additive(
        5, n_features=50, n_codebooks=12, n_prototypes=16, n_outputs=83, rank=24, largest=largest
    )
    op = maddjit.compile(model, level)
    for n_rows in (1, 5, 300):
        A = layouts(rows_of(50, n_rows, "float32", n_rows))[order]
        assert_same(op, model, A)
        expected = reference.apply(model, A)
        columns = np.empty(expected.shape, np.float32, order="F")
        op(A, out=columns)
        assert same_bits(np.ascontiguousarray(columns), expected)
        assert (op.argmax(A) == reference.argmax(model, A)).all()


@pytest.mark.parametrize("order", ["C", "F"])
def test_cores_and_winners(level: str, order: str) -> None:
    model = random_additive(6, n_features=50, n_codebooks=6, n_prototypes=16, n_outputs=40)
    rows = np.random.default_rng(0).standard_normal((90, 50)).astype(np.float32)
    A = layouts(rows)[order]
    cored = with_core(model, 3)
    assert same_bits(maddjit.compile(cored, level)(A), reference.apply(cored, A))
    calibrated = with_short_list(model, 2, 100)
    op = winners(calibrated, level)
    assert same_bits(op(A), reference.settle(calibrated, A, COVERAGE).indices)


@pytest.mark.quick(6)
@pytest.mark.parametrize("level", LEVELS)
def test_emulated_levels(level: str) -> None:
    model = random_additive(7, n_outputs=9, **SIZES[2])
    for each in (model, heavy(model)):
        op = operator(each, level)
        for A in layouts(rows_of(model.n_features, 21, "float32")).values():
            assert same_bits(op.encode(A), reference.encode(each, A))


@pytest.mark.quick(4)
@pytest.mark.parametrize("sizes", SIZES[1:4])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_guard_pages(level: str, sizes: dict[str, int], dtype: str) -> None:
    model = random_additive(8, n_outputs=9, **sizes)
    op = maddjit.compile(model, level, dtype=dtype)
    cases: Any = product((1, 3, 16, 37), (True, False), ("C", "F"))
    for n_rows, at_end, order in cases:
        rows = rows_of(model.n_features, n_rows, dtype)
        codes = reference.encode(model, rows)
        with (
            between_guards(rows.nbytes, at_end) as memory_A,
            between_guards(codes.nbytes, at_end) as memory_Y,
        ):
            A = memory_A.view(dtype).reshape(rows.shape, order=order)
            A[...] = rows
            out = memory_Y.reshape(codes.shape)
            op.encode(A, out=out)
            assert same_bits(out, codes)


@pytest.mark.parametrize("rank", [None, 20])
def test_convolutions(level: str, rank: int | None) -> None:
    window = CASES[0][0]
    own = random_additive(
        3, n_features=4 * window.n_taps, n_codebooks=5, n_prototypes=16, n_outputs=7, rank=rank
    )
    model, x = ConvolutionModel((own,), window, 0), planes((2, 4, 13, 11), "float32")
    assert same_bits(maddjit.compile(model, level)(x), convolution.convolve(model, x))


def test_report() -> None:
    for rank, times in ((None, "once"), (20, "twice")):
        model = random_additive(
            3, n_features=40, n_codebooks=5, n_prototypes=16, n_outputs=7, rank=rank
        )
        assert f"multiplies them {times}" in str(maddjit.compile(model).report)


def test_threads() -> None:
    model = random_additive(9, n_features=60, n_codebooks=4, n_prototypes=16, n_outputs=30)
    A = rows_of(60, 5000, "float32")
    assert same_bits(maddjit.compile(model, threads=3)(A), reference.apply(model, A))
