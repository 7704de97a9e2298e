"""Calibration: scores rank as the tables do, margins cover what they promise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import betabinom

import maddjit
from maddjit import reference
from maddjit.learning.winners.scores import score_tables
from tests.conftest import same_bits
from tests.random_models import random_model, with_core

ROWS = tuple[NDArray[Any], NDArray[Any]]


@pytest.fixture(scope="module")
def problem() -> tuple[maddjit.MaddnessModel, NDArray[Any], NDArray[Any], NDArray[Any]]:
    """A model, rows it has not seen, B and bias."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((26000, 6)) @ rng.standard_normal((6, 24))
    A = (A + 0.2 * rng.standard_normal(A.shape)).astype(np.float32)
    B, bias = rng.standard_normal((24, 40)), rng.standard_normal(40)
    model = maddjit.fit(A[:2000], B, 8, bias=bias, method="paper")
    return model, A[2000:], B, bias


@pytest.mark.parametrize("bits", [8, 16])
def test_scores_rank_as_outputs_do(bits: int) -> None:
    """Each entry is rounded by half a step at most, so sums by C/2 steps."""
    model = random_model(0, n_features=9, n_codebooks=6, n_prototypes=16, n_outputs=30)
    tables = score_tables(model, bits)
    A = np.random.default_rng(1).standard_normal((200, 9)).astype(np.float32)
    scores = reference.scores(model, tables, A).astype(float)
    outputs = reference.apply(model, A).astype(float)
    step = np.polyfit(scores.ravel(), outputs.ravel(), 1)[0]
    assert step > 0
    assert np.ptp(outputs - step * scores) < 1.2 * step * model.n_codebooks
    worst = tables.max(axis=1).astype(int).sum(axis=0).max()
    assert worst <= 255 if bits == 8 else worst > 255


def test_margins_are_exact_quantiles(
    problem: tuple[maddjit.MaddnessModel, NDArray[Any], NDArray[Any], NDArray[Any]],
) -> None:
    """The definition, row by row, on rows none of which chose the width of scores."""
    model, A, B, bias = problem
    A = A[:300]
    for k in (1, 3):
        short = maddjit.calibrate(model, A, B, bias=bias, k=k, random_state=3).short_list
        assert short is not None
        order = np.random.default_rng(3).permutation(len(A))
        rest = np.sort(order[30:])
        assert short.n_rows == len(rest)
        scores = reference.scores(model, short.tables, A[rest])
        exact = A[rest] @ B.astype(np.float32) + bias.astype(np.float32)
        best = np.argsort(-exact, axis=1, kind="stable")[:, :k]
        kth = np.sort(scores, axis=1)[:, -k]
        gaps = np.sort(kth - np.take_along_axis(scores, best, axis=1).min(axis=1))
        for coverage in (0.5, 0.9, 0.99):
            margin = gaps[int(np.ceil((len(rest) + 1) * coverage)) - 1]
            assert short.margin(coverage) == margin
            lengths = (scores >= (kth - margin)[:, np.newaxis]).sum(axis=1)
            mean, tail, longest = short.expected_lengths(coverage)
            assert mean == pytest.approx(lengths.mean(), rel=1e-12)
            assert tail == np.quantile(lengths, 0.99, method="higher")
            assert longest == lengths.max()


def test_winners_are_covered_as_promised(
    problem: tuple[maddjit.MaddnessModel, NDArray[Any], NDArray[Any], NDArray[Any]],
) -> None:
    """Ten random splits: as many of n' new rows as the promise allows.

    Were coverage no more than promised, the number covered would be at least beta-binomial with
    r = ⌈(n + 1) · coverage⌉ and n + 1 − r: each split fails with a chance of at most 1e-5, so that
    all forty together raise a false alarm with at most 4e-4.
    """
    model, A, B, bias = problem
    rng = np.random.default_rng(5)
    exact = (A @ B.astype(np.float32) + bias.astype(np.float32)).argsort(axis=1)
    for _ in range(10):
        order = rng.permutation(len(A))
        known, new = order[:5000], order[5000:12000]
        for k in (1, 3):
            calibrated = maddjit.calibrate(model, A[known], B, bias=bias, k=k)
            short = calibrated.short_list
            assert short is not None
            scores = reference.scores(model, short.tables, A[new])
            kth = np.sort(scores, axis=1)[:, -k]
            winners = np.take_along_axis(scores, exact[new, -k:], axis=1).min(axis=1)
            for coverage in (0.99, 0.999):
                covered = int((winners >= kth - short.margin(coverage)).sum())
                rank = int(np.ceil((short.n_rows + 1) * coverage))
                least = betabinom(len(new), rank, short.n_rows + 1 - rank).ppf(1e-5)
                assert covered >= least


