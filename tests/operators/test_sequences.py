"""Tiles of neighbouring rows: within the bound, and a sequence has its bits among any others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import maddjit
from maddjit.arrays.formats import float32_to_bfloat16
from maddjit.compiler.fingerprint import plan_key
from maddjit.compiler.request import Request
from maddjit.compiler.signature import Signature
from maddjit.compiler.strassen_tile.planner import make_tile_plan
from maddjit.compiler.target import LEVELS, named
from maddjit.operators.strassen_tile import TileOperator
from maddjit.reference import strassen_tile as tile_reference
from tests.conftest import RUNNABLE, same_bits
from tests.emulation import emulated
from tests.operators.test_emulated_levels import build
from tests.operators.test_memory import between_guards
from tests.operators.test_strassen_tile import (
    NAMES,
    assert_close,
    needs_bfloat16,
    some_model,
    some_scheme,
)

SHAPES = [(1, 1), (5, 3), (4, 50), (2, 3, 49), (3, 64), (64, 2), (0, 5), (3, 0)]
"""Sequences of one row, shorter than a tile, that tiles divide and do not, and none at all."""


def of_tokens(name: str, n_features: int, n_outputs: int) -> maddjit.StrassenTileModel:
    return replace(some_model(some_scheme(name), n_features, n_outputs), rows="tokens")


def some_sequences(*shape: int, dtype: Any = np.float32) -> NDArray[Any]:
    drawn = 5 * np.random.default_rng(shape[-2]).standard_normal(shape)
    return np.abs(drawn).astype(dtype) if np.dtype(dtype).kind == "u" else drawn.astype(dtype)


def one_by_one(op: Any, A: NDArray[Any], **options: Any) -> NDArray[Any]:
    """Call an operator for each sequence by itself."""
    Y = np.empty((*A.shape[:-1], op.model.n_outputs), np.float32)
    for place in np.ndindex(A.shape[:-2]):
        Y[place] = op(A[place], **{name: value[place] for name, value in options.items()})
    return Y


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("n_features", "n_outputs"), [(64, 128), (70, 150)])
def test_within_the_bound_at_every_level(
    level: str, name: str, n_features: int, n_outputs: int
) -> None:
    model = of_tokens(name, n_features, n_outputs)
    op = maddjit.compile(model, level)
    for shape in SHAPES:
        A = some_sequences(*shape, n_features)
        Y = op(A)
        assert_close(Y, model, A)
        assert same_bits(Y, one_by_one(op, A))


@needs_bfloat16
@pytest.mark.parametrize("name", NAMES)
def test_bfloat16(name: str) -> None:
    model, A = of_tokens(name, 70, 150), some_sequences(3, 50, 70)
    op = maddjit.compile(model, precision="bfloat16")
    assert_close(op(A), model, A, "bfloat16")
    assert same_bits(op(A), one_by_one(op, A))


@given(
    st.sampled_from(NAMES),
    st.lists(st.integers(0, 5), min_size=1, max_size=3),
    st.integers(0, 70),
    st.integers(1, 80),
    st.integers(1, 140),
    st.sampled_from(RUNNABLE),
    st.integers(1, 4),
)
@settings(max_examples=30)
def test_any_shape_layout_and_number_of_threads(
    name: str,
    leading: list[int],
    length: int,
    n_features: int,
    n_outputs: int,
    level: str,
    threads: int,
) -> None:
    model = of_tokens(name, n_features, n_outputs)
    A = some_sequences(*leading, length, n_features)
    op = maddjit.compile(model, level)
    op._least_rows = 1
    Y = op(A)
    assert_close(Y, model, A)
    assert same_bits(Y, one_by_one(op, A))
    assert same_bits(op(A, threads=threads), Y)
    longer = np.concatenate([np.full_like(A[..., :1, :], np.nan), A], axis=-2)
    for laid_out in (
        np.asfortranarray(A),
        np.repeat(A, 2, axis=-1)[..., ::2],
        np.repeat(A, 2, axis=-2)[..., ::2, :],
        np.repeat(A, 2, axis=0)[::2],
        np.ascontiguousarray(A[::-1, ..., ::-1])[::-1, ..., ::-1],
        np.swapaxes(np.ascontiguousarray(np.swapaxes(A, 0, -2)), 0, -2),
        longer[..., 1:, :],  # without the first token of each sequence
    ):
        assert same_bits(op(laid_out), Y)


@pytest.mark.parametrize("name", ["plain", "strassen twice", "dense"])
def test_a_tile_is_the_same_wherever_it_lies(level: str, name: str) -> None:
    """Tiles take part in strips of all heights, in all places of blocks of all sizes."""
    height = some_scheme(name).shape[0]
    model, A = of_tokens(name, 48, 70), some_sequences(120 * height, 48)
    op = maddjit.compile(model, level)
    Y = op(A)
    for n_tiles in (*range(1, 30), 47, 96, 97, 110):
        first = (120 - n_tiles) * height
        assert same_bits(op(A[: n_tiles * height]), Y[: n_tiles * height])
        assert same_bits(op(A[first:]), Y[first:])
    for row_block in (64, 256, 1024):
        other = maddjit.compile(model, level, choices=maddjit.Choices(row_block=row_block))
        assert same_bits(other(A), Y)
    one = maddjit.compile(replace(model, tile_rows=64), level)
    assert same_bits(one(A), Y)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int8", "uint8", "int16", "bfloat16"])
def test_dtypes_are_float32_first(level: str, dtype: str) -> None:
    model = of_tokens("strassen twice", 37, 41)
    op = maddjit.compile(model, level, dtype=dtype)
    if dtype == "bfloat16":
        A = float32_to_bfloat16(some_sequences(3, 50, 37))
        wide = (A.astype(np.uint32) << 16).view(np.float32)
    else:
        A = some_sequences(3, 50, 37, dtype=dtype)
        wide = A.astype(np.float32)
    wanted = maddjit.compile(model, level)(wide)
    for sequences in (A, np.asfortranarray(A)):
        assert same_bits(op(sequences), wanted)


@pytest.mark.parametrize("n_outputs", [64, 50])
@pytest.mark.parametrize("name", ["strassen twice", "dense"])
def test_residual_and_epilogue(level: str, n_outputs: int, name: str) -> None:
    model, A = of_tokens(name, 40, n_outputs), some_sequences(3, 50, 40)
    added = some_sequences(3, 50, n_outputs)
    relu = maddjit.Epilogue(low=0)
    op = maddjit.compile(model, level, residual=True, epilogue=relu)
    wanted = np.maximum(maddjit.compile(model, level)(A) + added, 0)
    assert (op(A, residual=added) == wanted).all()
    assert same_bits(op(A, residual=added), one_by_one(op, A, residual=added))
    assert (op(A, residual=np.asfortranarray(added), threads=2) == wanted).all()
    for order in "CF":
        out = added.copy(order=order)
        assert op(A, residual=out, out=out) is out
        assert (out == wanted).all()
    for wrong in ({}, {"residual": added[0]}, {"residual": added[:, 1:]}):
        with pytest.raises(ValueError, match="residual must"):
            op(A, **wrong)
    bytes_ = maddjit.Epilogue("int8", step=0.25, zero_point=3)
    found = maddjit.compile(model, level, epilogue=bytes_)(A)
    assert same_bits(found, bytes_(maddjit.compile(model, level)(A)))


def test_out_of_any_layout() -> None:
    model, A = of_tokens("strassen", 50, 50), some_sequences(4, 7, 50)
    op = maddjit.compile(model)
    Y = op(A)
    wide = np.full((4, 9, 60), 7, np.float32)
    for out in (
        np.empty_like(Y, order="F"),
        wide[:, 1:8, 5:55],
        np.empty((7, 4, 50), np.float32).swapaxes(0, 1),
        np.empty_like(Y)[::-1, ::-1, ::-1],
        np.empty((2, 4, 7, 50), np.float32)[1],
    ):
        assert op(A, out=out) is out
        assert same_bits(np.ascontiguousarray(out), Y)
    wide[:, 1:8, 5:55] = 7
    assert (wide == 7).all()
    rows = A.copy()
    assert same_bits(op(rows, out=rows), Y)  # in place
    apart = np.empty((2, 2, 9, 50), np.float32)[:, :, :7]
    assert op(A.reshape(2, 2, 7, 50), out=apart) is apart
    assert same_bits(np.ascontiguousarray(apart).reshape(Y.shape), Y)
    for wrong, error in ((A[..., 1:], ValueError), (A.astype(complex), TypeError)):
        with pytest.raises(error, match="A must"):
            op(wrong)
    with pytest.raises(ValueError, match="out must have shape"):
        op(A, out=np.empty((28, 50), np.float32))
    with pytest.raises(ValueError, match=r"A must have shape \(N, 50\)"):
        maddjit.compile(replace(model, rows="blocks"))(A)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(3, 1, 19, 37), (2, 23, 32, 64), (4, 50, 96, 130)])
@pytest.mark.parametrize("name", ["plain", "rectangular", "dense"])
def test_nothing_outside_the_arrays(
    level: str, order: Any, shape: tuple[int, ...], name: str
) -> None:
    n_sequences, length, n_features, n_outputs = shape
    op = maddjit.compile(of_tokens(name, n_features, n_outputs), level, order=order)
    rows = some_sequences(n_sequences, length, n_features)
    wanted = op(rows)
    signature = op.plan.signature
    for at_end in (True, False):
        with (
            between_guards(rows.nbytes, at_end) as memory_A,
            between_guards(wanted.nbytes, at_end) as memory_Y,
            between_guards(op.plan.workspace_bytes, at_end) as workspace,
        ):
            A = memory_A.view(np.float32)
            laid_out = (n_sequences, n_features, length) if order == "F" else rows.shape
            A = A.reshape(laid_out).swapaxes(1, 2) if order == "F" else A.reshape(laid_out)
            A[...] = rows
            out = memory_Y.view(np.float32).reshape(wanted.shape)
            op._runner(signature)._spare[:] = [workspace]
            op(A, out=out)
            assert op._runner(signature)._spare.pop() is workspace
            assert same_bits(out, wanted)
            del A, out


def test_nan_stays_in_its_tile() -> None:
    model, A = of_tokens("strassen twice", 64, 64), some_sequences(5, 50, 64)
    op = maddjit.compile(model)
    Y = op(A)
    A[2, 49, 5] = np.nan  # the last tile of this sequence holds rows 48 and 49
    spoilt = op(A)
    assert np.isnan(spoilt[2, 49]).all()
    spoilt[2, 48:] = Y[2, 48:]
    assert same_bits(spoilt, Y)


def test_a_call_of_rows_is_one_sequence() -> None:
    model, A = of_tokens("dense", 40, 50), some_sequences(50, 40)
    op = maddjit.compile(model)
    assert same_bits(op(A), op(A[np.newaxis])[0])
    assert same_bits(op(A[7]), op(A[7:8])[0])
    assert same_bits(op(A.tolist()), op(A))
    assert same_bits(op(A[np.newaxis].tolist()), op(A[np.newaxis]))
    shifted = op(A[1:])
    assert not np.allclose(shifted, op(A)[1:])  # an approximate tile depends on its rows


def test_kernels_and_reports_tell_the_layouts_apart() -> None:
    blocks = some_model(some_scheme("dense"), 40, 50)
    tokens = replace(blocks, rows="tokens")
    plans = [make_tile_plan(model, named("aarch64"), Signature()) for model in (blocks, tokens)]
    assert plan_key(plans[0]) != plan_key(plans[1])
    assert plans[0].symbol != plans[1].symbol
    op = maddjit.compile(tokens)
    assert "neighbouring rows" in str(op.report)
    assert "neighbouring rows" not in str(maddjit.compile(blocks).report)
    assert "…, T" in repr(op)


@pytest.mark.parametrize("level", [name for name in LEVELS if name.startswith("x86")])
def test_emulated_levels(level: str) -> None:
    for name in ("winograd", "dense"):
        model, A = of_tokens(name, 70, 150), some_sequences(3, 50, 70)
        op = TileOperator(Request(model, emulated(level), Signature()), build)
        assert_close(op(A), model, A)
        assert same_bits(op(A), one_by_one(op, A))


def test_what_is_exported_takes_one_sequence(tmp_path: Path) -> None:
    model, A = of_tokens("dense", 40, 50), some_sequences(3, 49, 40)
    op = maddjit.compile(model)
    exported = op.export(tmp_path, name="tokens")
    assert "one sequence" in exported.header.read_text()
    if exported.library is None:
        pytest.skip(exported.missing)
    loaded = maddjit.native.load(tmp_path)
    assert loaded.description["rows"] == "tokens"
    for sequence, wanted in zip(A, op(A), strict=True):
        assert same_bits(loaded(sequence), wanted)
    with pytest.raises(ValueError, match="A must have shape"):
        loaded(A)


def test_stored_models_keep_their_layout(tmp_path: Path) -> None:
    model, A = of_tokens("dense", 40, 50), some_sequences(3, 50, 40)
    model.save(tmp_path / "tokens.npz")
    again: Any = maddjit.load(tmp_path / "tokens.npz")
    assert again.rows == "tokens"
    assert same_bits(maddjit.compile(again)(A), maddjit.compile(model)(A))
    away = np.abs(maddjit.compile(again)(A) - tile_reference.multiply(model, A))
    assert (away <= tile_reference.error_bound(again, A)).all()
