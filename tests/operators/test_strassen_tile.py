"""Strassen-Tile operators: within the derived bound of float64, the same bits however called."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import maddjit
from maddjit import reference
from maddjit.arrays.formats import float32_to_bfloat16
from maddjit.compiler import llvm
from maddjit.compiler.target import BFLOAT16
from maddjit.compiler.workspace import aligned_zeros
from maddjit.models import schemes
from maddjit.reference import strassen_tile as tile_reference
from tests.conftest import RUNNABLE, same_bits
from tests.operators.test_memory import between_guards

HAS_BFLOAT16 = BFLOAT16 in llvm.host().features
needs_bfloat16 = pytest.mark.skipif(not HAS_BFLOAT16, reason=f"this machine has no {BFLOAT16}")
SHAPES = [(1, 1, 1), (64, 64, 64), (131, 70, 150)]
"""N, D, M: one of everything, whole blocks, tails of all kinds."""


def some_scheme(name: str) -> schemes.BilinearScheme:
    rng = np.random.default_rng(0)
    match name:
        case "plain":
            return schemes.plain()
        case "strassen":
            return schemes.strassen()
        case "winograd":
            return schemes.winograd()
        case "laderman":
            return schemes.laderman()
        case "strassen twice":
            return schemes.kronecker(schemes.strassen(), schemes.strassen())
        case "rectangular":
            return schemes.kronecker(schemes.winograd(), schemes.plain(1, 3, 2))
    if name == "fractions":
        numbers = [0, 0, 1, -1, 2, 0.5, -0.5, 0.25, 0.75, -0.75, 3, 1 / 3]
        some = [rng.choice(numbers, shape) for shape in ((9, 4), (9, 6), (6, 9))]
        return schemes.BilinearScheme(name, (2, 2, 3), *(f.astype(np.float32) for f in some))
    factors = [rng.standard_normal(shape) for shape in ((5, 4), (5, 6), (6, 5))]
    factors[0][0], factors[2][1] = 0, 0  # a row of zeros in each
    return schemes.BilinearScheme("dense", (2, 2, 3), *(f.astype(np.float32) for f in factors))


NAMES = [
    *("plain", "strassen", "winograd", "laderman", "strassen twice", "rectangular"),
    *("dense", "fractions"),
]


def some_model(
    scheme: schemes.BilinearScheme, n_features: int, n_outputs: int, tile_rows: int = 8
) -> maddjit.StrassenTileModel:
    rng = np.random.default_rng(n_features)
    B = rng.standard_normal((n_features, n_outputs)).astype(np.float32)
    bias = rng.standard_normal(n_outputs).astype(np.float32)
    V = tile_reference.encode_right(scheme, B).astype(np.float32)
    return maddjit.StrassenTileModel(scheme, n_features, n_outputs, V, bias, tile_rows, True)


def some_rows(n_rows: int, n_features: int, dtype: Any = np.float32) -> NDArray[Any]:
    rows = 5 * np.random.default_rng(n_rows).standard_normal((n_rows, n_features))
    return np.abs(rows).astype(dtype) if np.dtype(dtype).kind == "u" else rows.astype(dtype)


def assert_close(Y: NDArray[Any], model: Any, A: NDArray[Any], precision: Any = "float32") -> None:
    away = np.abs(Y - tile_reference.multiply(model, A))
    assert (away <= tile_reference.error_bound(model, A, precision)).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_within_the_bound_at_every_level(level: str, name: str, shape: tuple[int, ...]) -> None:
    n_rows, n_features, n_outputs = shape
    model = some_model(some_scheme(name), n_features, n_outputs)
    A = some_rows(n_rows, n_features)
    assert_close(maddjit.compile(model, level)(A), model, A)


@needs_bfloat16
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_bfloat16_within_its_bound(name: str, shape: tuple[int, ...]) -> None:
    n_rows, n_features, n_outputs = shape
    model = some_model(some_scheme(name), n_features, n_outputs)
    A = some_rows(n_rows, n_features)
    assert_close(maddjit.compile(model, precision="bfloat16")(A), model, A, "bfloat16")


@needs_bfloat16
def test_bfloat16_is_used() -> None:
    """The bound of float32 does not hold then, and that of bfloat16 is not much too wide."""
    model, A = some_model(schemes.plain(), 256, 64), some_rows(200, 256)
    away = maddjit.compile(model, precision="bfloat16")(A) - tile_reference.multiply(model, A)
    assert (np.abs(away) > tile_reference.error_bound(model, A)).mean() > 0.9
    assert np.abs(away).max() > tile_reference.error_bound(model, A, "bfloat16").max() / 100


@given(
    st.sampled_from(NAMES),
    st.integers(0, 150),
    st.integers(1, 80),
    st.integers(1, 140),
    st.sampled_from([8, 16]),
    st.sampled_from(RUNNABLE),
    st.sampled_from(["C", "F", "rows apart", "columns apart", "backwards"]),
)
@settings(max_examples=30)
def test_any_shape_and_layout(
    name: str, n_rows: int, n_features: int, n_outputs: int, tile_rows: int, level: str, kind: str
) -> None:
    model = some_model(some_scheme(name), n_features, n_outputs, tile_rows)
    A = some_rows(n_rows, n_features)
    op = maddjit.compile(model, level)
    Y = op(A)
    assert_close(Y, model, A)
    laid_out = {
        "C": A,
        "F": np.asfortranarray(A),
        "rows apart": np.repeat(A, 2, axis=0)[::2],
        "columns apart": np.repeat(A, 2, axis=1)[:, ::2],
        "backwards": A[::-1, ::-1].copy()[::-1, ::-1],
    }
    assert same_bits(op(laid_out[kind]), Y)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int8", "uint8", "int16"])
def test_dtypes_are_float32_first(level: str, dtype: str) -> None:
    model, A = some_model(schemes.strassen(), 37, 41), some_rows(70, 37, dtype)
    op = maddjit.compile(model, level, dtype=dtype)
    for rows in (A, np.asfortranarray(A)):
        assert same_bits(op(rows), op(A.astype(np.float32)))


def test_bfloat16_rows(level: str) -> None:
    model = some_model(schemes.strassen(), 37, 41)
    bits = float32_to_bfloat16(some_rows(70, 37))
    wide = (bits.astype(np.uint32) << 16).view(np.float32)
    op = maddjit.compile(model, level, dtype="bfloat16")
    assert same_bits(op(bits), op(wide))


def test_a_row_is_the_same_among_any_number_of_rows(level: str) -> None:
    """A block's last tile rows are multiplied in strips of other heights."""
    model, A = some_model(schemes.plain(), 48, 70), some_rows(120, 48)
    op = maddjit.compile(model, level)
    Y = op(A)
    for n_rows in range(len(A)):
        assert same_bits(op(A[:n_rows]), Y[:n_rows])