@pytest.mark.filterwarnings("ignore:short lists hold")
def test_too_few_rows_for_so_much() -> None:
    model = random_model(0, n_features=9, n_codebooks=6, n_prototypes=16, n_outputs=30)
    rng = np.random.default_rng(0)
    calibrated = maddjit.calibrate(model, rng.standard_normal((99, 9)), rng.random((9, 30)), bias=0)
    short = calibrated.short_list
    assert short is not None
    assert short.n_rows == 90  # the others chose
    assert short.margin(90 / 91) == short.margins[-1]
    with pytest.raises(maddjit.CoverageError, match="99 rows to vouch for it"):
        short.margin(0.99)
    for coverage in (0, 1, 2.0):
        with pytest.raises(ValueError, match="above 0 and below 1"):
            short.margin(coverage)


def test_calibrated_again_on_other_rows() -> None:
    """A model far from B's product needs wider margins, and gets them."""
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((3000, 16)), rng.standard_normal((16, 20))
    model = maddjit.fit(A[:500], B, 8, method="paper")
    near = maddjit.calibrate(model, A[500:], B).short_list
    far = maddjit.calibrate(model, 3 * A[500:], B).short_list
    assert near is not None
    assert far is not None
    assert far.margin(0.9) > near.margin(0.9)


@pytest.mark.filterwarnings("ignore:short lists hold")
def test_very_many_margins_are_thinned_upwards(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(0, n_features=9, n_codebooks=40, n_prototypes=16, n_outputs=30)
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((2000, 9)), rng.random((9, 30))
    whole = maddjit.calibrate(model, A, B, bias=0).short_list
    monkeypatch.setattr("maddjit.learning.winners.settings.MAX_MARGINS", 16)
    thin = maddjit.calibrate(model, A, B, bias=0).short_list
    assert whole is not None
    assert thin is not None
    assert len(thin.margins) <= 16 < len(whole.margins)
    assert thin.covered[-1] == whole.covered[-1] == thin.n_rows
    assert set(thin.margins) <= set(whole.margins)
    for coverage in (0.1, 0.5, 0.9, 0.99):
        assert thin.margin(coverage) >= whole.margin(coverage)


def test_what_cannot_be_calibrated() -> None:
    model = random_model(0, n_features=9, n_codebooks=4, n_prototypes=16, n_outputs=7)
    model = replace(model, bias=np.zeros(7))
    A, B = np.ones((30, 9)), np.ones((9, 7))
    with pytest.raises(ValueError, match=r"exact core of rank 2 .* core_rank=0"):
        maddjit.calibrate(with_core(model, 2), A, B)
    with pytest.raises(ValueError, match='averages: fit with accumulate="exact"'):
        maddjit.calibrate(replace(model, accumulate="average"), A, B)
    tiles = maddjit.fit_strassen_tile(B, tile=2)
    with pytest.raises(TypeError, match="StrassenTileModel looks up no scores"):
        maddjit.calibrate(tiles, A, B)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"its \.model is one"):
        maddjit.calibrate(maddjit.compile(model), A, B)  # type: ignore[arg-type]
    for arguments in ((A[:, 1:], B), (A, B[:, 1:])):
        with pytest.raises(ValueError, match="must have shapes"):
            maddjit.calibrate(model, *arguments)
    with pytest.raises(ValueError, match="bias must have shape"):
        maddjit.calibrate(model, A, B, bias=np.ones(6))
    for k in (0, 8):
        with pytest.raises(ValueError, match="k must be from 1 to 7"):
            maddjit.calibrate(model, A, B, k=k)
    with pytest.raises(ValueError, match="finite"):
        maddjit.calibrate(model, A * np.nan, B)


def test_very_many_codebooks() -> None:
    """Their scores fit 16 bits although 300 bytes would not."""
    model = random_model(0, n_features=400, n_codebooks=300, n_prototypes=16, n_outputs=6)
    model = replace(model, scale=np.ones(6), offset=np.zeros(6))
    tables = score_tables(model, 16)
    assert tables.max(axis=1).astype(int).sum(axis=0).max() <= 65535
    calibrated = maddjit.calibrate(model, np.ones((40, 400)), np.ones((400, 6)), bias=0)
    assert calibrated.short_list is not None


