"""`fit_strassen_tile`: steps that never make it worse, errors reached, options, the report."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import maddjit
from benchmarks.suites.scheme_search import bilinear, cyclic
from maddjit import fit_strassen_tile
from maddjit.arrays.formats import bfloat16_to_float32, float32_to_bfloat16
from maddjit.learning.strassen_tile import least_squares, settings
from maddjit.learning.strassen_tile.choice import chosen_start
from maddjit.learning.strassen_tile.least_squares import Factors, fit_states
from maddjit.learning.strassen_tile.moments import Moments
from maddjit.learning.strassen_tile.starts import starts, summed
from maddjit.models import schemes
from maddjit.models.schemes import BilinearScheme
from maddjit.reference.strassen_tile import encode_right, multiply
from tests.conftest import same_bits


@cache
def hidden_layer(n_rows: int = 1500, n_features: int = 64) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return rows like those of a layer behind ReLU, of few directions, and a B (64, 48)."""
    rng = np.random.default_rng(0)
    B, outward = rng.standard_normal((n_features, 48)), rng.standard_normal((8, n_features))
    inner = rng.standard_normal((n_rows, 8)) / np.arange(1, 9) ** 2
    return np.maximum(inner @ outward + 1, 0), B


def lost(model: maddjit.StrassenTileModel, A: NDArray[Any], B: NDArray[Any]) -> float:
    """Σ(Ŷ − Y)² over the outputs' squared deviations, without a bias."""
    Y = A @ B
    return float(((multiply(model, A) - Y) ** 2).sum() / ((Y - Y.mean(axis=0)) ** 2).sum())