@pytest.mark.parametrize("name", ["plain", "strassen twice"])
def test_rows_that_are_multiplied_in_vain_are_zeros(level: str, name: str) -> None:
    """What an earlier call left there may be numbers that are slow to multiply."""
    model, A = some_model(some_scheme(name), 64, 70), some_rows(1, 64)
    op = maddjit.compile(model, level)
    encode, workspace = op.plan.encode, op.plan.workspace
    memory = aligned_zeros(op.plan.workspace_bytes, np.uint8)
    memory.fill(255)
    runner = op._runner(op.plan.signature)
    runner._spare.append(memory)
    Y = np.empty((1, model.n_outputs), np.float32)
    runner(A, Y)
    assert runner._spare[0] is memory
    z = memory[workspace["z"] :][: op.plan.rank * encode.step].reshape(op.plan.rank, -1)
    rows = z[:, : 2 * encode.row_step].reshape(op.plan.rank, 2, -1)[..., : encode.filled_bytes]
    assert not rows[:, 1].any()
    assert same_bits(Y, maddjit.compile(model, level)(A))


@pytest.mark.parametrize("name", ["plain", "strassen twice", "dense"])
def test_any_number_of_threads_and_rows_of_a_block(level: str, name: str) -> None:
    model, A = some_model(some_scheme(name), 48, 200), some_rows(1000, 48)
    op = maddjit.compile(model, level)
    op._least_rows = 1
    Y = op(A)
    for threads in (2, 3, 5):
        assert same_bits(op(A, threads=threads), Y)
    for row_block in (64, 256, 1024):
        other = maddjit.compile(model, level, choices=maddjit.Choices(row_block=row_block))
        assert same_bits(other(A), Y)