@pytest.mark.filterwarnings("ignore:short lists hold")
def test_equal_outputs_are_covered_by_index() -> None:
    """Twin columns, of which the tables prefer the second: the first wins, and is listed."""
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((4000, 16)), np.repeat(rng.standard_normal((16, 6)), 2, axis=1)
    model = maddjit.fit(A[:500], B, 8, method="paper")
    model = replace(model, offset=model.offset - np.where(np.arange(12) % 2, 0, 0.5))
    op = maddjit.compile(maddjit.calibrate(model, A[500:2500], B), result="argmax", coverage=0.99)
    exact = 2 * (A[2500:] @ B[:, ::2]).argmax(axis=1)  # a product may round twins differently
    assert (op(A[2500:]) == exact).mean() > 0.98


def test_lists_of_most_outputs_warn() -> None:
    """A bias that is not the model's is the usual reason, where the model does not know it."""
    rng = np.random.default_rng(0)
    A, B, bias = rng.standard_normal((2000, 16)), rng.standard_normal((16, 20)), 20 * np.arange(20)
    model = maddjit.fit(A[:500], B, 8, bias=bias, method="paper")
    with pytest.warns(maddjit.AccuracyWarning, match="bias"):
        maddjit.calibrate(replace(model, bias=None), A[500:], B, bias=0)


def test_the_bias_is_the_models(
    problem: tuple[maddjit.MaddnessModel, NDArray[Any], NDArray[Any], NDArray[Any]],
) -> None:
    """It is used unless it is given, and given differently only in so many words."""
    model, A, B, bias = problem
    A = A[:600]
    assert model.bias is not None
    assert (model.bias == bias).all()
    own = maddjit.calibrate(model, A, B)
    for same in (bias, bias.astype(np.float32)):
        given = maddjit.calibrate(model, A, B, bias=same)
        assert given.bias is not None
        assert (given.bias == bias).all()
        assert given.short_list is not None
        assert own.short_list is not None
        assert same_bits(given.short_list.tables, own.short_list.tables)
        assert (own.short_list.bias == given.short_list.bias).all()
        assert (own.short_list.covered == given.short_list.covered).all()
    for other in (0, np.zeros(40), -bias):
        with pytest.raises(ValueError, match=r"differs by up to .* replace_bias=True"):
            maddjit.calibrate(model, A, B, bias=other)
    with pytest.raises(ValueError, match="needs the bias"):
        maddjit.calibrate(model, A, B, replace_bias=True)


def test_another_bias_moves_the_outputs(
    problem: tuple[maddjit.MaddnessModel, NDArray[Any], NDArray[Any], NDArray[Any]],
) -> None:
    model, A, B, bias = problem
    other = bias[::-1] + 3
    moved = maddjit.calibrate(model, A[:6000], B, bias=other, replace_bias=True)
    assert moved.bias is not None
    assert (moved.bias == other).all()
    assert moved.report is None
    # Two offsets and the difference, each rounded once, of numbers below 32.
    assert np.abs(moved.offset - model.offset - (other - bias)).max() <= 2 * 32 * 2.0**-24
    op = maddjit.compile(moved, result="argmax", coverage=0.99)
    exact = A[6000:].astype(np.float32) @ B.astype(np.float32) + other.astype(np.float32)
    assert (op(A[6000:]) == exact.argmax(axis=1)).mean() > 0.985


def test_an_unknown_bias_must_be_given(
    problem: tuple[maddjit.MaddnessModel, NDArray[Any], NDArray[Any], NDArray[Any]],
) -> None:
    known, A, B, bias = problem
    model, A = replace(known, bias=None), A[:600]
    with pytest.raises(ValueError, match=r"does not say which bias .* bias=0 if it has none"):
        maddjit.calibrate(model, A, B)
    with pytest.raises(ValueError, match="does not say which: give bias=… alone"):
        maddjit.calibrate(model, A, B, bias=bias, replace_bias=True)
    told = maddjit.calibrate(model, A, B, bias=bias)
    assert told.bias is not None
    assert (told.bias == bias).all()
    assert (told.offset == model.offset).all()
    none = maddjit.fit(A, B, 8, method="paper")
    assert none.bias is not None
    assert not none.bias.any()
    assert maddjit.calibrate(none, A, B, bias=0).short_list is not None
