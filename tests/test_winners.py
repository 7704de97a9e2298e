"""Exact winners: the reference's answers at every level, ties, long lists, odd rows, drift."""

from __future__ import annotations

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import maddjit
from maddjit import reference
from maddjit.formats import float32_to_bfloat16
from maddjit.models import MaddnessModel
from tests.conftest import RUNNABLE, same_bits
from tests.random_models import models, random_model, rows_for, with_short_list
from tests.test_memory import between_guards

COVERAGE = 0.5


def winners(model: MaddnessModel, level: str | None = None, **options: Any) -> Any:
    """Compile for as many winners as the model is calibrated for."""
    assert model.short_list is not None
    k = model.short_list.k
    what: Any = {"result": "topk", "k": k}
    return maddjit.compile(model, level, coverage=COVERAGE, **what, **options)


def check(model: MaddnessModel, A: Any, level: str | None = None, **options: Any) -> None:
    """Compare everything with the reference, bit for bit."""
    op = winners(model, level, **options)
    expected = reference.settle(model, A, COVERAGE)
    assert same_bits(op(A), expected.indices)
    found = op.settle(A)
    assert same_bits(found.indices, expected.indices)
    assert same_bits(found.lengths, expected.lengths)
    both = np.isnan(found.outputs) & np.isnan(expected.outputs)
    assert same_bits(np.where(both, 0, found.outputs), np.where(both, 0, expected.outputs))


