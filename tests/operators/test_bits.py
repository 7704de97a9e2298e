"""Compiled operators against the reference: every bit of codes, sums and outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import maddjit
from maddjit import reference
from maddjit.models.encoders import HashTrees
from maddjit.models.maddness import MaddnessModel
from tests.conftest import same_bits
from tests.random_models import models, random_model, rows_for

LAYOUTS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "every other column": lambda A: np.repeat(A, 2, axis=1)[:, ::2],
    "every third row": lambda A: np.repeat(A, 3, axis=0)[::3],
    "rows of a wider matrix": lambda A: np.hstack([A, A])[:, : A.shape[1]],
    "columns of a taller matrix": lambda A: np.asfortranarray(np.vstack([A, A]))[: len(A)],
    "reversed rows": lambda A: A[::-1].copy()[::-1],
    "reversed columns": lambda A: A[:, ::-1].copy()[:, ::-1],
    "reversed F": lambda A: np.asfortranarray(A[::-1])[::-1],
    "unaligned": lambda A: unaligned(A),
}


def unaligned(A: NDArray[Any]) -> NDArray[Any]:
    memory = np.zeros(A.nbytes + 1, np.uint8)
    view = np.frombuffer(memory.data, A.dtype, A.size, offset=1).reshape(A.shape)
    view[...] = A
    return view


def assert_same(op: maddjit.CompiledOperator, model: MaddnessModel, A: NDArray[Any]) -> None:
    assert same_bits(op.encode(A), reference.encode(model, A))
    assert same_bits(op.sums(A), reference.sums(model, A))
    assert same_bits(op(A), reference.apply(model, A))


@settings(max_examples=30)
@given(
    model=models(),
    n_rows=st.one_of(st.integers(0, 40), st.sampled_from([255, 256, 257])),
    layout=st.sampled_from(sorted(LAYOUTS)),
    dtype=st.sampled_from(["float32", "float32", "float64"]),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_any_model_any_rows(
    model: MaddnessModel, n_rows: int, layout: str, dtype: str, seed: int, data: st.DataObject
) -> None:
    from tests.conftest import RUNNABLE

    op = maddjit.compile(model, data.draw(st.sampled_from(RUNNABLE)), dtype=dtype)
    assert_same(op, model, LAYOUTS[layout](rows_for(model, n_rows, dtype, seed)))


@pytest.mark.quick(10)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layouts(level: str, layout: str, dtype: str) -> None:
    model = random_model(1, n_features=37, n_codebooks=9, n_prototypes=16, n_outputs=45, largest=60)
    op = maddjit.compile(model, level, dtype=dtype)
    block = op.plan.row_block
    for n_rows in (1, 2, 7, 8, 9, block - 1, block, block + 1, 2 * block + 17):
        assert_same(op, model, LAYOUTS[layout](rows_for(model, n_rows, dtype, n_rows)))


@pytest.mark.quick(8)
@pytest.mark.parametrize("n_prototypes", [2, 4, 8, 16, 32, 64, 128, 256])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_k(level: str, n_prototypes: int, order: str) -> None:
    model = random_model(
        n_prototypes, n_features=11, n_codebooks=5, n_prototypes=n_prototypes, n_outputs=13
    )
    A = np.asarray(rows_for(model, 333, "float32", 5), order=order)  # type: ignore[call-overload]
    assert_same(maddjit.compile(model, level), model, A)


@pytest.mark.quick(5)
@pytest.mark.parametrize(
    ("n_codebooks", "largest", "sum_bits", "group"),
    [
        (1, 255, 8, 1),
        (16, 15, 8, 16),
        (17, 15, 8, 17),
        (16, 16, 16, 12),
        (40, 255, 16, 1),
        (257, 255, 16, 1),
        (258, 255, 32, 1),
        (300, 100, 16, 2),
    ],
)
def test_sums_are_as_wide_as_the_tables_need(
    level: str, n_codebooks: int, largest: int, sum_bits: int, group: int
) -> None:
    model = random_model(
        3, n_features=3, n_codebooks=n_codebooks, n_prototypes=4, n_outputs=70, largest=largest
    )
    tables = np.array(model.tables)
    tables[:, -1] = largest  # every bound is attained
    tables[:, 0] = 0
    full = MaddnessModel(
        HashTrees(
            model.split_dims,
            # Small, so that ±1 fall to all sides, and different, so that no two trees are the same.
            np.zeros_like(model.thresholds) + np.linspace(-0.5, 0.5, n_codebooks)[:, np.newaxis],
            3,
        ),
        tables,
        model.scale,
        model.offset,
    )
    op = maddjit.compile(full, level)
    assert (op.plan.sum_bits, op.plan.group) == (sum_bits, group)
    A = np.array([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0], [1.0, -1.0, 1.0]], dtype=np.float32)
    assert_same(op, full, A)
    assert op.sums(A)[0].max() == n_codebooks * largest


@pytest.mark.quick(5)
@pytest.mark.parametrize("n_codebooks", [1, 2, 3, 4, 8, 12, 16, 24, 32, 48, 64])
def test_averages(level: str, n_codebooks: int) -> None:
    model = random_model(
        7,
        n_features=64,
        n_codebooks=n_codebooks,
        n_prototypes=16,
        n_outputs=50,
        accumulate="average",
    )
    assert_same(maddjit.compile(model, level), model, rows_for(model, 300, "float32", 1))


@pytest.mark.parametrize("n_outputs", [1, 3, 31, 32, 33, 63, 64, 65, 128, 129, 257, 1000])
def test_outputs_around_the_vectors(level: str, n_outputs: int) -> None:
    model = random_model(
        n_outputs, n_features=20, n_codebooks=16, n_prototypes=16, n_outputs=n_outputs
    )
    assert_same(maddjit.compile(model, level), model, rows_for(model, 70, "float32", 2))


def test_one_row_as_a_vector(level: str) -> None:
    model = random_model(4, n_features=6, n_codebooks=3, n_prototypes=16, n_outputs=5)
    op = maddjit.compile(model, level)
    row = rows_for(model, 1, "float32", 0)[0]
    assert op(row).shape == (5,)
    assert_same(op, model, row)
    assert_same(op, model, row[::-1].copy()[::-1])


def test_broadcast_rows(level: str) -> None:
    model = random_model(5, n_features=6, n_codebooks=3, n_prototypes=16, n_outputs=5)
    op = maddjit.compile(model, level)
    row = rows_for(model, 1, "float32", 0)
    assert_same(op, model, np.broadcast_to(row, (29, 6)))
    assert_same(op, model, np.broadcast_to(row[:, :1], (29, 6)))


def test_a_row_depends_on_itself_alone(level: str) -> None:
    model = random_model(6, n_features=16, n_codebooks=8, n_prototypes=16, n_outputs=33)
    op = maddjit.compile(model, level)
    A = rows_for(model, 100, "float32", 0)
    alone = np.stack([op(row) for row in A])
    assert same_bits(op(A), alone)
    assert same_bits(op(A[::-1])[::-1].copy(), alone)


@pytest.mark.parametrize(("n_codebooks", "n_prototypes"), [(96, 16), (48, 64), (300, 16)])
def test_many_columns_of_a_row(level: str, n_codebooks: int, n_prototypes: int) -> None:
    """Hundreds of elements are read one by one as far as the code stays short; 1200 are not."""
    model = random_model(
        3, n_features=320, n_codebooks=n_codebooks, n_prototypes=n_prototypes, n_outputs=5
    )
    op = maddjit.compile(model, level)
    assert_same(op, model, rows_for(model, 19, "float32", 4))
