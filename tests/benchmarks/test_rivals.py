"""The comparison methods: right where they can be, better with more, unbiased where they say so."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.harness import page
from benchmarks.rivals import (
    METHODS,
    Apply,
    Method,
    candidates,
    installed,
    low_rank,
    winners,
)
from benchmarks.rivals.low_rank import sparse_then_dense, two_products
from benchmarks.tasks.rows import Product, clustered
from benchmarks.tasks.scores import recall, top
from maddjit.cli import peers
from maddjit.compiler import llvm

D, M = 64, 24
HERE = installed(METHODS, {})
UNIT_ROUNDOFF = 2.0**-24
SEEDS = 200

each = partial(pytest.mark.parametrize, ids=lambda method: method.name)
LOW_RANK = [m for m in HERE if m.name in ("PCA", "A-weighted low rank", "SVD")]
RANDOM = [method for method in HERE if method.random]
CODEBOOKS = [method for method in HERE if method.setting == "codebooks"]
NEARLY_EXACT = [method for method in HERE if not method.setting]


def rows(n_rows: int, seed: int) -> NDArray[np.float32]:
    """Return rows of a few clusters, with a mean that is not 0."""
    directions = np.random.default_rng(0).standard_normal((6, D))
    rng = np.random.default_rng(seed)
    picked = directions[rng.integers(0, 6, n_rows)]
    return (picked + 0.05 * rng.standard_normal((n_rows, D)) + 0.5).astype(np.float32)


A_TRAIN, A = rows(600, 1), rows(50, 2)
B = np.random.default_rng(3).standard_normal((D, M)).astype(np.float32)
EXACT = A.astype(np.float64) @ B.astype(np.float64)


def fitted(method: Method, setting: int, seed: int = 0) -> Apply:
    return method.fit(A_TRAIN, B, setting, seed)


def nmse(Y: NDArray[Any]) -> float:
    return float(np.mean((Y - EXACT) ** 2) / np.var(EXACT))


@pytest.mark.quick(12)
@each("method", HERE)
def test_outputs_are_float32_of_the_right_shape(method: Method) -> None:
    setting = method.settings(D, M)[-1]
    multiply = fitted(method, setting)
    for n_rows in (1, 3, len(A)):
        Y = multiply(A[:n_rows])
        assert isinstance(Y, np.ndarray)
        assert Y.dtype == np.float32
        assert Y.shape == (n_rows, M)
        assert np.isfinite(Y).all()
    kept = Y.copy()
    multiply(rows(len(A), 5))
    np.testing.assert_array_equal(Y, kept, "a later call wrote into an earlier result")


@pytest.mark.slow
@each("method", HERE)
def test_settings_can_be_fitted_and_seeds_reproduce(method: Method) -> None:
    settings = method.settings(D, M)
    assert len(set(settings)) == len(settings) > 0
    # The way to multiply is chosen by the clock, so only rounding may differ: sums of n ≤ 128 terms
    # in float32 by n · 2⁻²⁴ = 10⁻⁵ of their terms' size, which is a few times the largest output.
    for setting in (settings[0], settings[-1]):
        first, second = (fitted(method, setting, seed=7)(A) for _ in range(2))
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-4 * np.abs(first).max())


@pytest.mark.quick(10)
@each("method", HERE)
def test_zeros_stay_finite(method: Method) -> None:
    """Constant columns, an output of zeros, and rows of zeros."""
    train, right = A_TRAIN.copy(), B.copy()
    train[:, 5], right[:, 2], right[9] = 0, 0, 0
    multiply = method.fit(train, right, method.settings(D, M)[-1], 0)
    Y = multiply(np.zeros((2, D), np.float32))
    assert np.isfinite(Y).all()
    assert np.isfinite(multiply(train[:5])).all()


@each("method", [method for method in HERE if method.setting])
def test_settings_out_of_range_are_refused(method: Method) -> None:
    for setting in (0, D + 1):
        with pytest.raises(ValueError, match=str(setting)):
            fitted(method, setting)


@each("method", NEARLY_EXACT)
def test_nearly_exact_products(method: Method) -> None:
    bound = 1e-4 if method.name == "bfloat16" else 1e-3
    multiply = fitted(method, 0)
    assert nmse(multiply(A)) < bound
    alone = np.concatenate([multiply(row[np.newaxis]) for row in A])
    assert nmse(alone) < bound


@pytest.mark.parametrize("features", [{"avx2"}, {"avx2", "avxvnni"}])
def test_bytes_are_multiplied_as_the_cpu_can(
    features: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums of two products are exact in 16 bits where the CPU has nothing wider."""
    kind = replace(llvm.host(), triple="x86_64-unknown-linux-gnu", features=frozenset(features))
    monkeypatch.setattr(peers.llvm, "host", lambda: kind)
    largest = {int(np.abs(peers.quantised(B, each)[0]).max()) for each in (True, False)}
    assert largest == ({127} if "avxvnni" in features else {64})
    assert "avxvnni" in features or 2 * 255 * 64 < 2**15
    for method in NEARLY_EXACT:
        if method.name.startswith("8-bit"):
            assert nmse(fitted(method, 0)(A)) < 1e-3
    facts = {"cpu": "", "llvm_cpu": "", "level": "", "cores": 2, "caches": {}, "platform": ""}
    facts["largest_weight"] = peers.largest_weight(kind)
    results = {"machine": facts, "versions": {}, "date": "2026-01-01T00:00", "commit": ""}
    results |= {"limits": {}, "left_out": {}, "failed": {}}
    told = " ".join(page.origin(results)[""])
    assert ("7 bits" in told) == ("avxvnni" not in features)


