"""Choices never change a result; tuning tries them, tells, and keeps one."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import maddjit
from maddjit import reference
from maddjit.operators.tuning import CANDIDATES, fastest
from tests.conftest import same_bits
from tests.random_models import random_model, rows_for


@pytest.mark.quick(5)
@pytest.mark.parametrize("choices", CANDIDATES, ids=str)
@pytest.mark.parametrize("order", ["C", "F"])
def test_choices_change_no_result(level: str, choices: maddjit.Choices, order: str) -> None:
    model = random_model(0, n_features=40, n_codebooks=20, n_prototypes=16, n_outputs=300)
    op = maddjit.compile(model, level, choices=choices)
    A = np.asarray(rows_for(model, 300, "float32", 1), order=order)  # type: ignore[call-overload]
    assert same_bits(op(A), reference.apply(model, A))
    assert same_bits(op.encode(A), reference.encode(model, A))
    assert same_bits(op.sums(A), reference.sums(model, A))


@pytest.mark.quick(3)
@pytest.mark.parametrize("order", ["C", "F", "strided"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "uint8"])
def test_tuning_tells_what_it_tried(
    order: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maddjit.operators.tuning._ROUNDS", 1)
    monkeypatch.setattr("maddjit.operators.tuning._SECONDS", 0.0)
    model = random_model(0, n_features=20, n_codebooks=4, n_prototypes=16, n_outputs=30)
    op = maddjit.compile(model, tune=True, order=order, dtype=dtype)  # type: ignore[arg-type]
    assert set(op.report.timings) == {str(candidate) for candidate in CANDIDATES}
    assert op.report.choices in op.report.timings
    assert "ns a row" in str(op.report)
    again = pickle.loads(pickle.dumps(op))
    assert again.report.choices == op.report.choices
    assert again.plan == op.plan


def test_rows_to_tune_with_and_contradictions() -> None:
    model = random_model(0, n_features=20, n_codebooks=4, n_prototypes=16, n_outputs=30)
    A = rows_for(model, 50, "float32", 1)
    assert same_bits(maddjit.compile(model, tune=A)(A), reference.apply(model, A))
    with pytest.raises(ValueError, match="nothing to tune"):
        maddjit.compile(model, tune=True, choices=maddjit.Choices())
    with pytest.raises(ValueError, match="multiple of 64"):
        maddjit.Choices(row_block=100)
    with pytest.raises(ValueError, match="positive"):
        maddjit.Choices(tile_bytes=0)


def test_the_fastest_is_the_one_that_takes_least_time() -> None:
    best, seconds = fastest([lambda: sum(range(200_000)), lambda: None])
    assert best == 1
    assert len(seconds) == 2


def test_reports_say_how_and_why() -> None:
    model = random_model(0, n_features=512, n_codebooks=16, n_prototypes=16, n_outputs=100)
    op = maddjit.compile(model)
    A = np.asfortranarray(rows_for(model, 70, "float32", 1))
    op(A)
    op(A, out=np.empty((70, 100), np.float32, order="F"))
    kernels = op.report.kernels
    assert "because rows are contiguous" in kernels["float32 C → outputs"]
    assert "because columns are contiguous" in kernels["float32 F → outputs"]
    assert "float32 F → outputs by columns" in kernels
