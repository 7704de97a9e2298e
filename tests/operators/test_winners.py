"""Exact winners: the reference's answers at every level, ties, long lists, odd rows, drift."""

from __future__ import annotations

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import maddjit
from maddjit import reference
from maddjit.arrays.formats import float32_to_bfloat16
from maddjit.compiler import cache, llvm
from maddjit.compiler.maddness import packing
from maddjit.compiler.maddness import settings as planner_settings
from maddjit.models.maddness import MaddnessModel
from maddjit.operators.watching import audited, rounding
from maddjit.reference import maddness
from tests.conftest import RUNNABLE, same_bits
from tests.operators.test_memory import between_guards
from tests.random_models import models, random_model, rows_for, with_margins, with_short_list

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


@pytest.mark.quick(8)
@pytest.mark.parametrize("n_outputs", [1, 31, 65, 1100])
@pytest.mark.parametrize("largest", [12, 255])  # sums of 8 and 16 bits
@pytest.mark.parametrize("k", [1, 10])
def test_sizes_and_coverages(level: str, n_outputs: int, largest: int, k: int) -> None:
    """One kernel is right for all margins, in whatever order its operators are called."""
    model = random_model(
        1, n_features=70, n_codebooks=18, n_prototypes=16, n_outputs=n_outputs, largest=3
    )
    A = np.random.default_rng(0).standard_normal((290, 70)).astype(np.float32)
    model = with_margins(model, min(k, n_outputs), largest=largest)
    op = winners(model, level)
    for coverage in (0.9, 0.2, 0.7, 0.5):
        rows = A[:20] if coverage == 0.9 else A  # whose exact outputs are all computed
        expected = reference.settle(model, rows, coverage)
        assert same_bits(op.with_coverage(coverage)(rows), expected.indices)
    assert same_bits(op(A), expected.indices)
    assert len(op._kernels.compiled) == 1


@pytest.mark.quick(2)
@pytest.mark.parametrize("n_outputs", [20, 200, 600])
@pytest.mark.parametrize("largest", [1, 255])
def test_more_codebooks_than_straight_line_code_holds(n_outputs: int, largest: int) -> None:
    model = random_model(
        1, n_features=70, n_codebooks=200, n_prototypes=16, n_outputs=n_outputs, largest=3
    )
    A = np.random.default_rng(0).standard_normal((70, 70)).astype(np.float32)
    model = with_short_list(model, 1, 20, largest=largest)
    assert same_bits(winners(model)(A), reference.settle(model, A, COVERAGE).indices)