@each("method", LOW_RANK)
def test_full_rank_is_exact(method: Method) -> None:
    """Up to float32: factors rounded once, then two products of D and rank + 1 terms.

    Each rounding is of at most u |a| |L| |R|. One of the factors L and R is orthonormal, so that
    is at most u ‖a‖ √rank ‖B‖; the mean, which goes into the offset, is centred in the same way.
    """
    rank = D if method.name == "PCA" else min(D, M)
    mean = np.linalg.norm(A_TRAIN.mean(axis=0))
    sizes = np.linalg.norm(A, axis=1)[:, np.newaxis] + mean
    bound = (D + rank + 8) * UNIT_ROUNDOFF * np.sqrt(rank) * np.linalg.norm(B) * sizes
    assert np.all(np.abs(fitted(method, rank)(A) - EXACT) <= bound)


@each("method", [m for m in HERE if m.name in ("PCA", "A-weighted low rank")])
def test_the_mean_is_kept_whatever_the_rank(method: Method) -> None:
    Y = fitted(method, 1)(A_TRAIN)
    exact = A_TRAIN.astype(np.float64) @ B
    np.testing.assert_allclose(Y.mean(axis=0), exact.mean(axis=0), atol=1e-4 * np.abs(exact).max())


@pytest.mark.parametrize("rank", [1, 2, 4, 8])
def test_no_low_rank_beats_the_weighted_one_on_its_own_rows(rank: int) -> None:
    exact = A_TRAIN.astype(np.float64) @ B
    errors = {
        method.name: np.mean((fitted(method, rank)(A_TRAIN) - exact) ** 2)
        for method in low_rank.METHODS
        if method.setting == "rank"
    }
    best = errors.pop("A-weighted low rank")
    assert best <= min(errors.values()) * (1 + 1e-6)
    values = np.linalg.svd(exact - exact.mean(axis=0), compute_uv=False)
    assert best == pytest.approx(np.sum(values[rank:] ** 2) / exact.size, rel=1e-3)


