"""The operator as its user meets it: arguments, errors, threads, pickles, and its insides shown."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

import maddjit
from maddjit import reference
from maddjit.models.maddness import MaddnessModel
from tests.conftest import same_bits
from tests.random_models import random_model, rows_for

ONE = np.zeros(12, np.float32)


@pytest.fixture
def model() -> MaddnessModel:
    return random_model(0, n_features=12, n_codebooks=6, n_prototypes=16, n_outputs=10)


@pytest.fixture
def op(model: MaddnessModel) -> maddjit.CompiledOperator:
    return maddjit.compile(model)


def test_lists_are_float64(op: maddjit.CompiledOperator, model: MaddnessModel) -> None:
    rows = [[0.1] * 12, [1] * 12]
    assert same_bits(op(rows), reference.apply(model, np.array(rows)))
    assert same_bits(op([1] * 12), reference.apply(model, np.ones(12)))


def test_other_byte_order(op: maddjit.CompiledOperator, model: MaddnessModel) -> None:
    A = rows_for(model, 9, "float32", 0)
    assert same_bits(op(A.astype(">f4")), reference.apply(model, A))


@pytest.mark.parametrize("dtype", ["int32", "uint16", "complex64", "bool", "object"])
def test_wrong_dtype(op: maddjit.CompiledOperator, dtype: str) -> None:
    with pytest.raises(TypeError, match=f"float32, .*int16, not {dtype}"):
        op(np.zeros((3, 12), dtype))


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        (lambda op: op(np.zeros((3, 12), int)), TypeError, r"int64: A.astype\(np.float32\)"),
        (lambda op: op([[1.0, 2.0], [3.0]]), ValueError, "A must be an array, but its rows differ"),
        (lambda op: op.topk(ONE, 2.5), TypeError, "k must be a whole number, not 2.5"),
        (lambda op: op.sums(ONE, out=ONE), TypeError, "out must be an array of .* or int32, not"),
        (lambda op: maddjit.compile(op.model, epilogue=3), TypeError, "must be an Epilogue.*not 3"),
        (lambda op: maddjit.compile(op.model, result="foo"), ValueError, "result must .*not 'foo'"),
        (lambda op: maddjit.compile(op.model, k=2), ValueError, 'k is for result="topk"'),
        (lambda op: maddjit.compile("m.npz"), TypeError, r"maddjit.load\(path\) first"),
    ],
)
def test_errors_name_what_was_wrong(
    op: maddjit.CompiledOperator, asked: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        asked(op)


@pytest.mark.parametrize("shape", [(3, 11), (3, 13), (11,), (), (2, 3, 12), (12, 3)])
def test_wrong_shape(op: maddjit.CompiledOperator, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(N, 12\) or \(12,\)"):
        op(np.zeros(shape, np.float32))


def test_no_rows(op: maddjit.CompiledOperator) -> None:
    for order in "CF":
        A = np.zeros((0, 12), np.float32, order=order)  # type: ignore[call-overload]
        assert op(A).shape == (0, 10)
        assert op.sums(A).shape == (0, 10)
        assert op.encode(A).shape == (0, 6)


def test_bad_out(op: maddjit.CompiledOperator) -> None:
    A = np.zeros((3, 12), np.float32)
    read_only = np.zeros((3, 10), np.float32)
    read_only.flags.writeable = False
    for out, error, message in (
        (np.zeros((3, 10)), TypeError, "array of float32, not float64"),
        ([[0.0] * 10] * 3, TypeError, "array of float32, not list"),
        (np.zeros((3, 11), np.float32), ValueError, r"shape \(3, 10\), not \(3, 11\)"),
        (read_only, ValueError, "read-only"),
    ):
        with pytest.raises(error, match=message):
            op(A, out=out)  # type: ignore[arg-type]


def test_many_threads(model: MaddnessModel) -> None:
    op = maddjit.compile(model)
    batches: list[Any] = [
        np.asarray(rows_for(model, 50 + i, dtype, i), order=order)  # type: ignore[call-overload]
        for i in range(20)
        for dtype in ("float32", "float64")
        for order in "CF"
    ]
    with ThreadPoolExecutor(8) as pool:  # kernels for new layouts are compiled meanwhile
        answers = list(pool.map(op, batches))
    for A, Y in zip(batches, answers, strict=True):
        assert same_bits(Y, reference.apply(model, A))


def test_pickle(op: maddjit.CompiledOperator, model: MaddnessModel) -> None:
    again = pickle.loads(pickle.dumps(op))
    A = rows_for(model, 30, "float32", 0)
    assert same_bits(again(A), op(A))
    assert again.target == op.target


def test_pickles_keep_what_compile_was_told(model: MaddnessModel) -> None:
    epilogue = maddjit.Epilogue("int8", step=0.5)
    op = maddjit.compile(model, dtype="float64", order="F", epilogue=epilogue, threads=2)
    again = pickle.loads(pickle.dumps(op))
    assert again.plan == op.plan
    A = rows_for(model, 30, "float64", 0)
    assert same_bits(again(A), op(A))


@pytest.mark.parametrize("keywords", [{"result": "output"}, {"order": "c"}, {"dtype": "int32"}])
def test_kernels_that_do_not_exist(op: maddjit.CompiledOperator, keywords: Any) -> None:
    (name,) = keywords
    for look in (op.kernel, op.ir, op.asm):
        with pytest.raises(ValueError, match=f"{name} must be one of"):
            look(**keywords)


def test_other_kinds_of_array(op: maddjit.CompiledOperator, model: MaddnessModel) -> None:
    A = rows_for(model, 5, "float32", 0)
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix(A)
    assert same_bits(op(matrix), reference.apply(model, matrix))
    for call in (op, op.sums, op.argmax):
        with pytest.raises(TypeError, match="A must not be a masked array"):
            call(np.ma.masked_array(A))
    with pytest.raises(TypeError, match="A_train must not be a masked array"):
        maddjit.fit(np.ma.masked_array(A), np.eye(A.shape[1]))


def test_sparse_rows_and_nullable_columns_are_refused_with_advice(
    op: maddjit.CompiledOperator, model: MaddnessModel
) -> None:
    A = rows_for(model, 5, "float32", 0)
    sparse = csr_array(np.nan_to_num(A))
    for call in (op, op.argmax, lambda rows: maddjit.compile(model, tune=rows)):
        with pytest.raises(TypeError, match=r"must be dense, not a sparse csr_array: .*toarray"):
            call(sparse)
    with pytest.raises(TypeError, match=r"A_train must be dense.* A_train\.toarray\(\)"):
        maddjit.fit(sparse, np.eye(A.shape[1]))
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(A)
    assert same_bits(op(table), op(A))
    with pytest.raises(TypeError, match=r"A has nullable or mixed columns.* A\.to_numpy\("):
        op(table.astype("Float32"))
    table = pandas.DataFrame(np.nan_to_num(A)).astype("Float32")
    table.iloc[0, 0] = pandas.NA
    converted = table.to_numpy(np.float32, na_value=np.nan)  # as the message advises
    assert same_bits(op(converted), reference.apply(model, converted))


def test_large_workspaces_are_not_on_the_stack() -> None:
    model = random_model(0, n_features=9, n_codebooks=3000, n_prototypes=2, n_outputs=3)
    op = maddjit.compile(model)
    A = rows_for(model, 300, "float32", 0)
    before = threading.stack_size(128 * 1024)
    try:
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(op(A)))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert same_bits(answers[0], reference.apply(model, A))


@pytest.mark.slow
def test_compiling_gives_its_memory_back() -> None:
    """In a process of its own: the peak of this one may be anything."""
    pytest.importorskip("resource")
    code = """if True:
        import gc, resource
        import maddjit
        from tests.random_models import random_model
        sizes = {"n_features": 9, "n_codebooks": 64, "n_prototypes": 16, "n_outputs": 2048}
        peaks = []
        for seed in range(12):  # LLVM would keep the same table only once
            model = random_model(seed, **sizes)
            maddjit.compile(model)
            gc.collect()
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        print((peaks[-1] - peaks[3]) * 1024 / model.tables.nbytes)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 4  # tables kept by eight compilations