@pytest.mark.parametrize(
    "epilogue",
    [
        maddjit.Epilogue(low=0),
        maddjit.Epilogue("float64", high=3),
        maddjit.Epilogue("float16", low=-2, high=2),
        maddjit.Epilogue("bfloat16"),
        maddjit.Epilogue("int8", step=0.25, zero_point=3),
    ],
    ids=str,
)
@pytest.mark.parametrize("n_outputs", [64, 50])
def test_epilogues_are_applied_to_float32_outputs(
    level: str, epilogue: maddjit.Epilogue, n_outputs: int
) -> None:
    model, A = some_model(schemes.winograd(), 40, n_outputs), some_rows(77, 40)
    plain = maddjit.compile(model, level)(A)
    assert same_bits(maddjit.compile(model, level, epilogue=epilogue)(A), epilogue(plain))


@pytest.mark.parametrize("n_rows", [1, 32, 45])
@pytest.mark.parametrize("n_outputs", [64, 50])
def test_residual(level: str, n_rows: int, n_outputs: int) -> None:
    model, A = some_model(schemes.strassen(), 40, n_outputs), some_rows(n_rows, 40)
    added = some_rows(n_rows, n_outputs)
    relu = maddjit.Epilogue(low=0)
    op = maddjit.compile(model, level, residual=True, epilogue=relu)
    Y = maddjit.compile(model, level)(A)
    wanted = np.maximum(Y + added, 0)
    assert (op(A, residual=added) == wanted).all()
    assert (op(np.asfortranarray(A), residual=np.asfortranarray(added)) == wanted).all()
    assert (op(A, residual=added, out=np.empty_like(added, order="F")) == wanted).all()
    out = added.copy()
    assert op(A, residual=out, out=out) is out
    assert (out == wanted).all()
    for wrong in ({}, {"residual": added[:, 1:]}):
        with pytest.raises(ValueError, match="residual must"):
            op(A, **wrong)
    with pytest.raises(TypeError, match="real numbers"):
        op(A, residual=added.astype(complex))
    with pytest.raises(ValueError, match="if and only if"):
        maddjit.compile(model, level)(A, residual=added)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(1, 19, 37), (23, 32, 64), (75, 96, 130)])
@pytest.mark.parametrize("name", ["plain", "strassen", "rectangular"])
def test_nothing_outside_the_arrays(
    level: str, order: Any, shape: tuple[int, ...], name: str
) -> None:
    n_rows, n_features, n_outputs = shape
    model = some_model(some_scheme(name), n_features, n_outputs)
    op = maddjit.compile(model, level, order=order)
    rows = some_rows(n_rows, n_features)
    wanted = op(rows)
    for at_end in (True, False):
        with (
            between_guards(rows.nbytes, at_end) as memory_A,
            between_guards(wanted.nbytes, at_end) as memory_Y,
        ):
            A = memory_A.view(np.float32).reshape(rows.shape, order=order)
            A[...] = rows
            out = memory_Y.view(np.float32).reshape(wanted.shape)
            op(A, out=out)
            assert same_bits(out, wanted)
            del A, out