@pytest.mark.parametrize(("D", "M", "rank"), [(64, 48, 24), (61, 45, 24), (10, 3, 17)])
@pytest.mark.parametrize("unknowns", [6144, 100])
def test_objective_never_rises(
    D: int, M: int, rank: int, unknowns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where V is found block by block."""
    monkeypatch.setattr(settings, "MAX_UNKNOWNS", unknowns)
    A, B = hidden_layer()
    A, B = A[:, :D], B[:D, :M]
    for scheme in starts(rank, 4, B.shape, 0):
        moments = Moments.of(A, B, scheme.shape, 1e-3)
        way = list(islice(fit_states(scheme, encode_right(scheme, B), moments, 1e-5), 8))
        for before, after in pairwise(way):
            assert after.objective <= before.objective * (1 + 1e-9)
        assert way[-1].objective < way[0].objective
        assert 0 <= way[-1].error <= way[-1].objective


def test_error_of_the_moments_is_that_of_the_rows() -> None:
    """What is minimised, less its ridges, is the mean error over tiles of independent rows."""
    A, B = hidden_layer()
    scheme = schemes.generic(24)
    moments = Moments.of(A, B, scheme.shape, 0.0)
    step = next(fit_states(scheme, encode_right(scheme, B), moments, 1e-6))
    rng = np.random.default_rng(1)
    rows = A[rng.integers(0, len(A), 40000)]  # tile mates drawn one by one
    values = step.factors.V.astype(np.float32)
    blank = maddjit.StrassenTileModel(scheme, 64, 48, values, np.zeros(48), 32, False)
    errors = multiply(blank, rows) - rows @ B
    errors -= errors.mean(axis=0)
    power = ((rows @ B - (rows @ B).mean(axis=0)) ** 2).sum()
    assert (errors**2).sum() / power == pytest.approx(step.error, rel=0.05)


def test_each_step_is_least_squares() -> None:
    """No small change of a part lowers the objective after its step."""
    A, B = hidden_layer()
    scheme = schemes.generic(20)
    moments = Moments.of(A, B, scheme.shape, 1e-3)
    way = fit_states(scheme, encode_right(scheme, B), moments, 1e-5)
    now = next(way).factors
    start = least_squares.Fit(now, moments, 1e-3)
    sums, ridges = start.sums, start.ridges
    rng = np.random.default_rng(0)

    def objective(factors: Factors) -> float:
        return least_squares.Fit(factors, moments, 1e-3, start).objective

    for part, found in (
        ("V", least_squares._fit_values(now, moments, ridges.V)),
        ("Dec", least_squares._fit_decoder(now, sums, moments.places, ridges.Dec)),
        ("E", least_squares._fit_encoder(now, sums, moments.places, ridges.E)),
    ):
        best = now._replace(**{part: found})
        least = objective(best)
        assert least < objective(now)
        for _ in range(3):
            change = 1e-3 * np.abs(found).max() * rng.standard_normal(found.shape)
            assert objective(best._replace(**{part: found + change})) > least
            assert objective(best._replace(**{part: found - change})) > least


@pytest.mark.parametrize(("rank", "most"), [(24, 0.06), (32, 0.03)])
def test_rows_of_few_directions(rank: int, most: float) -> None:
    A, B = hidden_layer()
    model = fit_strassen_tile(B, rank, A_train=A)
    report = model.report
    assert report is not None
    assert report.held_out
    assert report.n_rows == 150
    assert report.error <= most < report.unfitted
    others = hidden_layer(3000)[0][1500:]
    assert lost(model, others, B) < 1.5 * most
    assert report.bfloat16 < 1e-4
    assert report.rank == int(model.multiplications / (64 + 48))
    assert 0 < report.low_rank < 1
    assert "low rank at equal multiplications" in str(report)


def test_white_rows_gain_nothing() -> None:
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((4000, 64)), rng.standard_normal((64, 64))
    report = fit_strassen_tile(B, 32, A_train=A, max_iterations=2).report
    assert report is not None
    assert report.error == pytest.approx(schemes.generic(32).error, rel=0.1)
    assert report.unfitted == pytest.approx(schemes.generic(32).error, rel=0.1)


@pytest.mark.filterwarnings("ignore::maddjit.AccuracyWarning")
def test_bias_takes_the_mean_error() -> None:
    A, B = hidden_layer()
    bias = np.arange(48.0)
    model = fit_strassen_tile(B, 20, A_train=A, bias=bias, validation_fraction=0)
    rng = np.random.default_rng(0)
    rows = A[rng.integers(0, len(A), 20000)]
    errors = multiply(model, rows) - rows @ B - bias
    # The mean of 20000 errors is about 1/140 of their deviation from zero.
    assert np.abs(errors.mean(axis=0)).max() < 0.04 * errors.std()
    assert model.report is not None
    assert not model.report.held_out


@pytest.mark.parametrize(
    ("options", "name", "kind"),
    [
        ({"tile": 1}, "plain", "exact"),
        ({"tile": 2}, "strassen", "rounded"),
        ({"tile": 3}, "laderman", "rounded"),
        ({}, "strassen ⊗ strassen", "rounded"),
        ({"rank": 32}, "generic-32", "approximate"),
        ({"scheme": "winograd"}, "winograd", "rounded"),
        ({"scheme": schemes.plain(1, 2, 3), "rank": 6}, "plain", "rounded"),
    ],
)
def test_schemes_without_rows(options: dict[str, Any], name: str, kind: str) -> None:
    _, B = hidden_layer()
    model = fit_strassen_tile(B, **options, bias=np.ones(48), tile_rows=16)
    assert (model.scheme.name, model.kind, model.tile_rows) == (name, kind, 16)
    assert model.report is None
    assert same_bits(model.values, encode_right(model.scheme, B).astype(np.float32))
    np.testing.assert_array_equal(model.bias, 1)


def test_exact_schemes_are_left_alone_but_reported_on() -> None:
    A, B = hidden_layer()
    model = fit_strassen_tile(B, A_train=A, tile=2)
    assert model.kind == "rounded"
    assert model.report is not None
    assert model.report.error < 1e-12
    assert model.report.objective == ()


@pytest.mark.parametrize(("tile", "rank"), [(2, 5), (3, 12)])
def test_other_tiles(tile: int, rank: int) -> None:
    A, B = hidden_layer()
    model = fit_strassen_tile(B, rank, tile=tile, A_train=A)
    assert model.scheme.shape == (tile, tile, tile)
    assert model.report is not None
    assert model.report.error < 0.1


@pytest.mark.filterwarnings("ignore::maddjit.AccuracyWarning")
def test_given_schemes_are_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    A, B = hidden_layer()
    monkeypatch.setattr(settings, "SPARSE_TOLERANCE", 0.0)
    scheme = bilinear.as_scheme(
        bilinear.largest(
            bilinear.as_factors(schemes.kronecker(schemes.plain(1, 2, 1), schemes.strassen())), 13
        ),
        0,
        "mine",
    )
    sparse = fit_strassen_tile(B, scheme=scheme, A_train=A, max_iterations=0)
    assert same_bits(sparse.scheme.encode_a, scheme.encode_a)
    assert sparse.kind == "approximate"
    model = fit_strassen_tile(B, scheme=scheme, A_train=A, max_iterations=5)
    assert model.scheme.name == "mine-fitted"
    assert model.report is not None
    assert sparse.report is not None
    assert model.report.error < sparse.report.error < sparse.report.unfitted
    assert np.abs(model.scheme.encode_a).max(axis=1) == pytest.approx(1)
    assert np.abs(model.scheme.decode).max(axis=0) == pytest.approx(1)


def test_useless_operators_are_named() -> None:
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((400, 32)), rng.standard_normal((32, 32))
    with pytest.warns(maddjit.AccuracyWarning, match="should not be used"):
        fit_strassen_tile(B, 16, A_train=A, max_iterations=0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rank": 15}, ValueError, "the rank must be from 16 to 49"),
        ({"tile": 5}, ValueError, "tile must be 1, 2, 3 or 4"),
        ({"rank": 3.5}, TypeError, "whole number"),
        ({"scheme": "best"}, ValueError, "scheme must be one of plain, strassen"),
        ({"scheme": 7}, TypeError, "BilinearScheme"),
        ({"scheme": "strassen", "rank": 8}, ValueError, "is not of rank 8"),
        ({"tile_rows": 20}, ValueError, "multiple of 8"),
        ({"A_train": np.ones((5, 3))}, ValueError, "A_train has 3 columns but B has 8 rows"),
        ({"A_train": np.full((5, 8), np.nan)}, ValueError, "A_train must be finite"),
        ({"bias": np.ones(3)}, ValueError, "bias must have shape"),
        ({"regularisation": 0}, ValueError, "regularisation must be"),
        ({"max_iterations": -1}, ValueError, "max_iterations must be 0 or more"),
        ({"rank": 20, "A_train": np.ones((30, 8)), "validation_fraction": 1}, ValueError, "share"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fit_strassen_tile(np.eye(8), **options)


@pytest.mark.parametrize("rows", [np.ones((30, 8)), np.zeros((1, 8)), np.eye(8)])
def test_rows_that_say_little(rows: NDArray[Any]) -> None:
    """Constant rows, no rows to speak of, and as many as columns."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", maddjit.AccuracyWarning)
        model = fit_strassen_tile(np.eye(8), 20, A_train=rows)
    assert np.isfinite(model.values).all()