def test_emission_does_not_depend_on_the_surroundings(
    model: MaddnessModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    assert "%k1" in maddjit.emit(model, "x86-64-v4")


def test_any_object_with_the_arrays(op: maddjit.CompiledOperator, model: MaddnessModel) -> None:
    names = ("split_dims", "thresholds", "tables", "scale", "offset", "n_features")
    other = SimpleNamespace(**{name: getattr(model, name) for name in names})
    A = rows_for(model, 30, "float32", 0)
    assert same_bits(maddjit.compile(other)(A), op(A))
    del other.scale, other.tables
    with pytest.raises(TypeError, match="lacks tables, scale"):
        maddjit.compile(other)


def test_insides(op: maddjit.CompiledOperator) -> None:
    symbol = op.plan.symbol
    assert symbol.startswith("maddjit_maddness_D12_C6_K16_M10_exact_float32_C_outputs_")
    assert f"define void @{symbol}(" in op.ir()
    assert symbol in op.ir("optimized")
    assert f"\n{symbol}:" in op.asm()
    assert "float64_F_codes" in op.asm(dtype="float64", order="F", result="codes")
    with pytest.raises(ValueError, match='"template" or "optimized"'):
        op.ir("assembly")  # type: ignore[arg-type]
    assert op.target.name in repr(op)
    text = str(op.report)
    for part in (op.target.name, "table rows", "bits", "C → ", "F → ", "llvm", "render"):
        assert part in text


def test_foreign_target_raises_in_python(model: MaddnessModel) -> None:
    with pytest.raises(maddjit.TargetError, match=r"lacks; it can run .*maddjit\.emit"):
        maddjit.compile(model, "aarch64")
    with pytest.raises(maddjit.TargetError, match="unknown target 'avx9'; the targets are x86-64"):
        maddjit.compile(model, "avx9")


def test_environment_chooses_the_target(
    model: MaddnessModel, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MADDJIT_TARGET", level)
    assert maddjit.compile(model).target.name == level
    monkeypatch.setenv("MADDJIT_TARGET", "")
    assert maddjit.compile(model).target.name in maddjit.compiler.target.LEVELS


def test_importing_is_light_and_silent() -> None:
    code = (
        "import sys, maddjit; "
        "print([m for m in ('cpuinfo', 'sklearn', 'torch', 'tqdm', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.slow
def test_operators_in_cycles_of_garbage() -> None:
    """Python disposes of them in any order; LLVM wants engines to go before their contexts."""
    model = random_model(0, n_features=9, n_codebooks=3, n_prototypes=4, n_outputs=5)
    for _ in range(20):
        op = maddjit.compile(model)
        op.itself = op  # type: ignore[attr-defined]
        op(np.zeros((3, 9), np.float32))
        del op
        gc.collect()
