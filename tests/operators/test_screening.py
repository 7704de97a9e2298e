"""The screening of long lists: bounds that hold, the reference's answers, and that it happens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import maddjit
from maddjit import reference
from maddjit.arrays.formats import bfloat16_to_float32, float32_to_bfloat16
from maddjit.compiler.maddness import packing
from maddjit.compiler.maddness.packing import Packing, bound, copied, halved, packed_of
from maddjit.compiler.request import Request
from maddjit.compiler.signature import Signature
from maddjit.models.maddness import MaddnessModel
from maddjit.models.short_list import SETTLE_LANES
from maddjit.operators.winners import WinnerOperator
from maddjit.reference import maddness
from tests.conftest import same_bits, same_numbers
from tests.emulation import emulated
from tests.operators.test_emulated_levels import build
from tests.operators.test_memory import between_guards
from tests.random_models import random_model, with_short_list

Floats = NDArray[np.float32]
LARGEST = float(np.finfo(np.float32).max)


def odd_columns(n_features: int, n_outputs: int, seed: int) -> Floats:
    """Return a B of columns that are hard to tell apart, to round, or to multiply."""
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((n_features, n_outputs))
    twins = rng.integers(0, n_outputs, n_outputs)
    kind = rng.integers(0, 12, n_outputs)
    like = B[:, twins] * (1 + 2.0**-20 * rng.standard_normal(B.shape))
    B = np.select([kind == 0, kind == 1], [B[:, twins], like], B)
    B[:, kind == 2] *= 1e-40
    B[:, kind == 3] = 0
    B[:, kind == 4] *= 10.0 ** rng.integers(-44, 0, (n_features, 1))
    B[:, kind == 5] *= rng.choice([1, 1e18, 1e30])
    B[:, kind == 6] = np.where(rng.random(n_features) < 0.1, LARGEST, B[:, kind == 6].T).T
    return B.astype(np.float32)


def odd_rows(B: Floats, n_rows: int, seed: int) -> Floats:
    """Return rows of all sizes, along the rounding of columns, and with no numbers in them."""
    rng = np.random.default_rng(seed)
    n_features, n_outputs = B.shape
    A = rng.standard_normal((n_rows, n_features)).astype(np.float32)
    B16 = bfloat16_to_float32(float32_to_bfloat16(B))
    kind = rng.integers(0, 12, n_rows)
    own = rng.integers(0, n_outputs, n_rows)
    with np.errstate(all="ignore"):
        A = np.select([kind[:, None] == 0, kind[:, None] == 1], [(B16 - B).T[own], B.T[own]], A)
        A[kind == 2] *= np.float32(1e-42)
        A[kind == 3] *= np.float32(1e-22)
        A[kind == 4] *= np.float32(1e19)
        A[kind == 5] *= np.float32(1e37)
        A[kind == 6] = 0
    A[kind == 7, 0] = np.nan
    A[kind == 8, -1] = np.inf
    return A


def odd_model(n_features: int, n_outputs: int, k: int, seed: int = 0) -> MaddnessModel:
    """Return a model with odd columns that lists everything."""
    model = random_model(
        seed, n_features=n_features, n_codebooks=4, n_prototypes=16, n_outputs=n_outputs
    )
    model = with_short_list(model, k, 10**6)
    assert model.short_list
    rng = np.random.default_rng(seed)
    bias = rng.choice([0, 1, -1, 1e-40, 0.1], n_outputs).astype(np.float32)
    if seed % 2:
        bias[rng.integers(0, n_outputs, 2)] = 3e38, -1e25
    B = odd_columns(n_features, n_outputs, seed)
    return replace(model, short_list=replace(model.short_list, B=B, bias=bias))


def assert_settled(op: WinnerOperator, model: MaddnessModel, A: Floats) -> None:
    """Compare everything with the reference, bit for bit."""
    with np.errstate(all="ignore"):
        expected = reference.settle(model, A, 0.5)
    found = op.settle(A)
    assert same_bits(op(A), expected.indices.reshape(op(A).shape))
    assert same_bits(found.indices, expected.indices)
    assert same_bits(found.lengths, expected.lengths)
    assert same_numbers(found.outputs, expected.outputs)


@pytest.mark.quick(4)
@pytest.mark.parametrize(("n_features", "n_outputs"), [(1, 3), (64, 40), (130, 21)])
@pytest.mark.parametrize("k", [1, 2, 7])
def test_odd_rows_and_columns(level: str, n_features: int, n_outputs: int, k: int) -> None:
    seed = n_features + k
    model = odd_model(n_features, n_outputs, min(k, n_outputs), seed)
    assert model.short_list
    op = maddjit.compile(model, level, result="topk", k=min(k, n_outputs), coverage=0.5)
    assert_settled(op, model, odd_rows(model.short_list.B, 250, seed))


@pytest.mark.parametrize("k", [1, 2])
def test_nearly_equal_columns(level: str, k: int) -> None:
    """Differences that the copy does not tell, of which some are that of one rounding."""
    model = odd_model(64, 90, k)
    assert model.short_list
    rng = np.random.default_rng(0)
    spread = 2.0 ** -rng.integers(9, 25, 90)
    B = rng.standard_normal((64, 1)) * (1 + spread * rng.standard_normal((64, 90)))
    short = replace(model.short_list, B=B.astype(np.float32), bias=np.zeros(90))
    model = replace(model, short_list=short)
    op = maddjit.compile(model, level, result="topk", k=k, coverage=0.5)
    assert_settled(op, model, rng.standard_normal((300, 64)).astype(np.float32))


@pytest.mark.parametrize("level", ["x86-64-v3", "x86-64-v4-vbmi"])
@pytest.mark.parametrize("k", [1, 3])
def test_emulated_levels(level: str, k: int) -> None:
    """Products are not fused there, which the bounds allow for."""
    model = odd_model(70, 30, k)
    assert model.short_list
    signature = Signature(result="winners", k=k)
    op = WinnerOperator(Request(model, emulated(level), signature, coverage=0.5), build)
    assert_settled(op, model, odd_rows(model.short_list.B, 90, 3))


def test_products_are_fused_where_that_is_an_instruction() -> None:
    model = odd_model(64, 30, 1)
    for level, name in (("x86-64-v3", "vfmadd"), ("x86-64-v4", "vfmadd"), ("aarch64", "fmla")):
        assert name in maddjit.emit(model, level, result="winners", coverage=0.5)
    assert "fma" not in maddjit.emit(model, "x86-64", result="winners", coverage=0.5)


def twins(model: MaddnessModel) -> MaddnessModel:
    """Make output 7 the best of ordinary ones by far, and 5 its equal but for a little."""
    assert model.short_list
    B = np.random.default_rng(1).standard_normal((64, 30)).astype(np.float32) / 100
    B[:, 7] = 1 + np.arange(64) / 1000
    B[:, 5] = B[:, 7]
    B[3, 5] = np.nextafter(B[3, 5], np.float32(2))
    return replace(model, short_list=replace(model.short_list, B=B, bias=np.zeros(30)))


@pytest.mark.parametrize("k", [1, 2])
def test_what_is_screened_is_not_multiplied(level: str, k: int) -> None:
    """Columns that cannot win are never read as float32; those that may are."""
    model = twins(odd_model(64, 30, k))
    short = model.short_list
    assert short
    A = np.abs(np.random.default_rng(0).standard_normal((20, 64))).astype(np.float32)
    expected = reference.settle(model, A, 0.5)
    assert (expected.indices[:, 0] == 5).all()
    op = maddjit.compile(model, level, result="topk", k=k, coverage=0.5)
    memory = packed_of(short)
    memory.flags.writeable = True
    places = Packing.of(64, 30)
    columns = memory[: places.copies_offset // 4].reshape(30, -1)
    columns[[i for i in range(30) if i not in (5, 7)]] = np.nan  # would be named before all others
    assert same_bits(op(A), expected.indices)
    columns[7] = np.nan
    assert (op(A)[:, 0] == 7).all()
    memory[places.bounds_offset // 4 :].reshape(30, 4)[:, :2] = np.inf
    assert (op(A)[:, 0] == 0).all()


def products(a: Floats, columns: Floats, order: str) -> Floats:
    """Return float32 products of a row with columns, added in one of many orders."""
    with np.errstate(all="ignore"):
        terms = a * columns
        if order == "one by one":
            return np.add.accumulate(terms, axis=1, dtype=np.float32)[:, -1]
        if order == "backwards":
            return np.add.accumulate(terms[:, ::-1], axis=1, dtype=np.float32)[:, -1]
        if order == "by lanes":
            return maddness._products(a[None], columns.T, SETTLE_LANES)[0]
        exact = np.multiply(a, columns, dtype=np.float64)  # fused, near enough
        total = np.zeros(len(columns), np.float32)
        for term in exact.T:
            total = (total + term).astype(np.float32)
        return total


@pytest.mark.parametrize("n_features", [1, 31, 64, 300])
@pytest.mark.parametrize("order", ["one by one", "backwards", "by lanes", "fused"])
def test_bounds_hold(n_features: int, order: str) -> None:
    """Whatever the order of additions, as computed in float32: the exact output is between."""
    n_outputs, finite = 60, 0
    B = odd_columns(n_features, n_outputs, n_features)
    A = odd_rows(B, 150, n_features)
    bias = np.random.default_rng(0).choice([0, 1, -1e-3, 1e30], n_outputs).astype(np.float32)
    columns = np.zeros((n_outputs, Packing.of(*B.shape).columns), np.float32)
    columns[:, :n_features] = B.T
    copies = copied(halved(columns))
    r, c = bound(columns, copies, bias, n_features)
    assert (np.minimum(r, c) > 0).all()
    with np.errstate(all="ignore"):
        for a in A:
            y = products(a, B.T, "by lanes") + bias
            v = products(a, copies[:, :n_features], order) + bias
            norm = np.sqrt(products(a, a[None], order))
            E = norm * r + c
            assert not (y > v + E).any()  # comparing with NaN is false, as in the kernel
            assert not (y < v - E).any()
            known = np.isfinite(v) & np.isfinite(E)
            assert np.isfinite(y[known]).all()  # where y overflows there is no bound
            finite += int(known.sum())
    assert finite > len(A) * n_outputs // 4


def test_copies_are_as_close_as_bfloat16() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, (500, 256), np.uint32)
    columns = bits.view(np.float32)
    columns = np.where(np.abs(columns) < 1e38, columns, np.float32(0))  # neither NaN nor infinite
    columns[::7] = 0
    far = np.abs(copied(halved(columns)).astype(np.float64) - columns)
    assert (far <= np.abs(columns) * 2.0**-8 + 2.0**-99).all()
    lower = columns.reshape(500, -1, 2, 16)[:, :, 0]
    found = copied(halved(columns)).reshape(500, -1, 2, 16)[:, :, 0]
    assert same_bits(np.ascontiguousarray(found), bfloat16_to_float32(float32_to_bfloat16(lower)))


def test_packed_memory_is_what_its_places_say() -> None:
    model = odd_model(70, 30, 2)
    short: Any = model.short_list
    places, memory = Packing.of(70, 30), packed_of(short)
    assert memory.__array_interface__["data"][0] % 64 == 0
    assert memory.nbytes == places.n_bytes
    columns = memory[: places.copies_offset // 4].reshape(30, -1)
    assert same_bits(columns[:, :70].copy(), short.B.T.copy())
    assert not columns[:, 70:].any()
    bounds = memory[places.bounds_offset // 4 :].reshape(30, 4)
    words = memory[places.copies_offset // 4 : places.bounds_offset // 4].view(np.uint32)
    r, c = bound(columns, copied(words.reshape(30, -1)), short.bias, 70)
    assert same_bits(bounds[:, :3].copy(), np.stack([r, c, short.bias], axis=1))


@pytest.mark.parametrize("n_features", [64, 70])
def test_guard_pages_around_what_is_packed(level: str, n_features: int) -> None:
    model = odd_model(n_features, 32, 2)
    short: Any = model.short_list
    A = np.random.default_rng(0).standard_normal((9, n_features)).astype(np.float32)
    expected = reference.settle(model, A, 0.5)
    for at_end in (True, False):
        with between_guards(packed_of(short).nbytes, at_end) as memory:
            guarded = memory.view(np.float32)
            guarded[:] = packed_of(short)
            own = replace(short)  # with memory of its own
            packing._kept[own] = guarded
            guarding = replace(model, short_list=own)
            op = maddjit.compile(guarding, level, result="topk", k=2, coverage=0.5)
            assert op.plan.packed is guarded
            assert same_bits(op(A), expected.indices)


def test_lists_have_room_for_what_calibration_saw() -> None:
    model = odd_model(64, 1500, 1)
    assert model.short_list
    A = odd_rows(model.short_list.B, 30, 0)
    for longest, listed in ((4.0, 256), (900.0, 900), (2000.0, 1500)):
        short = replace(model.short_list, lengths=np.array([[2.0, 3.0, longest]]))
        op = maddjit.compile(replace(model, short_list=short), result="topk", k=1, coverage=0.5)
        found = op._request.lists(op.plan)
        assert found
        assert found.room == listed
        assert_settled(op, model, A)
