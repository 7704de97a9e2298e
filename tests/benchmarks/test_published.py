"""The learner of the authors' published code: its figures, and what it does where ours differs."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import maddjit
from benchmarks.rivals import published
from maddjit import reference

CODEBOOKS = (2, 4, 8, 16, 32)
# NMSE of github.com/dblalock/bolt at e7726a4, run on digits with noise: its MithralMatmul of
# experiments/python/vq_amm.py.
AUTHORS = (0.3495, 0.1953, 0.1168, 0.0522, 0.0352)


@cache
def digits(noise: bool) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[Any]]:
    """Return training rows, test rows and B, which is learned without noise."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    train, test = order[:1200], order[1200:]
    X = X.astype(np.float32)
    B = LogisticRegression(max_iter=2000).fit(X[train], y[train]).coef_.T
    rows = [X[train], X[test]]
    if noise:
        rng = np.random.default_rng(1)
        rows = [(some + rng.uniform(-0.5, 0.5, some.shape)).astype(np.float32) for some in rows]
    return rows[0], rows[1], B


def nmse(model: maddjit.MaddnessModel, A: NDArray[Any], B: NDArray[Any]) -> float:
    exact = A.astype(np.float64) @ B
    return float(np.mean((reference.apply(model, A) - exact) ** 2) / exact.var())


@pytest.mark.parametrize(
    ("n_codebooks", "figure"), list(zip(CODEBOOKS, AUTHORS, strict=True)), ids=CODEBOOKS
)
def test_the_authors_figures_without_ties(n_codebooks: int, figure: float) -> None:
    train, test, B = digits(noise=True)
    model = published.learn(train, B, n_codebooks)
    assert nmse(model, test, B) == pytest.approx(figure, rel=0.05)


@pytest.mark.parametrize("n_codebooks", CODEBOOKS[1:])
def test_ties_never_help(n_codebooks: int) -> None:
    """On plain digits the figures depend on how the CPU sorts equal values, so none is asserted.

    Two codebooks are left out: there both learners are equally bad, and chance decides.
    """
    train, test, B = digits(noise=False)
    model = published.learn(train, B, n_codebooks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", maddjit.AccuracyWarning)
        ours = maddjit.fit(train, B, n_codebooks, method="paper", validation=0)
    assert nmse(model, test, B) >= nmse(ours, test, B)


def test_codes_are_those_of_the_stored_thresholds() -> None:
    """Mixed codes: the operator hashes as the regression saw it, not as the tree grew."""
    train, _, B = digits(noise=False)
    codes = reference.encode(published.learn(train, B, 4), train)
    moved = 0
    for c, block in enumerate(np.array_split(np.arange(train.shape[1]), 4)):
        tree = published.grow(train, block)
        np.testing.assert_array_equal(codes[:, c], tree.codes)
        moved += np.count_nonzero(tree.codes != tree.grown)
    assert moved > 0


def test_thresholds_are_one_above_a_byte() -> None:
    """By hand: offset −1.5, span 7.5, so 32 steps a unit; 1.26 is step 88.3, 88 / 32 − 1.5."""
    x = np.array([-4, 0, 8], np.float32)
    cuts = np.array([1, 1.26, 4], np.float32)
    applied = published._eight_bit(cuts, x)
    np.testing.assert_array_equal(
        applied, np.nextafter(np.array([1, 1.25, 4], np.float32), np.float32(9))
    )


def test_a_row_at_a_cut_changes_sides_and_finds_an_empty_leaf() -> None:
    """One column of two values: the first cut is between them, the others at a value itself.

    While growing, rows of a constant bucket all go right, to the last leaf of their half. By the
    stored thresholds they go left at the second level, to a bucket that was empty; its threshold
    of 0 sends them right from then on. Their leaf was empty too, so it stands for zeros.
    """
    rows = np.repeat(np.array([[1], [3]], np.float32), 8, axis=0)
    tree = published.grow(rows, np.arange(1))
    np.testing.assert_array_equal(tree.grown, np.repeat([0b0111, 0b1111], 8))
    np.testing.assert_array_equal(tree.codes, np.repeat([0b0011, 0b1011], 8))
    assert not set(tree.codes) & set(tree.grown)


def test_what_stops_the_authors_code_is_learned_all_the_same() -> None:
    rows = np.full((20, 6), 3, np.float32)
    for B in (np.ones((6, 2)), np.zeros((6, 2))):
        for n_codebooks in (1, 3, 6):
            model = published.learn(rows, B, n_codebooks)
            assert np.isfinite(reference.apply(model, rows)).all()
