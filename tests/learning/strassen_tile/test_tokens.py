"""Fits to neighbouring tokens: moments of rows apart, errors of real tiles, what is held out."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import maddjit
from maddjit import fit_strassen_tile
from maddjit.learning.strassen_tile import settings
from maddjit.learning.strassen_tile.least_squares import fit_states
from maddjit.learning.strassen_tile.moments import Moments
from maddjit.learning.strassen_tile.sequences import split_sequences
from maddjit.learning.strassen_tile.starts import _slow_first, starts, summed, turned
from maddjit.models import schemes
from maddjit.reference.strassen_tile import encode_right, multiply
from tests.conftest import same_bits


@cache
def tokens(
    n_sequences: int = 60, length: int = 30, n_features: int = 40
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return sequences (S, T, D) whose rows are like their neighbours, and a B (D, 24)."""
    rng = np.random.default_rng(0)
    B = rng.standard_normal((n_features, 24))
    axes = np.linalg.qr(rng.standard_normal((n_features, n_features)))[0]
    drawn = rng.standard_normal((n_sequences, length, n_features))
    drawn /= np.arange(1, n_features + 1) ** 0.5
    rows = np.empty_like(drawn)
    rows[:, 0] = drawn[:, 0]
    for t in range(1, length):
        rows[:, t] = 0.9 * rows[:, t - 1] + np.sqrt(1 - 0.81) * drawn[:, t]
    return rows @ axes + 0.3, B


def lost(model: maddjit.StrassenTileModel, A: NDArray[Any], B: NDArray[Any]) -> float:
    """Σ(Ŷ − Y)² over the outputs' squared deviations, without a bias."""
    Y = A @ B
    return float(((multiply(model, A) - Y) ** 2).sum() / ((Y - Y.mean(axis=(0, 1))) ** 2).sum())


def test_moments_of_rows_apart() -> None:
    """Pairs of rows within a sequence, as sums over all rows; beyond its ends there are means."""
    A, B = tokens(5, 7)
    moments = Moments.of(A, B, (4, 1, 1), 0.0)
    assert moments.places == [0, 1, -1, 2, -2, 3, -3]
    centred = A - A.mean(axis=(0, 1))
    for place, second, product in zip(moments.places, moments.second, moments.product, strict=True):
        wanted = np.zeros((40, 40))
        for sequence in centred:
            for t in range(7):
                if 0 <= t + place < 7:
                    wanted += np.outer(sequence[t], sequence[t + place]) / 35
        np.testing.assert_allclose(second[0, 0], wanted, atol=1e-12)
        np.testing.assert_allclose(product[0, :, 0], wanted @ B, atol=1e-12)
    stacked = [
        [moments.second[moments.places.index(j - i), 0, 0] for j in range(4)] for i in range(4)
    ]
    assert np.linalg.eigvalsh(np.block(stacked)).min() > -1e-12
    assert Moments.of(A[:, :2], B, (4, 1, 1), 0.0).places == [0, 1, -1]
    assert Moments.of(A[0], B, (4, 1, 1), 0.0).places == [0]


def test_moments_of_other_tiles() -> None:
    A, B = tokens(5, 7)
    moments = Moments.of(A[..., :30], B[:30, :23], (4, 4, 4), 1e-3)
    for shape in ((2, 16, 2), (4, 4, 4), (1, 1, 1)):
        wanted = Moments.of(A[..., :30], B[:30, :23], shape, 1e-3)
        for name in ("mean", "second", "product", "power"):
            cut = getattr(moments.cut(shape, 30, 23), name)
            np.testing.assert_array_equal(cut, getattr(wanted, name))


