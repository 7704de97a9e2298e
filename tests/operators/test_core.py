"""The exact core: bits of the reference in every layout, level and format, NaN and all."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import maddjit
from maddjit import reference
from maddjit.arrays.formats import INPUTS, OUTPUTS, bfloat16_to_float32
from maddjit.compiler.maddness.planner import make_plan
from maddjit.compiler.maddness.simplify import simplified
from maddjit.compiler.maddness.splicing import spliced_lanes
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import LEVELS, named
from maddjit.models.core import LowRankCore
from maddjit.models.maddness import MaddnessModel
from tests.assembly import instructions, loops
from tests.conftest import RUNNABLE, same_bits, same_numbers
from tests.operators.test_bits import LAYOUTS
from tests.operators.test_emulated_levels import operator
from tests.operators.test_memory import between_guards
from tests.random_models import cored_models, random_model, rows_for, with_core


def model_of(
    rank: int = 3, n_features: int = 37, n_outputs: int = 45, largest: int = 60, **options: Any
) -> MaddnessModel:
    sizes = {"n_features": n_features, "n_codebooks": 5, "n_prototypes": 16} | options
    return with_core(random_model(1, n_outputs=n_outputs, largest=largest, **sizes), rank)


def assert_same(op: maddjit.CompiledOperator, model: MaddnessModel, A: NDArray[Any]) -> None:
    expected = reference.apply(model, A)
    assert same_numbers(op(A), expected)
    out = np.empty(expected.shape, np.float32, order="F")
    op(A, out=out)
    assert same_numbers(np.ascontiguousarray(out), expected)


def assert_all_same(op: maddjit.CompiledOperator, model: MaddnessModel, A: NDArray[Any]) -> None:
    assert_same(op, model, A)
    assert same_bits(op.encode(A), reference.encode(model, A))
    assert same_bits(op.sums(A), reference.sums(model, A))
    assert same_bits(op.argmax(A), reference.argmax(model, A))
    k = (model.n_outputs + 1) // 2
    assert same_bits(op.topk(A, k), reference.topk(model, A, k))


def by_hand(model: MaddnessModel, row: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the outputs of one row number by number."""
    assert model.core is not None
    U, V = model.core.projection, model.core.expansion
    y = np.float32(reference.sums(model, row)) * model.scale + model.offset
    for s in range(model.core.rank):
        lanes = [np.float32(0)] * 16
        for j in range(len(row)):
            lanes[j % 16] = lanes[j % 16] + row[j] * U[j, s]
        for half in (8, 4, 2, 1):
            lanes = [lanes[i] + lanes[i + half] for i in range(half)]
        y = y + lanes[0] * V[s]
    return y


def test_the_definition_number_by_number() -> None:
    for n_features in (1, 15, 16, 37):
        model = model_of(4, n_features)
        rows = np.random.default_rng(0).standard_normal((5, n_features)).astype(np.float32)
        with np.errstate(all="ignore"):
            expected = np.stack([by_hand(model, row) for row in rows])
        assert same_bits(reference.apply(model, rows), expected)
        assert same_bits(reference.apply(model, rows[0]), expected[0])
        assert reference.project(model, rows[0]).shape == (4,)
    with pytest.raises(ValueError, match="no core"):
        reference.project(replace(model, core=None), rows)


@pytest.mark.slow
@settings(max_examples=25)
@given(
    model=cored_models(),
    n_rows=st.one_of(st.integers(0, 40), st.sampled_from([255, 256, 257])),
    layout=st.sampled_from(sorted(LAYOUTS)),
    dtype=st.sampled_from(["float32", "float32", "float64"]),
    special=st.booleans(),
    data=st.data(),
)
def test_any_model_any_rows(
    model: MaddnessModel, n_rows: int, layout: str, dtype: str, special: bool, data: st.DataObject
) -> None:
    op = maddjit.compile(model, data.draw(st.sampled_from(RUNNABLE)), dtype=dtype)
    rows = rows_for(model, n_rows, dtype, 0)
    if not special:  # else hardly an output is finite
        rows = np.random.default_rng(0).standard_normal(rows.shape).astype(dtype)
    assert_all_same(op, model, LAYOUTS[layout](rows))


@pytest.mark.quick(6)
@pytest.mark.parametrize("layout", ["C", "F", "every other column", "unaligned"])
@pytest.mark.parametrize("rank", [1, 3, 8, 17])
def test_rows_around_the_vectors_and_blocks(level: str, layout: str, rank: int) -> None:
    model = model_of(rank)
    op = maddjit.compile(model, level)
    rng = np.random.default_rng(0)
    for n_rows in (0, 1, 2, 3, 15, 16, 17, 63, 65, 256, 512, 531, 1100):
        A = rng.standard_normal((n_rows, 37)).astype(np.float32)
        assert_same(op, model, LAYOUTS[layout](A))