def test_out_of_any_layout() -> None:
    model, A = some_model(schemes.strassen(), 40, 50), some_rows(77, 40)
    op = maddjit.compile(model)
    Y = op(A)
    wide = np.full((77, 60), 7, np.float32)
    for out in (np.empty((77, 50), np.float32, order="F"), wide[:, 4:54], wide.T[:50, :].T[::-1]):
        if out.shape == Y.shape:
            assert op(A, out=out) is out
            assert same_bits(np.ascontiguousarray(out), Y)
    assert same_bits(op(A[3]), op(A[3:4])[0])
    assert op(A[:0]).shape == (0, 50)
    square = some_model(schemes.strassen(), 50, 50)
    rows = some_rows(77, 50)
    wanted = maddjit.compile(square)(rows)
    assert same_bits(maddjit.compile(square)(rows, out=rows), wanted)  # in place
    for wrong, error in ((A[:, 1:], ValueError), (A.astype(complex), TypeError)):
        with pytest.raises(error, match="A must"):
            op(wrong)
    with pytest.raises(TypeError, match="out must"):
        op(A, out=np.empty((77, 50)))


def test_nan_stays_in_its_tile() -> None:
    model, A = some_model(some_scheme("strassen twice"), 64, 64), some_rows(96, 64)
    Y = maddjit.compile(model)(A)
    A[3, 5] = np.nan  # tiles of rows 3, 11, 19, 27: a group has four parts of eight rows
    spoilt = maddjit.compile(model)(A)
    mates = [3, 11, 19, 27]
    assert np.isnan(spoilt[3]).all()
    others = np.setdiff1d(np.arange(96), mates)
    assert same_bits(spoilt[others], Y[others])


def test_classes_and_report() -> None:
    rng = np.random.default_rng(0)
    B = rng.standard_normal((64, 48)).astype(np.float32)
    plain = maddjit.compile(maddjit.fit_strassen_tile(B, tile=1))
    strassen = maddjit.compile(maddjit.fit_strassen_tile(B, tile=2))
    assert (plain.report.kind, strassen.report.kind) == ("exact", "rounded")
    assert maddjit.compile(some_model(some_scheme("dense"), 9, 9)).report.kind == "approximate"
    text = str(strassen.report)
    for word in ("rounded", "strassen", "rank 7", "1.14 ×", "kernel"):
        assert word in text
    assert "strassen" in repr(strassen)
    if HAS_BFLOAT16:
        assert maddjit.compile(plain.model, precision="bfloat16").report.kind == "rounded"


def test_pickled_operators_are_compiled_again() -> None:
    model, A = some_model(schemes.strassen(), 40, 50), some_rows(20, 40)
    op = maddjit.compile(model, epilogue=maddjit.Epilogue(low=0), residual=True)
    added = some_rows(20, 50)
    again = pickle.loads(pickle.dumps(op))
    assert same_bits(again(A, residual=added), op(A, residual=added))


def test_what_a_tile_model_cannot_be_asked_for() -> None:
    model: Any = some_model(schemes.strassen(), 40, 50)
    for options in ({"result": "argmax"}, {"tune": True}, {"k": 3}):
        with pytest.raises(ValueError, match="outputs alone"):
            maddjit.compile(model, **options)
    with pytest.raises(ValueError, match="row_block alone"):
        maddjit.compile(model, choices=maddjit.Choices(tile_bytes=64))
    with pytest.raises(ValueError, match="precision must be"):
        maddjit.compile(model, precision="float16")
    with pytest.raises(maddjit.TargetError, match=BFLOAT16):
        maddjit.compile(
            model, "x86-64-v3" if "x86-64-v3" in RUNNABLE else None, precision="bfloat16"
        )
    with pytest.raises(TypeError, match=r"epilogue must be an Epilogue.*not 3"):
        maddjit.compile(model, epilogue=3)
    other: Any = maddjit.MaddnessModel
    with pytest.raises(ValueError, match="for Strassen-Tile"):
        maddjit.compile(other, precision="bfloat16")


def test_reference_knows_both_kinds_of_models() -> None:
    model, A = some_model(schemes.strassen(), 40, 50), some_rows(20, 40)
    wanted = tile_reference.multiply(model, A).astype(np.float32)
    assert same_bits(reference.apply(model, A), wanted)
