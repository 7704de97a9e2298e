"""Dask: rows in blocks, in threads and in processes."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

da = pytest.importorskip("dask.array", reason="Dask is not installed")

import maddjit
from maddjit.integrations.dask import apply, n_operators


@pytest.fixture(scope="module")
def parts() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    A = (rng.standard_normal((3000, 4)) @ rng.standard_normal((4, 32))).astype(np.float32)
    B = rng.standard_normal((32, 7))
    return A, B, maddjit.fit(A, B, n_codebooks=8)


def test_blocks_are_the_operator_s(parts: tuple[Any, Any, Any]) -> None:
    A, B, model = parts
    blocks = da.from_array(A, chunks=(700, 32))
    expected = maddjit.reference.apply(model, A)
    half = maddjit.compile(model, epilogue=maddjit.Epilogue(dtype="float16"))
    for operator, wanted in (
        (model, expected),
        (maddjit.compile(model), expected),
        (half, expected.astype(np.float16)),
    ):
        lazy = apply(operator, blocks)
        assert lazy.shape == wanted.shape
        assert lazy.dtype == wanted.dtype
        assert lazy.chunks == (blocks.chunks[0], (7,))
        assert np.array_equal(lazy.compute(scheduler="threads"), wanted)
    tiles = maddjit.fit_strassen_tile(B, tile=2)
    op = maddjit.compile(tiles)
    by_blocks = np.concatenate([op(A[start : start + 700]) for start in range(0, len(A), 700)])
    assert np.array_equal(apply(tiles, blocks).compute(), by_blocks)


def test_winners(parts: tuple[Any, Any, Any]) -> None:
    A, B, model = parts
    blocks = da.from_array(A, chunks=(1000, 32))
    best = maddjit.compile(maddjit.calibrate(model, A, B), result="argmax", coverage=0.99)
    lazy = apply(best, blocks)
    assert best.monitor().n_rows == 0
    assert lazy.shape == (3000,)
    assert np.array_equal(lazy.compute(), best(A))
    top = maddjit.compile(maddjit.calibrate(model, A, B, k=2), result="topk", k=2, coverage=0.99)
    assert np.array_equal(apply(top, blocks).compute(), top(A))


def test_unknown_numbers_of_rows(parts: tuple[Any, Any, Any]) -> None:
    A, _, model = parts
    rows = da.from_array(A, chunks=(700, 32))
    some = rows[rows[:, 0] > 0]
    expected = maddjit.reference.apply(model, A[A[:, 0] > 0])
    assert np.array_equal(apply(model, some).compute(), expected)


def test_errors(parts: tuple[Any, Any, Any]) -> None:
    A, B, model = parts
    with pytest.raises(ValueError, match=r"rows.rechunk\(\{1: -1\}\)"):
        apply(model, da.from_array(A, chunks=(700, 16)))
    with pytest.raises(ValueError, match=r"shape \(N, 32\)"):
        apply(model, da.from_array(A[:, :16]))
    with pytest.raises(TypeError, match="must be a Dask array, not ndarray"):
        apply(model, A)
    with pytest.raises(TypeError, match="not builtin_function"):
        apply(len, da.from_array(A))
    adding = maddjit.compile(maddjit.fit_strassen_tile(B, tile=2), residual=True)
    with pytest.raises(ValueError, match="not be compiled with residual=True"):
        apply(adding, da.from_array(A))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the scheduler's own
def test_two_processes_compile_once_each(parts: tuple[Any, Any, Any]) -> None:
    distributed = pytest.importorskip("distributed", reason="dask[distributed] is not installed")
    A, _, model = parts
    blocks = da.from_array(A, chunks=(100, 32))
    settings = {"n_workers": 2, "threads_per_worker": 2, "dashboard_address": None}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster) as client:
        first = apply(model, blocks).compute()
        second = apply(pickle.loads(pickle.dumps(model)), blocks[::-1]).compute()
        compiled = client.run(n_operators)
    expected = maddjit.reference.apply(model, A)
    assert np.array_equal(first, expected)
    assert np.array_equal(second, expected[::-1])
    assert list(compiled.values()) == [1, 1]