@pytest.mark.quick(8)
@pytest.mark.parametrize("n_features", [1, 2, 15, 16, 17, 31, 32, 64, 79, 129, 1000])
@pytest.mark.parametrize("order", ["C", "F"])
def test_columns_around_the_groups(level: str, n_features: int, order: Any) -> None:
    model = model_of(5, n_features)
    A = np.random.default_rng(0).standard_normal((90, n_features)).astype(np.float32)
    assert_same(maddjit.compile(model, level, order=order), model, np.asarray(A, order=order))


@pytest.mark.slow
@pytest.mark.parametrize("n_outputs", [1, 2, 16, 31, 33, 64, 100, 129, 300])
@pytest.mark.parametrize("largest", [60, 255])
def test_outputs_around_the_vectors(level: str, n_outputs: int, largest: int) -> None:
    model = model_of(9, n_outputs=n_outputs, largest=largest)
    A = np.random.default_rng(0).standard_normal((70, 37)).astype(np.float32)
    assert_all_same(maddjit.compile(model, level), model, A)


@pytest.mark.quick(2)
@pytest.mark.parametrize("level", [name for name in LEVELS if name.startswith("x86")])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("rank", [2, 13])
def test_emulated_levels(level: str, order: Any, rank: int) -> None:
    model = model_of(rank, n_outputs=83, largest=255)
    A = np.random.default_rng(0).standard_normal((75, 37)).astype(np.float32)
    assert_same(operator(model, level), model, np.asarray(A, order=order))


@pytest.mark.slow
@settings(max_examples=30)
@given(
    model=cored_models(),
    dtype=st.sampled_from(sorted(INPUTS)),
    epilogue=st.builds(
        lambda dtype, low, high: maddjit.Epilogue(
            dtype, low=low, high=high, step=0.5 if dtype in ("int8", "uint8") else 1.0
        ),
        st.sampled_from(sorted(OUTPUTS)),
        st.sampled_from([-np.inf, 0.0]),
        st.sampled_from([np.inf, 6.0]),
    ),
    order=st.sampled_from("CF"),
    out_order=st.sampled_from("CF"),
    n_rows=st.integers(1, 100),
    special=st.booleans(),
    data=st.data(),
)
def test_every_format(
    model: MaddnessModel,
    dtype: str,
    epilogue: maddjit.Epilogue,
    order: Any,
    out_order: Any,
    n_rows: int,
    special: bool,
    data: st.DataObject,
) -> None:
    form = INPUTS[dtype]
    rows = rows_for(model, n_rows, "float32", 0)
    if not special:
        rows = np.random.default_rng(0).standard_normal(rows.shape).astype(np.float32)
    if dtype == "bfloat16":
        A: Any = (rows.view(np.uint32) >> 16).astype(np.uint16)
        wide = bfloat16_to_float32(A)
    else:
        if form.dtype.kind in "iu":
            rows = np.clip(np.nan_to_num(rows), 0 if form.dtype.kind == "u" else -2, 2) * 50
        with np.errstate(over="ignore"):
            A = wide = rows.astype(form.dtype)
    level = data.draw(st.sampled_from(RUNNABLE))
    op = maddjit.compile(model, level, dtype=dtype, epilogue=epilogue)
    expected = reference.apply(model, wide, epilogue)
    out = np.empty(expected.shape, expected.dtype, order=out_order)
    op(np.asarray(A, order=order), out=out)
    assert same_numbers(np.ascontiguousarray(out), expected)


def test_float64_is_rounded_once(level: str) -> None:
    model = model_of(2)
    A = 1 + 1e-9 * np.random.default_rng(0).standard_normal((40, 37))
    assert_same(maddjit.compile(model, level, dtype="float64"), model, A)
    assert same_bits(reference.project(model, A), reference.project(model, np.float32(A)))
    assert_same(maddjit.compile(model, level), model, np.full((3, 37), 1e300))


