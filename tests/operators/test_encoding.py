"""Codes of a column-major A: bytes compared as they are, and every number of rows."""

from __future__ import annotations

import numpy as np
import pytest

import maddjit
from maddjit import reference
from tests.conftest import same_bits
from tests.operators.test_bits import assert_same
from tests.operators.test_emulated_levels import operator
from tests.random_models import byte_model, random_model, rows_for


@pytest.mark.quick(12)
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("n_prototypes", [2, 4, 8, 16, 32, 64, 128, 256])
@pytest.mark.parametrize("is_right", [False, True])
def test_every_byte(level: str, dtype: str, n_prototypes: int, is_right: bool) -> None:
    model = byte_model(n_prototypes, dtype, n_prototypes, is_right)
    op = maddjit.compile(model, level, dtype=dtype, order="F")
    rng = np.random.default_rng(0)
    every = np.arange(256, dtype=np.uint8).view(dtype)
    A = np.asfortranarray(np.stack([rng.permutation(every) for _ in range(9)], axis=1))
    for n_rows in (1, 15, 31, 33, 63, 65, 256):
        assert_same(op, model, np.asfortranarray(A[:n_rows]))
    assert_same(op, model, np.repeat(A, 2, axis=1)[:, ::2])
    sums = np.empty((256, 7), np.uint8, order="F")
    assert (op.sums(A, out=sums) == reference.sums(model, A)).all()


@pytest.mark.quick(4)
@pytest.mark.parametrize("level", ["x86-64", "x86-64-v3", "x86-64-v4", "x86-64-v4-vbmi"])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("n_prototypes", [4, 16, 64])
def test_bytes_at_emulated_levels(level: str, dtype: str, n_prototypes: int) -> None:
    for is_right in (False, True):
        model = byte_model(1, dtype, n_prototypes, is_right)
        rng = np.random.default_rng(0)
        A = rng.integers(0, 256, (9, 75), np.uint8).view(dtype).T
        op = operator(model, level, dtype)
        assert same_bits(op.encode(A), reference.encode(model, A))
        assert same_bits(op.sums(A), reference.sums(model, A))


@pytest.mark.quick(6)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8"])
@pytest.mark.parametrize("n_codebooks", [1, 3, 16, 21])
def test_every_number_of_rows(level: str, dtype: str, n_codebooks: int) -> None:
    """Whole turns, turns that end with the last row, single vectors, and fewer rows than one."""
    model = random_model(
        2, n_features=13, n_codebooks=n_codebooks, n_prototypes=16, n_outputs=5, largest=9
    )
    choices = maddjit.Choices(row_block=128)
    op = maddjit.compile(model, level, dtype=dtype, order="F", choices=choices)
    name = "int8" if dtype == "int8" else dtype
    rows = rows_for(model, 300, "float32", 1)
    with np.errstate(over="ignore", invalid="ignore"):
        A = np.nan_to_num(rows * 40).clip(-128, 127).astype(name) if dtype == "int8" else rows
        A = A.astype(name)
    for n_rows in [*range(1, 70), 127, 128, 129, 135, 143, 159, 160, 191, 192, 257, 300]:
        some = np.asfortranarray(A[:n_rows])
        assert same_bits(op.encode(some), reference.encode(model, some))