def test_the_same_again_and_progress() -> None:
    A, B = hidden_layer()
    calls: list[tuple[int, int]] = []
    first = fit_strassen_tile(B, 20, A_train=A, progress=lambda *done: calls.append(done))
    again = fit_strassen_tile(B, 20, A_train=A)
    assert same_bits(first.values, again.values)
    assert calls
    assert calls[-1][0] <= calls[-1][1]
    stopped = fit_strassen_tile(B, 20, A_train=A, progress=lambda *_: False)
    assert stopped.report is not None
    assert len(stopped.report.objective) == 1


@pytest.mark.parametrize("rank", [16, 24, 31, 48, 55, 60])
def test_starts_have_the_rank(rank: int) -> None:
    found = starts(rank, 4, (256, 64), 0)
    assert {scheme.rank for scheme in found} == {rank}
    assert {scheme.shape for scheme in found} == {(4, 4, 4), (2, 16, 2)}
    assert {scheme.shape for scheme in starts(rank, 4, (255, 64), 0)} == {(4, 4, 4)}


def test_winograd_twice_less_one() -> None:
    less = next(scheme for scheme in starts(48, 4, (64, 64), 0) if "less" in scheme.name)
    assert less.error == pytest.approx(1 / 64)


def test_moments_of_other_tiles() -> None:
    A, B = hidden_layer()
    moments = Moments.of(A[:, :30], B[:30, :29], (4, 4, 4), 1e-3)
    for shape in ((2, 16, 2), (4, 4, 4)):
        wanted = Moments.of(A[:, :30], B[:30, :29], shape, 1e-3)
        for name in ("mean", "second", "product", "power"):
            cut = getattr(moments.cut(shape, 30, 29), name)
            np.testing.assert_array_equal(cut, getattr(wanted, name))


@pytest.mark.parametrize("scheme", [schemes.strassen(), schemes.generic(30)], ids=str)
def test_rounding_to_bfloat16_is_foreseen(scheme: BilinearScheme) -> None:
    A, B = hidden_layer()
    moments = Moments.of(A, B, scheme.shape, 0.0)
    factors = next(fit_states(scheme, encode_right(scheme, B), moments, 1e-6)).factors
    V = factors.V.astype(np.float32)
    model = maddjit.StrassenTileModel(scheme, 64, 48, V, np.zeros(48), 8, False)
    rounded = replace(model, values=bfloat16_to_float32(float32_to_bfloat16(V)))
    encode = scheme.encode_a.astype(np.float64)
    blocks = A[: scheme.shape[0] * 200].reshape(200, scheme.shape[0], scheme.shape[1], -1)
    z = np.einsum("rx,txK->trK", encode, blocks.reshape(200, encode.shape[1], -1))
    z_rounded = bfloat16_to_float32(float32_to_bfloat16(z.astype(np.float32)))
    decode = scheme.decode.astype(np.float64)
    difference = np.einsum("xr,trK,rKJ->txJ", decode, z_rounded, rounded.values, optimize=True)
    difference -= np.einsum("xr,trK,rKJ->txJ", decode, z, V, optimize=True)
    found = (difference**2).sum() / (200 * scheme.shape[0] * moments.power)
    assert found == pytest.approx(least_squares.bfloat16_error(factors, moments), rel=0.3)


