"""Regression of tables on codes, whose leaves are drawn to their ancestors."""

from __future__ import annotations

import numpy as np
import pytest

from maddjit.learning.maddness.regression import TreeRidge, one_hot, shared_depths
from tests.learning.maddness import slow

ROUNDING = 2.0**-53


def ridge_slack(n_rows: int, n_codebooks: int, n_prototypes: int, penalty: float) -> float:
    """Bound the relative error of a solution of the normal equations.

    The largest eigenvalue of GᵀG is at most its trace N·C, the least of GᵀG + λI is at least λ, so
    the condition number is at most 1 + N·C/λ; a Cholesky solution of size n is off by a small
    multiple of n·u times that (Higham, Accuracy and Stability, theorem 10.4). Least squares by
    orthogonal factors is no worse. The multiple is taken as 10.
    """
    condition = 1 + n_rows * n_codebooks / penalty
    return 10 * n_codebooks * n_prototypes * ROUNDING * condition


def test_one_hot() -> None:
    codes = np.random.default_rng(0).integers(0, 8, (30, 4))
    found = one_hot(codes, 8)
    np.testing.assert_array_equal(found.toarray(), slow.one_hot(codes, 8))


@pytest.mark.parametrize("n_prototypes", [2, 4, 8, 64, 256])
def test_shared_depths(n_prototypes: int) -> None:
    """Counted node by node. The last depth adds I to what has no negative eigenvalue: none < 1.

    A computed eigenvalue is off by K·u of the largest, a row's sum, 2K − 1.
    """
    shared = shared_depths(n_prototypes)
    depth = n_prototypes.bit_length() - 1
    for k, m in np.random.default_rng(0).integers(0, n_prototypes, (50, 2)):
        assert shared[k, m] == sum(k >> up == m >> up for up in range(depth + 1))
    assert (shared.sum(axis=1) == 2 * n_prototypes - 1).all()
    assert np.linalg.eigvalsh(shared).min() >= 1 - 4 * n_prototypes**2 * ROUNDING


@pytest.mark.parametrize("n_rows", [5, 300])
@pytest.mark.parametrize("seed", [0, 1])
def test_tree_ridge_without_penalty_is_least_squares(n_rows: int, seed: int) -> None:
    """In its predictions: tables are not unique, since codebooks may exchange constants.

    1. Let t₀ be the shortest least-squares solution, and λt'Pt the penalty, where ‖P‖ ≤ 1, for no
       eigenvalue of `shared_depths` is below 1. Since Gt₀ is a projection, ‖G(t − t₀)‖² is what t
       loses, and that is at most λt₀'Pt₀ ≤ λ‖t₀‖².
    2. The equations' least eigenvalue is at least λ/(2K − 1), so `ridge_slack` of λ/(2K − 1) bounds
       the rounding of t, which moves predictions by ‖G‖ ≤ √(N·C) times that.
    """
    rng = np.random.default_rng(seed)
    codes, targets = rng.integers(0, 8, (n_rows, 3)), rng.standard_normal((n_rows, 4))
    G, penalty = slow.one_hot(codes, 8), 1e-6
    tables = TreeRidge.of(codes, 8, np.ones(n_rows, np.float32)).tables(targets, penalty)
    shortest = np.linalg.lstsq(G, targets, rcond=1e-10)[0]
    rounding = ridge_slack(n_rows, 3, 8, penalty / 15) * np.linalg.norm(tables)
    slack = np.sqrt(penalty) * np.linalg.norm(shortest) + np.sqrt(n_rows * 3) * rounding
    off = np.linalg.norm(G @ tables.reshape(24, 4) - G @ shortest)
    assert off <= slack
    assert slack < 0.01 * np.linalg.norm(G @ shortest)


@pytest.mark.parametrize("penalty", [0.5, 3.0, 30.0])
def test_tree_ridge_solves_its_normal_equations(penalty: float) -> None:
    rng = np.random.default_rng(2)
    codes, targets = rng.integers(0, 8, (60, 3)), rng.standard_normal((60, 4))
    weights = rng.choice([0.05, 1], 60).astype(np.float32)
    tables = TreeRidge.of(codes, 8, weights).tables(targets, penalty)
    G = slow.one_hot(codes, 8)
    precision = np.kron(np.eye(3), np.linalg.inv(shared_depths(8)))
    heavy = weights.astype(np.float64)[:, np.newaxis] * G
    expected = np.linalg.solve(G.T @ heavy + penalty * precision, heavy.T @ targets)
    slack = float(2 * ridge_slack(60, 3, 8, penalty / 15) * np.linalg.norm(expected))
    np.testing.assert_allclose(tables.reshape(24, 4), expected, rtol=0, atol=slack)


def test_weights_count_like_repeated_rows() -> None:
    """All sums are of whole numbers, so not a bit differs."""
    rng = np.random.default_rng(3)
    codes, targets = rng.integers(0, 4, (40, 3)), rng.integers(-9, 10, (40, 2))
    weights = rng.integers(1, 5, 40)
    weighted = TreeRidge.of(codes, 4, weights.astype(np.float32))
    many = TreeRidge.of(
        np.repeat(codes, weights, axis=0), 4, np.ones(weights.sum(), dtype=np.float32)
    )
    np.testing.assert_array_equal(weighted.gram, many.gram)
    np.testing.assert_array_equal(
        weighted.tables(targets, 3.0), many.tables(np.repeat(targets, weights, axis=0), 3.0)
    )


def test_leaves_without_rows_are_drawn_to_those_that_have_some() -> None:
    """By the prior: 2 of 3 depths are shared with the sibling, 1 with each of the other two.

    N + λ/3 of a leaf's own targets are left of it: 10·6/(10 + 1).
    """
    codes = np.zeros((10, 1), np.intp)
    regression = TreeRidge.of(codes, 4, np.ones(10, np.float32))
    tables = regression.tables(np.full((10, 1), 6.0), 3.0)
    own = 60 / 11
    np.testing.assert_allclose(tables.ravel(), [own, own * 2 / 3, own / 3, own / 3], rtol=1e-13)


def test_regression_leaves_its_counts_alone() -> None:
    rng = np.random.default_rng(4)
    regression = TreeRidge.of(rng.integers(0, 4, (30, 2)), 4, np.ones(30, np.float32))
    before, targets = regression.gram.copy(), rng.standard_normal((30, 3))
    first = regression.tables(targets, 1.0)
    np.testing.assert_array_equal(regression.gram, before)
    np.testing.assert_array_equal(regression.tables(targets, 1.0), first)
