"""Rows that are drawn, and synthetic rows: between two real ones, plus noise."""

from __future__ import annotations

import numpy as np
import pytest

import maddjit
from maddjit.learning.maddness.sample import Sample, augmented, some_of
from maddjit.learning.maddness.settings import QUANTILE_ROWS, SYNTHETIC_WEIGHT
from tests.learning.maddness.test_paper_trees import KINDS, rows_of


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n_rows", "copies"), [(1, 3), (2, 1), (50, 4), (50, 0)])
def test_real_rows_come_first(kind: str, dtype: str, n_rows: int, copies: int) -> None:
    A = rows_of(kind, n_rows, 5, dtype, seed=0)
    sample = augmented(A, copies, np.random.default_rng(0))
    assert sample.n_real == n_rows
    assert sample.rows.dtype == dtype
    assert sample.rows.shape == (n_rows * (1 + copies), 5)
    np.testing.assert_array_equal(sample.rows[:n_rows], A)
    assert np.isfinite(sample.rows).all()


def test_weights() -> None:
    weights = Sample(np.zeros((7, 2)), 3).weights
    assert weights.dtype == np.float32
    assert weights.tolist() == [1, 1, 1] + 4 * [np.float32(SYNTHETIC_WEIGHT)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_columns_that_do_not_vary_stay_as_they_are(dtype: str) -> None:
    A = rows_of("normal", 100, 3, dtype, seed=1)
    A[:, 1] = 0.5  # whose mean has no rounding
    assert (augmented(A, 3, np.random.default_rng(0)).rows[:, 1] == 0.5).all()


def test_without_noise_rows_lie_up_to_half_way_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maddjit.learning.maddness.settings.SYNTHETIC_NOISE", 0.0)
    A = np.array([[0.0, 0.0], [1.0, 10.0]])
    made = augmented(A, 200, np.random.default_rng(0)).rows[2:].reshape(200, 2, 2)
    np.testing.assert_allclose(made[..., 1], 10 * made[..., 0], rtol=1e-12)
    assert made[:, 0].min() == 0
    assert 0.45 < made[:, 0, 0].max() <= 0.5
    assert 0.5 <= made[:, 1, 0].min() < 0.55


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_noise_is_that_of_the_columns_deviations(offset: float, dtype: str) -> None:
    """A step to another row has variance 2σ²·(½)²/3, noise has 0.09σ²: 0.507σ in all.

    20000 rows estimate that to about 1 %; float32 steps by 1/16 at 10⁶, a tenth of the least noise.
    """
    rng = np.random.default_rng(2)
    sizes = np.array([1.0, 10.0, 100.0])
    A = (offset + sizes * rng.standard_normal((20000, 3))).astype(dtype)
    made = augmented(A, 1, rng).rows[20000:]
    moved = (made.astype(np.float64) - A).std(axis=0)
    np.testing.assert_allclose(moved, 0.507 * sizes, rtol=0.05)


def test_the_seed_decides() -> None:
    A = rows_of("normal", 30, 3, "float32", seed=3)
    first, again, other = (augmented(A, 2, np.random.default_rng(s)).rows for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_some_rows_are_drawn_in_their_order() -> None:
    rows = np.arange(1000)[:, np.newaxis]
    few = some_of(rows, 100)[:, 0]
    assert len(few) == 100
    assert (np.diff(few) > 0).all()
    assert len(set(few % 2)) == 2
    assert some_of(rows, 1000) is rows


def test_rows_may_repeat_at_even_steps() -> None:
    rng = np.random.default_rng(0)
    A = rng.standard_normal((2 * QUANTILE_ROWS, 3)) @ rng.standard_normal((3, 8))
    A[::2] = 0
    model = maddjit.fit(A, rng.standard_normal((8, 2)), 4, 4, validation=0)
    assert model.report is not None
    assert model.report.nmse < 0.5