@pytest.mark.parametrize("n_outputs", [8, 9, 200])
def test_lists_of_any_room(level: str, n_outputs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs of one tile are looked at once only if all of them have room on a list."""
    monkeypatch.setattr(planner_settings, "LEAST_ROOM", 8)
    model = random_model(1, n_features=9, n_codebooks=4, n_prototypes=16, n_outputs=n_outputs)
    model = with_short_list(model, 1, 10**6, largest=63)
    check(model, np.random.default_rng(0).standard_normal((70, 9)).astype(np.float32), level)


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


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("at_end", [True, False])
def test_guard_pages_around_lists_and_results(level: str, k: int, at_end: bool) -> None:
    """Lists end the workspace, wherever a coverage lets them end."""
    model = random_model(1, n_features=9, n_codebooks=4, n_prototypes=16, n_outputs=700)
    model = with_margins(model, k, largest=60)
    A = np.random.default_rng(0).standard_normal((300, 9)).astype(np.float32)
    op = winners(model, level)
    for coverage in (0.9, 0.2, 0.7):
        runner = op.with_coverage(coverage)._runner_for("float32", "C", False)
        with (
            between_guards(runner.workspace_bytes, at_end) as workspace,
            between_guards(8 * 300 * (2 * k + 1), at_end) as memory,
        ):
            found = memory.view(np.int64).reshape(300, -1)
            runner._spare.append(workspace)
            runner(A, found)
            expected = reference.settle(model, A, coverage)
            assert same_bits(found[:, :k].copy(), expected.indices)
            assert same_bits(found[:, k].copy(), expected.lengths)
            runner._spare.clear()


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
        assert len(op._kernels.compiled) == 1  # what names is asked, not what also tells outputs
    assert op.audit(A[0]) in (0, 1)
    with pytest.raises(ValueError, match="needs rows"):
        op.audit(A[:0])


def with_columns(model: MaddnessModel, B: Any, bias: Any) -> MaddnessModel:
    assert model.short_list
    return replace(model, short_list=replace(model.short_list, B=B, bias=bias))


@pytest.mark.parametrize("order", [1, -1])  # a product's rounding depends on it, as on the machine
@pytest.mark.parametrize("k", [1, 3])
def test_equal_and_nearly_equal_outputs_are_no_misses(k: int, order: int) -> None:
    """The lowest index of equal items is right, whatever the whole product's rounding prefers."""
    rng = np.random.default_rng(0)
    model = random_model(1, n_features=90, n_codebooks=3, n_prototypes=4, n_outputs=60)
    op = winners(with_short_list(model, k, 10**6))
    A = rng.standard_normal((300, 90)).astype(np.float32)
    equal = np.repeat(rng.standard_normal((90, 1)), 60, axis=1).astype(np.float32)
    shifted = np.nextafter(equal, np.float32(9), where=rng.random(equal.shape) < 0.5, out=equal * 1)
    for B in (equal, shifted):
        model = with_columns(op.model, B, np.ones(60, np.float32))
        named = reference.settle(model, A, COVERAGE).indices
        turned = with_columns(op.model, B[::order].copy(), np.ones(60, np.float32)).short_list
        assert turned
        assert audited(A[:, ::order], named, turned).share == 1
    assert winners(with_columns(op.model, equal, np.ones(60, np.float32))).audit(A) == 1


@pytest.mark.parametrize("k", [1, 2])
def test_audits_tell_what_is_missed_and_by_how_much(k: int) -> None:
    """Numbers that are exact in float32: row i's outputs are i times those of the first."""
    model = with_short_list(
        random_model(1, n_features=4, n_codebooks=3, n_prototypes=4, n_outputs=6), k, 0
    )
    B = np.zeros((4, 6), np.float32)
    B[0] = (1, 8, 8, 2, 7, 4)
    short = with_columns(model, B, np.zeros(6, np.float32)).short_list
    assert short
    A = np.zeros((7, 4), np.float32)
    A[:, 0] = np.arange(1, 8)
    named = np.array([[1, 2], [2, 1], [4, 1], [1, 2], [2, 1], [1, 2], [2, 5]])[:, :k]
    found = audited(A, named, short)
    missed = [2] if k == 1 else [2, 6]
    assert found.rows.tolist() == missed
    assert found.share == 1 - len(missed) / 7
    assert found.n_close == 0
    assert (found.named == named[missed]).all()
    assert (np.sort(found.largest) == [1, 2][:k]).all() or k == 1
    assert found.shortfalls.tolist() == [3.0, 28.0][: len(missed)]  # 3 · (8 − 7), 7 · (8 − 4)
    assert ((found.roundings > 0) & (found.roundings < 1e-3)).all()
    assert f"row {missed[-1]} falls short most, by {found.shortfalls[-1]:.3g}" in str(found)
    assert "7 of 7 rows" in str(audited(A, named[[0] * 7], short))
    A[0, 1], A[1, 2], A[3, 0] = np.nan, np.inf, 3e38
    assert {0, 1, 3} <= set(audited(A, named, short).rows.tolist())
    assert "0 of 1 rows" in str(audited(A[:1], named[:1], short))


def test_rounding_bounds_what_other_orders_of_addition_make() -> None:
    """The bound holds for sums one by one, backwards, by lanes, and for the exact one."""
    rng = np.random.default_rng(0)
    for n_features in (1, 2, 300):
        a = (rng.standard_normal((500, n_features)) * 10.0 ** rng.integers(-42, 3)).astype("f4")
        b = rng.standard_normal((n_features, 1)).astype(np.float32)
        bound = rounding(np.abs(a) @ np.abs(b), n_features)[:, 0]
        with np.errstate(under="ignore"):
            terms = a * b[:, 0]
            sums = [np.add.accumulate(terms[:, ::step], axis=1)[:, -1] for step in (1, -1)]
            sums.append((a.astype(np.float64) @ b.astype(np.float64))[:, 0].astype(np.float32))
            sums.append(maddness._products(a, b, 64)[:, 0])
        for one, other in product(sums, sums):
            assert (np.abs(one.astype(np.float64) - other) <= bound).all()


def test_audit_reads_the_bits_of_bfloat16_as_the_operator_does() -> None:
    model = random_model(1, n_features=9, n_codebooks=3, n_prototypes=4, n_outputs=50)
    A = np.random.default_rng(0).standard_normal((200, 9)).astype(np.float32)
    op = winners(with_short_list(model, 1, 10**6), dtype="bfloat16")
    assert op.audit(float32_to_bfloat16(A)) == 1
    with pytest.raises(TypeError, match="uint16"):
        winners(with_short_list(model, 1, 10**6)).audit(float32_to_bfloat16(A))


def test_operators_of_other_coverages_share_all_but_their_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = random_model(1, n_features=9, n_codebooks=3, n_prototypes=4, n_outputs=50)
    model = with_margins(plain, 1)
    A = np.random.default_rng(0).standard_normal((20, 9)).astype(np.float32)
    op = maddjit.compile(model, result="argmax", coverage=0.2)
    op(A)
    for name in ("to_object", "load"):
        monkeypatch.setattr(llvm, name, lambda *_: pytest.fail("a kernel was made"))
    monkeypatch.setattr(packing, "packed", lambda *_: pytest.fail("B was packed"))
    other = op.with_coverage(0.9)
    assert other.kernel() is op.kernel()
    assert other.plan.packed is op.plan.packed
    assert (op.coverage, other.coverage) == (0.2, 0.9)
    assert other.monitor().n_rows == 0
    other(A)
    other(A)
    assert [each.monitor().n_rows for each in (op, other)] == [20, 40]
    assert [each.monitor().expected for each in (op, other)] == [2, 500]
    other.reset()
    assert [each.monitor().n_rows for each in (op, other)] == [20, 0]
    assert "coverage 0.9: margin 1000000" in str(other.report)
    assert "coverage 0.2: margin 0" in str(op.report)
    assert "coverage=0.9" in repr(other)
    for impossible in (0.95, 1.0):
        with pytest.raises(maddjit.CoverageError):
            op.with_coverage(impossible)
    with pytest.raises(TypeError, match="coverage must be a number, not str"):
        op.with_coverage("0.9")  # type: ignore[arg-type]
    assert op.with_coverage(np.float32(0.2)).coverage == np.float32(0.2)


def test_other_coverages_travel_and_are_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One object of the cache serves all coverages, in this process and others."""
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path))
    plain = random_model(1, n_features=9, n_codebooks=3, n_prototypes=4, n_outputs=50)
    model = with_margins(plain, 2)
    A = np.random.default_rng(0).standard_normal((20, 9)).astype(np.float32)
    op = maddjit.compile(model, result="topk", k=2, coverage=0.2)
    monkeypatch.setattr(llvm, "to_object", lambda *_: pytest.fail("LLVM was asked"))
    for found in (
        maddjit.compile(model, result="topk", k=2, coverage=0.9),
        pickle.loads(pickle.dumps(op.with_coverage(0.9))),
        pickle.loads(pickle.dumps(op)).with_coverage(0.9),
    ):
        assert found.coverage == 0.9
        assert same_bits(found(A), reference.settle(model, A, 0.9).indices)


@pytest.mark.parametrize("way", ["__call__", "settle"])
def test_a_call_within_a_call(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The handler of a signal may call what it interrupts."""
    model = random_model(1, n_features=9, n_codebooks=3, n_prototypes=4, n_outputs=50)
    A = np.random.default_rng(0).standard_normal((200, 9)).astype(np.float32)
    op = winners(with_short_list(model, 3, 10**6))
    expected = op(A)
    runner_for, inner = op._runner_for, []

    def interrupted(*key: Any) -> Any:
        runner = runner_for(*key)

        def run(*arguments: Any) -> None:
            runner(*arguments)
            if not inner:
                inner.append(None)
                inner.append(op(A[::-1], threads=1))

        return run

    monkeypatch.setattr(op, "_runner_for", interrupted)
    monkeypatch.setattr(op._winners, "add", lambda _: None)  # which is no runner
    found = op(A, threads=1) if way == "__call__" else op.settle(A).indices
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
    with pytest.raises(ValueError, match="epilogue, out_order and tune"):
        maddjit.compile(model, result="topk", k=3, epilogue=maddjit.Epilogue())  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="result must be"):
        maddjit.compile(model, result="winner")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="must have shape"):
        maddjit.compile(model, result="topk", coverage=0.5)(np.zeros((2, 8)))