@pytest.mark.quick(1)
@pytest.mark.parametrize("n_outputs", [1, 10, 130])
def test_rows_that_are_not_finite(level: str, n_outputs: int) -> None:
    model = model_of(3, n_outputs=n_outputs)
    rng = np.random.default_rng(0)
    A = rng.standard_normal((120, 37)).astype(np.float32)
    A[np.arange(40), rng.integers(0, 37, 40)] = np.nan
    A[np.arange(40, 80), rng.integers(0, 37, 40)] = rng.choice([np.inf, -np.inf], 40)
    A[80:100] *= np.float32(1e38)
    A[100:] *= np.float32(1e-44)
    expected = reference.apply(model, A)
    assert not np.isfinite(expected[:80]).any()
    for order in ("C", "F"):
        assert_all_same(maddjit.compile(model, level), model, np.asarray(A, order=order))  # type: ignore[call-overload]
    op = maddjit.compile(model, level)
    for k in {1, min(4, n_outputs), n_outputs}:
        assert same_bits(op.topk(A, k), reference.topk(model, A, k))
    assert [op.argmax(row) for row in A] == op.argmax(A).tolist()
    assert same_bits(op.argmax(A), op.topk(A, 1)[:, 0])
    assert same_bits(reference.argmax(model, A), reference.topk(model, A, 1)[:, 0])


def test_nan_in_each_format() -> None:
    model = replace(model_of(1, n_outputs=20))
    A = np.full((3, 37), np.nan, np.float32)
    for level in RUNNABLE:
        for dtype in ("float16", "bfloat16"):
            y = maddjit.compile(model, level, epilogue=maddjit.Epilogue(dtype))(A)
            wide = bfloat16_to_float32(y) if dtype == "bfloat16" else y
            assert np.isnan(wide).all()
        assert (maddjit.compile(model, level, epilogue=maddjit.Epilogue("int8"))(A) == 127).all()
        assert (maddjit.compile(model, level, epilogue=maddjit.Epilogue(low=2))(A) == 2).all()


def test_threads_short_calls_and_tuning(level: str) -> None:
    model = model_of(4)
    A = np.random.default_rng(0).standard_normal((3000, 37)).astype(np.float32)
    expected = reference.apply(model, A)
    op = maddjit.compile(model, level)
    op._least_rows = 100
    for rows in (A, np.asfortranarray(A), np.repeat(A, 2, axis=1)[:, ::2]):
        assert same_bits(op(rows, threads=3), expected)
    assert same_bits(op(A[0]), expected[0])
    short: Any = op._outputs.call(A[:1])
    assert same_bits(short, expected[:1])
    tuned = maddjit.compile(model, level, tune=A)
    assert same_bits(tuned(A), expected)
    assert same_bits(pickle.loads(pickle.dumps(tuned))(A), expected)


def test_results_that_go_past_the_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(4, n_outputs=700)
    op = maddjit.compile(model)
    A = np.random.default_rng(0).standard_normal((300, 37)).astype(np.float32)
    runner = op._runner(Signature())
    assert runner.stage_bytes
    op._runners[Signature()] = replace(runner, streaming_rows=0)
    op._chosen.clear()
    assert same_bits(op(A, threads=1), reference.apply(model, A))


@pytest.mark.quick(1)
@pytest.mark.parametrize("n_prototypes", [2, 64, 256])
def test_other_trees(level: str, n_prototypes: int) -> None:
    model = model_of(3, n_prototypes=n_prototypes, n_codebooks=40)
    A = np.random.default_rng(0).standard_normal((70, 37)).astype(np.float32)
    assert_same(maddjit.compile(model, level), model, A)  # more elements than straight-line code
    assert_same(maddjit.compile(model, level), model, np.asfortranarray(A))


def test_tables_that_are_all_zero(level: str) -> None:
    model = model_of(3)
    model = replace(model, tables=np.zeros_like(model.tables))
    assert simplified(model).core is model.core
    A = np.random.default_rng(0).standard_normal((70, 37)).astype(np.float32)
    assert_all_same(maddjit.compile(model, level), model, A)


@pytest.mark.quick(4)
@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_guard_pages(level: str, at_end: bool, dtype: str, order: Any) -> None:
    for n_features in (5, 19, 32):
        model = model_of(3, n_features, n_outputs=21)
        op = maddjit.compile(model, level, dtype=dtype, order=order)
        for n_rows in (1, 5, 64, 300):
            rows = (20 * np.random.default_rng(0).standard_normal((n_rows, n_features))).astype(
                dtype
            )
            expected = reference.apply(model, rows)
            with (
                between_guards(rows.nbytes, at_end) as memory_A,
                between_guards(expected.nbytes, at_end) as memory_Y,
            ):
                A = memory_A.view(dtype).reshape(rows.shape, order=order)
                A[...] = rows
                out = memory_Y.view(np.float32).reshape(expected.shape)
                assert same_bits(op(A, out=out), expected)
                columns = memory_Y.view(np.float32).reshape(expected.shape, order="F")
                op(A, out=columns)
                assert same_bits(np.ascontiguousarray(columns), expected)