def test_products_that_cancel_are_not_chosen() -> None:
    """A start whose error is small, but not in bfloat16, loses against one that rounds less."""
    rng = np.random.default_rng(0)
    left = rng.standard_normal((500, 8))
    A = np.concatenate([left, left + 0.05 * rng.standard_normal(left.shape)], axis=1)
    B = rng.standard_normal((16, 8))
    ones = np.ones((1, 1))
    mild = BilinearScheme("mild", (1, 2, 1), np.ones((1, 2)), np.ones((1, 2)), ones)
    encode = np.array([[1.0, 1e-3], [1.0, 0.0]])
    wild = BilinearScheme("wild", (1, 2, 1), encode, encode, np.ones((1, 2)))
    moments = Moments.of(A, B, mild.shape, 0.0)
    errors = {}
    for scheme in (mild, wild):
        chosen, factors, _ = chosen_start([scheme], B, moments, 1e-12, 0, lambda: True)
        step = next(fit_states(chosen, encode_right(chosen, B), moments, 1e-12))
        errors[scheme.name] = step.error, least_squares.bfloat16_error(factors, moments)
    assert errors["wild"][0] < 0.1 * errors["mild"][0]
    assert errors["wild"][1] > 1 > errors["mild"][1]
    best = chosen_start([wild, mild], B, moments, 1e-12, 0, lambda: True)[0]
    assert best.name == "mild"


def test_sums_of_blocks_are_exact_where_there_are_all() -> None:
    mixing = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    assert summed(64, mixing).error < 1e-10
    assert summed(60, mixing, by_strassen=True).error < 1e-10
    assert summed(56, mixing, by_strassen=True).error < 1e-10
    wide = np.linalg.qr(np.random.default_rng(0).standard_normal((16, 16)))[0]
    assert summed(56, wide, side=2, by_strassen=True).error < 1e-10
    assert summed(57, wide, side=2, by_strassen=True).rank == 57


def test_alternating_squares_of_the_tensor() -> None:
    """Rank 7 is found from noise, and what is minimised falls."""
    rng = np.random.default_rng(0)
    start = bilinear.Factors(*(0.5 * rng.standard_normal((20, 7, 2, 2)) for _ in range(3)))
    found = bilinear.alternate(start, np.geomspace(0.02, 1e-7, 400))
    errors = bilinear.errors(found)
    assert errors.min() < 1e-6
    scheme = bilinear.as_scheme(found, int(errors.argmin()), "found")
    assert scheme.error == pytest.approx(errors.min(), rel=1e-2, abs=1e-9)
    assert bilinear.amplification(bilinear.as_factors(schemes.plain(2, 2, 2))) == 1


def test_cyclic_schemes() -> None:
    """What is minimised is the tensor's error, the gradient its slope, and Strassen's is found."""
    kind = cyclic.Cyclic(3, 2, 2)
    rng = np.random.default_rng(0)
    X, change = rng.standard_normal((2, 8, 9))
    factors = kind.factors(X)
    assert kind.value(X, 0.0) == pytest.approx(9 * bilinear.errors(factors)[0])
    system, gradient = kind.system(X)
    after, before = (kind.value(X + sign * 1e-5 * change, 0.0) for sign in (1, -1))
    assert (after - before) / 4e-5 == pytest.approx(gradient @ change.ravel(), rel=1e-4)
    np.testing.assert_allclose(system, system.T)
    # The tensor is of third degree: the residual's slope, squared, by differences of the scheme.
    turns = [
        np.einsum("rik,rlm,rjp->iklmjp", *parts)
        for parts in (
            [part[0] for part in kind.factors(X + sign * 1e-5 * change)] for sign in (1, -1)
        )
    ]
    slope = (turns[0] - turns[1]) / 2e-5
    assert (slope**2).sum() / 3 == pytest.approx(change.ravel() @ system @ change.ravel(), rel=1e-4)
    found = cyclic.found(cyclic.Cyclic(2, 1, 2), 6, rng)
    assert found.a.shape == (1, 7, 2, 2)
    assert bilinear.errors(found)[0] < 1e-4


def test_other_bases_are_as_exact() -> None:
    rng = np.random.default_rng(0)
    factors = bilinear.as_factors(schemes.laderman())
    assert np.abs(bilinear.errors(bilinear.transformed(factors, 3, 0.3, rng))).max() < 1e-9
    fewer = bilinear.without_each(factors)
    assert fewer.a.shape == (23, 22, 3, 3)
    assert bilinear.errors(bilinear.together([fewer, fewer])).min() > 0.01