def test_sparse_pca_is_sparse_and_close() -> None:
    method = next(m for m in low_rank.METHODS if m.name == "SparsePCA")
    errors = [nmse(fitted(method, rank)(A)) for rank in (1, 4, 16)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.05


@each("method", RANDOM)
def test_random_methods_are_right_on_average(method: Method) -> None:
    """The mean over seeds of the error along the exact product is within 5 standard errors of 0.

    Those are at most 0.05 in units of the exact product, so wrong scaling by 1/4 would show.
    """
    along = [np.vdot(fitted(method, 32, seed)(A) - EXACT, EXACT) for seed in range(SEEDS)]
    shares = np.array(along) / np.vdot(EXACT, EXACT)
    standard_error = shares.std(ddof=1) / np.sqrt(SEEDS)
    assert standard_error < 0.05
    assert abs(shares.mean()) < 5 * standard_error


@each("method", RANDOM)
def test_random_methods_improve_with_their_width(method: Method) -> None:
    """Their squared error falls as 1 / width or faster: by 4 or more, less the luck of 50 seeds."""
    errors = [
        np.mean([nmse(fitted(method, width, seed)(A)) for seed in range(50)])
        for width in (4, 16, 64)
    ]
    assert errors[1] < errors[0] / 2
    assert errors[2] < errors[1] / 2


def test_a_sparse_factor_multiplies_as_a_dense_one() -> None:
    from scipy.sparse import csc_array

    left = np.where(np.random.default_rng(5).random((D, 8)) < 0.1, 1.5, 0)
    right, offset = B[:8], np.arange(M)
    dense, sparse = (
        two_products(left, right, offset),
        sparse_then_dense(csc_array(left), right, offset),
    )
    np.testing.assert_allclose(dense(A), sparse(A), rtol=1e-5, atol=1e-4)


@pytest.mark.slow
@each("method", CODEBOOKS)
def test_codebooks_improve_with_their_number(method: Method) -> None:
    train, some = clustered(2000, D, seed=1), clustered(500, D, seed=2)
    exact = some.astype(np.float64) @ B
    few, many = (
        np.mean((method.fit(train, B, n_codebooks, 0)(some) - exact) ** 2) / np.var(exact)
        for n_codebooks in (2, 32)
    )
    assert many < 0.6 * few
    # The authors' own code leaves 0.14 and 0.16 here.
    assert many < (0.2 if "as published" in method.name else 0.1)


def test_what_is_missing_is_said() -> None:
    lacking = Method("one", "", METHODS[0].fit, needs=("numpy", "no_such_module"))
    there = replace(lacking, name="two", needs=("numpy",))
    left_out: dict[str, str] = {}
    assert installed([there, lacking], left_out) == [there]
    assert left_out == {"one": "needs no_such_module"}


def test_methods_have_different_names() -> None:
    assert len({method.name for method in METHODS}) == len(METHODS)


@pytest.mark.parametrize("n_rows", [1, 40])
def test_timed_rivals_compute_the_product(n_rows: int) -> None:
    """What is timed into memory that is there is the same product, as exact as its kind is."""
    product = Product.of(A[:n_rows], B)
    found = candidates.rivals(product, True, {})
    assert found[0].name == candidates.NUMPY
    assert len({one.name for one in found}) == len(found)
    bounds = {"float32": 1e-10, "bfloat16": 1e-4}
    for one in found:
        assert one.outputs is not None
        one.run_once()
        assert product.nmse(one.outputs()) < bounds.get(one.kind, 1e-3), one.name


@pytest.mark.parametrize("k", [1, 3])
def test_timed_rivals_name_winners(k: int) -> None:
    exact = top(A @ B, k)
    for rival in winners.rivals(A, B, k, True, {}):
        if rival.outputs:
            rival.run_once()
            assert recall(rival.outputs().reshape(len(A), -1), exact) > 0.9, rival.name
        if rival.answer:
            assert recall(rival.answer(A), exact) > 0.5, rival.name
    for name, answer in winners.eight_bit_answers(B, np.zeros(M, np.float32), k, {}).items():
        assert recall(answer(A), exact) > 0.9, name