@pytest.mark.slow
@settings(max_examples=25)
@given(
    model=models(max_codebooks=20),
    level=st.sampled_from(RUNNABLE),
    n_rows=st.integers(0, 70),
    order=st.sampled_from("CF"),
    dtype=st.sampled_from(["float32", "float64", "float16", "int8"]),
    data=st.data(),
)
def test_any_model(
    model: MaddnessModel, level: str, n_rows: int, order: Any, dtype: str, data: st.DataObject
) -> None:
    k = data.draw(st.one_of(st.just(1), st.integers(1, model.n_outputs)))
    largest = data.draw(st.sampled_from([2, 255 // model.n_codebooks, 255]))
    margin = data.draw(st.one_of(st.just(0), st.integers(0, 300), st.just(10**6)))
    model = with_short_list(model, k, margin, largest=largest)
    if dtype in ("float32", "float64"):
        A = rows_for(model, n_rows, dtype, 0)
    else:
        shape = (n_rows, model.n_features)
        A = np.random.default_rng(0).integers(-100, 100, shape).astype(dtype)
    check(model, np.asarray(A, order=order), level)


@pytest.mark.parametrize("n_outputs", [1, 31, 65, 1100])
@pytest.mark.parametrize("largest", [12, 255])  # sums of 8 and 16 bits
@pytest.mark.parametrize("k", [1, 10])
def test_sizes(level: str, n_outputs: int, largest: int, k: int) -> None:
    model = random_model(
        1, n_features=70, n_codebooks=18, n_prototypes=16, n_outputs=n_outputs, largest=3
    )
    A = np.random.default_rng(0).standard_normal((290, 70)).astype(np.float32)
    model = with_short_list(model, min(k, n_outputs), 20, largest=largest)
    expected = reference.settle(model, A, COVERAGE)
    assert same_bits(winners(model, level)(A), expected.indices)


@pytest.mark.parametrize("n_outputs", [20, 200, 600])
@pytest.mark.parametrize("largest", [1, 255])
def test_more_codebooks_than_straight_line_code_holds(n_outputs: int, largest: int) -> None:
    model = random_model(
        1, n_features=70, n_codebooks=200, n_prototypes=16, n_outputs=n_outputs, largest=3
    )
    A = np.random.default_rng(0).standard_normal((70, 70)).astype(np.float32)
    model = with_short_list(model, 1, 20, largest=largest)
    assert same_bits(winners(model)(A), reference.settle(model, A, COVERAGE).indices)


@pytest.mark.parametrize("k", [1, 5])
def test_all_outputs_are_listed_and_equal(level: str, k: int) -> None:
    """The longest lists there are, in which the lowest index wins."""
    model = random_model(1, n_features=9, n_codebooks=4, n_prototypes=16, n_outputs=700)
    model = with_short_list(model, k, 10**6)
    assert model.short_list
    short = replace(model.short_list, B=np.zeros((9, 700)), bias=np.full(700, -1.5))
    model = replace(model, short_list=short)
    A = rows_for(model, 90, "float32", 0)
    A[~np.isfinite(A)] = 0
    check(model, A, level)
    assert (reference.settle(model, A, COVERAGE).indices == np.arange(k)).all()


def test_equal_columns_far_apart(level: str) -> None:
    model = random_model(1, n_features=9, n_codebooks=4, n_prototypes=16, n_outputs=700)
    model = with_short_list(model, 3, 10**6)
    A = np.random.default_rng(0).standard_normal((50, 9)).astype(np.float32)
    check(model, A, level)


def test_rows_that_are_not_numbers(level: str) -> None:
    """NaN counts as the largest output; whatever the answer is, it is in range."""
    model = with_short_list(
        random_model(1, n_features=70, n_codebooks=4, n_prototypes=16, n_outputs=30), 2, 40
    )
    A = np.random.default_rng(0).standard_normal((40, 70)).astype(np.float32)
    A[::3, 5] = np.nan
    A[1::3, 6] = np.inf
    A[2::6] = 3e38
    check(model, A, level)


@pytest.mark.parametrize(
    ("dtype", "order"),
    [
        ("float32", "strided"),
        ("float64", "C"),
        ("float16", "C"),
        ("bfloat16", "F"),
        ("int8", "strided"),
        ("uint8", "C"),
        ("int16", "F"),
    ],
)
def test_layouts_and_formats(level: str, order: Any, dtype: str) -> None:
    model = with_short_list(
        random_model(1, n_features=70, n_codebooks=9, n_prototypes=16, n_outputs=80), 1, 200
    )
    rng = np.random.default_rng(0)
    if dtype == "bfloat16":
        ml_dtypes = pytest.importorskip("ml_dtypes")
        A: Any = rng.standard_normal((150, 70)).astype(ml_dtypes.bfloat16)
    else:
        A = (20 * rng.random((150, 70))).astype(dtype)
    if order == "F":
        A = np.asfortranarray(A)
    elif order == "strided":
        A = np.repeat(np.repeat(A, 2, axis=1), 2, axis=0)[::2, ::2]
    found = winners(model, level, dtype=dtype, order=order)(A)
    assert same_bits(found, reference.settle(model, A, COVERAGE).indices)


def test_threads_and_rows_alone() -> None:
    """A row's answer depends on that row alone, however the others are shared."""
    model = with_short_list(
        random_model(1, n_features=40, n_codebooks=9, n_prototypes=16, n_outputs=300), 3, 200
    )
    A = np.random.default_rng(0).standard_normal((9000, 40)).astype(np.float32)
    op = winners(model)
    expected = op(A)
    for threads in (2, 3, 7):
        assert same_bits(op(A, threads=threads), expected)
    assert same_bits(op(A[5]), expected[5])
    assert same_bits(op(A[::-1])[::-1], expected)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: op(A[:500]), range(16)):
            assert same_bits(found, expected[:500])


def test_one_winner_has_no_axis() -> None:
    model = with_short_list(
        random_model(1, n_features=9, n_codebooks=3, n_prototypes=4, n_outputs=7), 1, 5
    )
    op = maddjit.compile(model, result="argmax", coverage=COVERAGE)
    A = np.random.default_rng(0).standard_normal((20, 9))
    assert op(A).shape == (20,)
    assert op(A[0]).shape == ()
    assert op(A[:0]).shape == (0,)
    assert op.settle(A).indices.shape == op.settle(A).outputs.shape == (20, 1)
    assert op.settle(A[0]).lengths.shape == ()
    assert same_bits(pickle.loads(pickle.dumps(op))(A), op(A))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("n_features", [64, 70])
def test_guard_pages_around_A(level: str, order: Any, n_features: int) -> None:
    model = with_short_list(
        random_model(1, n_features=n_features, n_codebooks=9, n_prototypes=16, n_outputs=300),
        4,
        10**6,
    )
    op = winners(model, level, order=order)
    for n_rows, at_end in product((1, 5, 65), (True, False)):
        rows = np.random.default_rng(0).standard_normal((n_rows, n_features)).astype(np.float32)
        with between_guards(rows.nbytes, at_end) as memory:
            A = memory.view(np.float32).reshape(rows.shape, order=order)
            A[...] = rows
            assert same_bits(op(A), reference.settle(model, rows, COVERAGE).indices)


def test_code_calls_nothing_and_is_declared() -> None:
    model = with_short_list(
        random_model(1, n_features=70, n_codebooks=9, n_prototypes=16, n_outputs=300), 4, 30
    )
    for level in RUNNABLE:
        assert "call" not in winners(model, level).asm()


def test_columns_are_packed_once() -> None:
    model = with_short_list(
        random_model(1, n_features=9, n_codebooks=3, n_prototypes=4, n_outputs=50), 1, 5
    )
    op = winners(model)
    kernels = [op.kernel("float32"), op.kernel("float64"), op.kernel("float32", "F")]
    assert len({id(kernel.plan.packed) for kernel in kernels}) == 1


def test_report_tells_what_lists_to_expect() -> None:
    model = with_short_list(
        random_model(1, n_features=9, n_codebooks=3, n_prototypes=4, n_outputs=7), 1, 5
    )
    op = winners(model)
    assert "2 outputs are listed on average" in str(op.report)
    assert "settles it exactly" in str(op.report)
    assert "exact top 1 of 7" in repr(op)
    assert "define" in op.ir()
    assert "define" in op.ir("optimized")
    with pytest.raises(ValueError, match="stage must be"):
        op.ir("any")


def test_monitor_warns_of_longer_lists() -> None:
    model = with_short_list(
        random_model(1, n_features=9, n_codebooks=3, n_prototypes=4, n_outputs=50), 1, 10**6
    )
    op = winners(model)
    A = np.random.default_rng(0).standard_normal((1100, 9))
    assert op.monitor().n_rows == 0
    op(A[:100])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # too few rows to say anything
        assert op.monitor().mean == 50
    op(A)
    with pytest.warns(maddjit.DriftWarning, match="50 outputs on average"):
        op.monitor()
    op.reset()
    assert np.isnan(op.monitor().mean)


def test_audit_compares_with_the_whole_product() -> None:
    """Scores at random name the exact winners only where all outputs are listed."""
    model = random_model(1, n_features=9, n_codebooks=3, n_prototypes=4, n_outputs=50)
    A = np.random.default_rng(0).standard_normal((200, 9)).astype(np.float32)
    for k in (1, 3):
        assert winners(with_short_list(model, k, 10**6)).audit(A) == 1
        op = winners(with_short_list(model, k, 0))
        assert op.audit(A) < 0.5
    assert op.audit(A[0]) in (0, 1)


def test_audit_reads_the_bits_of_bfloat16_as_the_operator_does() -> None:
    model = random_model(1, n_features=9, n_codebooks=3, n_prototypes=4, n_outputs=50)
    A = np.random.default_rng(0).standard_normal((200, 9)).astype(np.float32)
    op = winners(with_short_list(model, 1, 10**6), dtype="bfloat16")
    assert op.audit(float32_to_bfloat16(A)) == 1
    with pytest.raises(TypeError, match="uint16"):
        winners(with_short_list(model, 1, 10**6)).audit(float32_to_bfloat16(A))


@pytest.mark.parametrize("way", ["__call__", "settle"])
def test_a_call_within_a_call(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The handler of a signal may call what it interrupts."""
    model = random_model(1, n_features=9, n_codebooks=3, n_prototypes=4, n_outputs=50)
    A = np.random.default_rng(0).standard_normal((200, 9)).astype(np.float32)
    op = winners(with_short_list(model, 3, 10**6))
    expected = op(A)
    function_of, inner = op._function_of, []

    def interrupted(*key: Any) -> Any:
        function = function_of(*key)

        def run(*arguments: Any) -> None:
            function(*arguments)
            if not inner:
                inner.append(None)
                inner.append(op(A[::-1]))

        return run

    monkeypatch.setattr(op, "_function_of", interrupted)
    found = op(A) if way == "__call__" else op.settle(A).indices
    assert same_bits(found, expected)
    assert same_bits(inner[1], expected[::-1])


def test_errors_say_what_is_missing() -> None:
    plain = random_model(1, n_features=9, n_codebooks=3, n_prototypes=4, n_outputs=7)
    with pytest.raises(ValueError, match="calibrate"):
        maddjit.compile(plain, result="argmax")
    with pytest.raises(ValueError, match="calibrate"):
        reference.settle(plain, np.zeros((1, 9)), 0.5)
    model = with_short_list(plain, 3, 5)
    with pytest.raises(ValueError, match="k=3, not 1"):
        maddjit.compile(model, result="argmax", coverage=0.5)
    with pytest.raises(ValueError, match="k=3, not 2"):
        maddjit.compile(model, result="topk", k=2, coverage=0.5)
    with pytest.raises(maddjit.CoverageError, match="999 rows"):
        maddjit.compile(model, result="topk", k=3)
    with pytest.raises(ValueError, match="epilogue and tune"):
        maddjit.compile(model, result="topk", k=3, epilogue=maddjit.Epilogue())  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="result must be"):
        maddjit.compile(model, result="winner")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="must have shape"):
        maddjit.compile(model, result="topk", coverage=0.5)(np.zeros((2, 8)))