def wide_model(rank: int) -> MaddnessModel:
    return model_of(rank, n_features=512, n_codebooks=16, n_outputs=128)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_products_and_sums_are_not_contracted(level: str, order: Any) -> None:
    negative = np.full(128, -1, np.float32)
    model = replace(wide_model(5), scale=negative, offset=negative * 0)
    assert not spliced_lanes(model, named(level), Signature())  # sums would be scaled by fusing
    code = instructions(maddjit.emit(model, level, order=order))
    assert not any(re.match(r"v?fn?m(add|sub)|fml[as]|call|blr?$", name) for name, _ in code)


@pytest.mark.quick(3)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("rank", [1, 3, 4, 8])
def test_projections_take_a_product_and_a_sum_for_each_vector(
    level: str, order: Any, rank: int
) -> None:
    def count(body: list[tuple[str, str]], pattern: str) -> int:
        return sum(bool(re.fullmatch(pattern, name)) for name, _ in body)

    target = named(level)
    core = make_plan(wide_model(rank), target, Signature(order=order)).core
    assert core is not None
    at_once = core.strips.turn_columns if core.strips else 64 // target.vector_bytes
    vectors = core.project.chunk * at_once * core.project.groups[0].rows
    found = [
        body
        for body in loops(maddjit.emit(wide_model(rank), level, order=order))
        if count(body, r"v?mulps|fmul") == count(body, r"v?addps|fadd") == vectors
    ]
    # Not the loop for A of any strides, which may come with it.
    found = [body for body in found if not count(body, r"v?insertps|v?unpck\w+|ld1")]
    assert found
    for _, operands in found[0]:
        assert not re.search(r"%[re]sp\b|\[sp", operands)  # nothing is spilled


def test_code_does_not_grow_with_the_rank() -> None:
    lines = [
        len(maddjit.emit(model_of(rank), "x86-64-v3", "template").splitlines()) for rank in (16, 64)
    ]
    assert lines[1] <= lines[0]


@pytest.mark.parametrize(
    ("U", "V", "error", "message"),
    [
        (np.zeros(3), np.zeros((1, 5)), ValueError, r"shapes \(D, r\) and \(r, M\)"),
        (np.zeros((3, 2)), np.zeros((1, 5)), ValueError, r"shapes \(D, r\) and \(r, M\)"),
        (np.zeros((3, 0)), np.zeros((0, 5)), ValueError, "from 1 to 64, not 0"),
        (np.zeros((3, 65)), np.zeros((65, 5)), ValueError, "from 1 to 64, not 65"),
        (np.full((3, 1), np.nan), np.zeros((1, 5)), ValueError, "projection must be finite"),
        (np.zeros((3, 1)), np.full((1, 5), np.inf), ValueError, "expansion must be finite"),
        (np.zeros((3, 1)), np.full((1, 5), 1e300), ValueError, "beyond the range of float32"),
        (np.zeros((3, 1), complex), np.zeros((1, 5)), TypeError, "projection must hold float32"),
    ],
)
def test_bad_cores(U: Any, V: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LowRankCore(U, V)


def test_a_core_fits_its_model() -> None:
    model = model_of(3)
    with pytest.raises(ValueError, match="37 columns and 45 outputs, not 36 and 45"):
        replace(model, core=LowRankCore(np.zeros((36, 1)), np.zeros((1, 45))))
    with pytest.raises(TypeError, match="must be a LowRankCore, not tuple"):
        replace(model, core=(1, 2))  # type: ignore[arg-type]
    assert "rank=3" in repr(model)
    assert repr(model.core) == "LowRankCore(D=37, M=45, rank=3)"
    assert "_R3_" in maddjit.compile(model).plan.symbol


def test_copies_and_files(tmp_path: Path) -> None:
    model = model_of(3)
    assert model.core is not None
    maddjit.save(model, tmp_path / "a model")
    names = {field: getattr(model, field) for field in vars(model)}
    names["core"] = SimpleNamespace(**vars(model.core))
    for again in (
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        maddjit.load(tmp_path / "a model"),
        MaddnessModel.of(SimpleNamespace(**names)),
    ):
        assert again.core is not None
        for name in ("projection", "expansion"):
            assert same_bits(getattr(again.core, name), getattr(model.core, name))
            with pytest.raises(ValueError, match="read-only"):
                getattr(again.core, name)[...] = 0
    maddjit.save(replace(model, core=None), tmp_path / "no core")
    assert maddjit.load(tmp_path / "no core").core is None