@pytest.mark.parametrize("unknowns", [6144, 60])
def test_objective_never_rises(unknowns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where V is found block by block, and from sums, whose V is found group by group."""
    monkeypatch.setattr(settings, "MAX_UNKNOWNS", unknowns)
    A, B = tokens()
    for scheme in starts(24, 4, B.shape, 0, "tokens"):
        moments = Moments.of(A, B, scheme.shape, 1e-3)
        way = list(islice(fit_states(scheme, encode_right(scheme, B), moments, 1e-5), 5))
        for before, after in pairwise(way):
            assert after.objective <= before.objective * (1 + 1e-9)
        assert way[-1].objective < way[0].objective
        assert 0 <= way[-1].error <= way[-1].objective


@pytest.mark.parametrize("shape", [(4, 4, 4), (2, 16, 2)])
def test_error_of_the_moments_is_that_of_the_tiles(shape: tuple[int, int, int]) -> None:
    """What is minimised, less its ridges, is the mean error over tiles of neighbours."""
    A, B = tokens(200, 100)
    scheme = summed(24, np.linalg.qr(np.ones((shape[1],) * 2) + np.eye(shape[1]))[0], side=shape[0])
    moments = Moments.of(A, B, shape, 0.0)
    step = list(islice(fit_states(scheme, encode_right(scheme, B), moments, 1e-6), 3))[-1]
    fitted = replace(
        scheme,
        encode_a=step.factors.E.reshape(24, -1).astype(np.float32),
        decode=step.factors.Dec.reshape(-1, 24).astype(np.float32),
    )
    values = step.factors.V.astype(np.float32)
    blank = maddjit.StrassenTileModel(
        fitted, 40, 24, values, np.zeros(24), 32, False, rows="tokens"
    )
    errors = multiply(blank, A) - A @ B
    errors -= errors.mean(axis=(0, 1))
    Y = A @ B
    power = ((Y - Y.mean(axis=(0, 1))) ** 2).sum()
    assert (errors**2).sum() / power == pytest.approx(step.error, rel=0.05)


def test_neighbours_are_worth_knowing() -> None:
    """Tiles of neighbours fitted as such are much better than fitted as independent rows."""
    A, B = tokens()
    others = tokens(90)[0][60:]
    model = fit_strassen_tile(B, 24, A_train=A, rows="tokens")
    assert model.rows == "tokens"
    assert model.report is not None
    assert model.report.held_out
    assert model.report.n_rows == 6 * 30
    assert "of sequences" in model.report.learned_by
    found = lost(model, others, B)
    assert found == pytest.approx(model.report.error, rel=0.2)
    independent = fit_strassen_tile(B, 24, A_train=A.reshape(-1, 40))
    assert found < 0.6 * lost(replace(independent, rows="tokens"), others, B)


def test_sums_of_rows_are_exact_where_there_are_all() -> None:
    mixing = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    assert turned(summed(64, mixing)).error < 1e-10
    assert turned(summed(56, mixing, by_strassen=True)).error < 1e-10
    assert turned(schemes.strassen()).is_exact
    assert turned(schemes.plain(2, 3, 5)).shape == (3, 5, 2)
    assert turned(schemes.plain(2, 3, 5)).is_exact


def test_sums_of_rows_take_the_slow_ones_first() -> None:
    """With one product for each column and output, the rows of a tile are added."""
    found = next(s for s in starts(16, 4, (40, 24), 0, "tokens") if "of rows" in s.name)
    encode, decode = found.encode_a.reshape(16, 4, 4), found.decode.reshape(4, 4, 16)
    assert (encode != 0).sum(axis=(1, 2)).tolist() == [4] * 16
    np.testing.assert_array_equal(encode, np.broadcast_to(encode[:, :1], encode.shape))
    np.testing.assert_array_equal(decode, np.broadcast_to(decode[:1], decode.shape))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8])
def test_rows_of_mixings_change_ever_more_often(size: int) -> None:
    mixing = _slow_first(size)
    gram = mixing @ mixing.T
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-12)
    signs = np.sign(np.where(np.abs(mixing) < 1e-12, 1, mixing))
    assert np.count_nonzero(np.diff(signs, axis=1), axis=1).tolist() == list(range(size))


def test_whole_sequences_or_tiles_at_ends_are_kept_back() -> None:
    rows = np.arange(20 * 9).reshape(20, 9, 1)
    train, held, places = split_sequences(rows, 0.1, 0, 4)
    assert held is not None
    assert train.shape == (18, 9, 1)
    assert held.shape == (2, 9, 1)
    np.testing.assert_array_equal(rows.ravel()[places], held.ravel())
    train, held, places = split_sequences(rows[:3], 0.3, 0, 2)
    assert held is not None
    np.testing.assert_array_equal(held[..., 0], rows[:3, 8:, 0])
    np.testing.assert_array_equal(rows.ravel()[places], held.ravel())
    assert train.shape[1] % 2 == 0
    for few, share in ((rows[:1], 0.5), (rows, 0.0), (rows[:3], 0.01)):
        assert split_sequences(few, share, 0, 4)[1] is None
    with pytest.raises(ValueError, match="share"):
        split_sequences(rows, 1.0, 0, 4)


@pytest.mark.filterwarnings("ignore::maddjit.AccuracyWarning")
@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (30, 1), (25, 3), (4, 7), (1, 200)])
def test_sequences_of_any_length(shape: tuple[int, int]) -> None:
    A, B = tokens()
    rows = np.concatenate([A, A], axis=1).reshape(-1, 40)[: shape[0] * shape[1]]
    model = fit_strassen_tile(B, 20, A_train=rows.reshape(*shape, 40), rows="tokens")
    assert np.isfinite(model.values).all()
    assert model.report is not None


def test_one_sequence_is_a_matrix() -> None:
    A, B = tokens()
    one = fit_strassen_tile(B, 20, A_train=A[0].astype(np.float32), rows="tokens")
    same = fit_strassen_tile(B, 20, A_train=A[:1].astype(np.float32), rows="tokens")
    assert same_bits(one.values, same.values)


def test_exact_schemes_and_no_rows() -> None:
    A, B = tokens()
    model = fit_strassen_tile(B, tile=2, A_train=A, rows="tokens")
    assert (model.rows, model.kind) == ("tokens", "rounded")
    assert model.report is not None
    assert model.report.error < 1e-12
    assert fit_strassen_tile(B, 24, rows="tokens").rows == "tokens"


@pytest.mark.parametrize(
    ("rows", "A", "message"),
    [
        ("tiles", np.ones((30, 8)), 'rows must be "blocks" or "tokens"'),
        ("blocks", np.ones((3, 10, 8)), "A_train must have 2 non-empty axes"),
        ("tokens", np.ones((3, 10, 7)), "A_train has 7 columns but B has 8 rows"),
        ("tokens", np.ones((3, 0, 8)), "A_train must have 3 non-empty axes"),
        ("tokens", np.ones((2, 3, 4, 8)), "A_train must have 2 non-empty axes"),
        ("tokens", np.full((1, 2, 8), np.nan), "nan at position 0, 0, 0"),
    ],
)
def test_bad_rows(rows: Any, A: NDArray[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_strassen_tile(np.eye(8), 20, A_train=A, rows=rows)


@pytest.mark.filterwarnings("ignore::maddjit.AccuracyWarning")
def test_starts_are_judged_by_other_sequences() -> None:
    """Of few wide rows each start learns much by heart; the chosen one does well on others."""
    A, B = tokens(20, 30, 160)
    found = starts(24, 4, B.shape, 0, "tokens")
    alone = [fit_strassen_tile(B, scheme=each, A_train=A, rows="tokens").report for each in found]
    errors = sorted(each.error for each in alone if each is not None)
    report = fit_strassen_tile(B, 24, A_train=A, rows="tokens").report
    assert report is not None
    assert report.error <= 1.1 * errors[0] < 0.5 * errors[-1]


def test_large_layers_take_fewer_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    A, B = tokens()
    monkeypatch.setattr(settings, "MAX_TRIED_UNKNOWNS", 100)
    monkeypatch.setattr(settings, "SPARSE_TOLERANCE", 0.0)
    large = fit_strassen_tile(B, 20, A_train=A, rows="tokens").report
    asked = fit_strassen_tile(B, 20, A_train=A, rows="tokens", max_iterations=6).report
    assert large is not None
    assert asked is not None
    assert len(large.objective) <= 1 + settings.LARGE_ROUNDS < len(asked.objective)
