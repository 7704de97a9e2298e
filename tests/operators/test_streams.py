"""Tables that lie run by run: few rows stream them, many rows pack them; every bit as always."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import maddjit
from maddjit import reference
from maddjit.models.maddness import MaddnessModel
from maddjit.operators.maddness import CompiledOperator
from tests.conftest import same_bits, same_numbers
from tests.operators.test_emulated_levels import operator
from tests.operators.test_memory import assert_stays_inside, in_order
from tests.random_models import random_model, rows_for, with_core

STREAMS = maddjit.Choices(streams=True)


def all_rows(op: CompiledOperator) -> list[int]:
    """Return numbers of rows on both sides of each that a kernel treats in another way."""
    streams = op.plan.scan and op.plan.scan.streams
    assert streams
    edges = (streams.shared_rows, streams.packed_rows, op.plan.row_block)
    return sorted({1, 2} | {edge + i for edge in edges for i in (-1, 0, 1) if edge + i > 0})


def assert_same(op: CompiledOperator, model: MaddnessModel, order: Any = "C") -> None:
    for n_rows in all_rows(op):
        A = np.asarray(rows_for(model, n_rows, "float32", n_rows), order=order)
        assert same_bits(op(A), reference.apply(model, A)), n_rows
        assert same_bits(op.sums(A), reference.sums(model, A)), n_rows


@pytest.mark.quick(10)
@pytest.mark.parametrize("n_outputs", [5, 130, 1000])
@pytest.mark.parametrize(
    ("n_codebooks", "n_prototypes", "largest", "accumulate"),
    [
        (9, 16, 255, "exact"),  # 16-bit sums, one codebook a group; never packed
        (35, 16, 255, "exact"),
        (64, 16, 15, "exact"),  # 16-bit sums, groups
        (18, 16, 14, "exact"),  # 8-bit sums
        (258, 2, 255, "exact"),  # 32-bit sums
        (32, 16, 255, "average"),
        (48, 32, 255, "average"),
        (5, 256, 255, "exact"),  # never packed: the buffer would be too large
    ],
)
def test_every_kind_of_sums(
    level: str, n_outputs: int, n_codebooks: int, n_prototypes: int, largest: int, accumulate: Any
) -> None:
    model = random_model(
        n_outputs,
        n_features=40,
        n_codebooks=n_codebooks,
        n_prototypes=n_prototypes,
        n_outputs=n_outputs,
        largest=largest,
        accumulate=accumulate,
    )
    assert_same(maddjit.compile(model, level, choices=STREAMS), model)


@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_every_order_of_A(level: str, order: Any) -> None:
    model = random_model(4, n_features=40, n_codebooks=35, n_prototypes=16, n_outputs=300)
    op = maddjit.compile(model, level, order=order, choices=STREAMS)
    for n_rows in all_rows(op):
        A = in_order(rows_for(model, n_rows, "float32", n_rows), order)
        assert same_bits(op(A), reference.apply(model, A))


@pytest.mark.parametrize("k", [1, 3])
def test_best_outputs(level: str, k: int) -> None:
    model = random_model(5, n_features=40, n_codebooks=20, n_prototypes=16, n_outputs=300)
    op = maddjit.compile(model, level, choices=STREAMS)
    for n_rows in all_rows(op):
        A = rows_for(model, n_rows, "float32", n_rows)
        assert same_bits(op.topk(A, k), reference.topk(model, A, k))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8", "float64"])
def test_epilogues(level: str, dtype: Any) -> None:
    model = random_model(6, n_features=40, n_codebooks=20, n_prototypes=16, n_outputs=300)
    epilogue = maddjit.Epilogue(dtype, **({"step": 0.5} if dtype == "int8" else {}))
    usual = maddjit.compile(model, level, epilogue=epilogue)
    op = maddjit.compile(model, level, epilogue=epilogue, choices=STREAMS)
    for n_rows in all_rows(op):
        A = rows_for(model, n_rows, "float32", n_rows)
        assert same_bits(op(A), usual(A))


@pytest.mark.parametrize("rank", [3, 17])
def test_cores(level: str, rank: int) -> None:
    model = random_model(7, n_features=40, n_codebooks=20, n_prototypes=16, n_outputs=300)
    model = with_core(model, rank)
    op = maddjit.compile(model, level, choices=STREAMS)
    for n_rows in all_rows(op):
        A = rows_for(model, n_rows, "float32", n_rows)
        assert same_numbers(op(A), reference.apply(model, A))


@pytest.mark.parametrize("emulated", ["x86-64", "x86-64-v3", "x86-64-v4", "x86-64-v4-vbmi"])
def test_emulated_levels(emulated: str) -> None:
    model = random_model(8, n_features=40, n_codebooks=20, n_prototypes=16, n_outputs=300)
    assert_same(operator(model, emulated, choices=STREAMS), model)


@pytest.mark.quick(4)
@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("result", ["outputs", "sums", "argmax"])
@pytest.mark.parametrize("n_prototypes", [32, 256])
def test_nothing_outside_the_workspace(
    level: str, at_end: bool, result: Any, n_prototypes: int
) -> None:
    model = random_model(3, n_features=19, n_codebooks=17, n_prototypes=n_prototypes, n_outputs=137)
    op = maddjit.compile(model, level, choices=STREAMS)
    runner = op._runner_for("float32", "C", result, "C", "int32", 1)
    width = 1 if result == "argmax" else 137
    for n_rows in all_rows(op):
        rows = rows_for(model, n_rows, "float32", n_rows)
        assert_stays_inside(runner, rows, np.zeros((n_rows, width), runner.dtype), at_end)


def test_threads_share_rows(level: str) -> None:
    model = random_model(9, n_features=40, n_codebooks=64, n_prototypes=16, n_outputs=1000)
    op = maddjit.compile(model, level, choices=STREAMS, threads=2)
    A = rows_for(model, 1500, "float32", 0)
    assert same_bits(op(A), reference.apply(model, A))
