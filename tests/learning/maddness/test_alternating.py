"""Trees refitted to what the others leave, against every split there is."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from maddjit.learning.maddness.alternating import alternate, refit
from maddjit.learning.maddness.bins import Bins, BinTree, all_codes
from maddjit.learning.maddness.growing import grow_on_bins
from maddjit.learning.maddness.regression import TreeRidge
from maddjit.learning.maddness.settings import LEAST_LEVEL_GAIN, N_BINS
from maddjit.learning.maddness.thresholds import find_edges
from tests.learning.maddness.test_bins import random_tree
from tests.learning.maddness.test_paper_trees import KINDS, rows_of


def squared_error(
    codes: NDArray[Any], goals: NDArray[Any], table: NDArray[Any], weights: NDArray[Any]
) -> float:
    off = goals.astype(np.float64) - table[codes]
    return float(weights.astype(np.float64) @ (off**2).sum(axis=1))


@settings(max_examples=100)
@given(
    kind=st.sampled_from(KINDS),
    n_rows=st.integers(1, 80),
    depth=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_error_never_grows(kind: str, n_rows: int, depth: int, seed: int) -> None:
    """With small whole numbers, weighted by halves, every sum is exact: nothing is tolerated."""
    rng = np.random.default_rng(seed)
    A = rows_of(kind, n_rows, 4, "float32", seed)
    bins = Bins(A, find_edges(A))
    tree = random_tree(4, depth, rng)
    goals = rng.integers(-9, 10, (n_rows, 3)).astype(np.float32)
    table = rng.integers(-9, 10, (2**depth, 3)).astype(np.float32)
    weights = rng.choice([0.5, 1, 2], n_rows).astype(np.float32)
    better = refit(tree, bins, np.array([0, 2, 3]), goals, table, weights)
    before, after = (
        squared_error(each.codes(bins), goals, table, weights) for each in (tree, better)
    )
    assert after <= before
    assert all(
        new == old or new in (0, 2, 3)
        for new, old in zip(better.split_dims, tree.split_dims, strict=True)
    )


def test_the_error_grows_by_rounding_at_most() -> None:
    """Costs w(‖t‖² − 2 g·t) of Q terms are off by (Q + 3)·u·w(‖t‖² + 2‖g‖‖t‖), u = 2⁻²⁴.

    A level takes the lower of two sums of such costs, and 4 levels follow one another.
    """
    rng = np.random.default_rng(3)
    A = rows_of("relu", 2000, 6, "float32", seed=3)
    bins = Bins(A, find_edges(A))
    goals = (A @ rng.standard_normal((6, 10))).astype(np.float32)
    table = (3 * rng.standard_normal((16, 10))).astype(np.float32)
    weights = np.where(rng.random(2000) < 0.5, 0.05, 1).astype(np.float32)
    tree = random_tree(6, 4, rng)
    better = refit(tree, bins, np.arange(6), goals, table, weights)
    longest, sizes = np.linalg.norm(table, axis=1).max(), np.linalg.norm(goals, axis=1)
    off = 13 * 2.0**-24 * float(weights @ (longest**2 + 2 * sizes * longest))
    before, after = (
        squared_error(each.codes(bins), goals, table, weights) for each in (tree, better)
    )
    assert after <= before + 2 * 4 * off
    assert after < 0.9 * before  # a random tree is bad enough


@pytest.mark.parametrize("kind", KINDS)
def test_one_level_against_every_split(kind: str) -> None:
    """Another column must save a share of the cost, against all rows going left, to be taken."""
    rng = np.random.default_rng(4)
    A = rows_of(kind, 60, 3, "float32", seed=4)
    bins = Bins(A, find_edges(A))
    goals = rng.integers(-9, 10, (60, 2)).astype(np.float32)
    table = rng.integers(-9, 10, (2, 2)).astype(np.float32)
    weights = rng.choice([0.5, 1], 60).astype(np.float32)
    start = BinTree(np.array([0]), np.array([N_BINS // 2]))
    better = refit(start, bins, np.arange(3), goals, table, weights)
    found = squared_error(better.codes(bins), goals, table, weights)
    least = min(
        squared_error((bins[column] >= cut).astype(int), goals, table, weights)
        for column, cut in product(range(3), range(N_BINS + 1))
    )
    all_left = squared_error(np.zeros(60, int), goals, table, weights)
    assert least <= found <= least + 3 * LEAST_LEVEL_GAIN * (all_left - least)


def test_the_splits_that_made_the_goals_are_found_again() -> None:
    """With the right table, level by level from the leaves up, from a wrong top."""
    rng = np.random.default_rng(5)
    A = rng.standard_normal((3000, 4)).astype(np.float32)
    bins = Bins(A, find_edges(A))
    right = BinTree(np.array([2, 1]), np.array([30, 20, 40]))
    table = np.array([[0], [10], [100], [110]], np.float32)
    goals = table[right.codes(bins)]
    wrong = BinTree(np.array([2, 1]), np.array([35, 32, 32]))
    for _ in range(5):
        wrong = refit(wrong, bins, np.arange(4), goals, table, np.ones(3000, np.float32))
    np.testing.assert_array_equal(wrong.codes(bins), right.codes(bins))


def forest(
    kind: str, n_rows: int, seed: int
) -> tuple[Bins, list[NDArray[np.intp]], NDArray[np.float32], list[BinTree]]:
    """Return bins, blocks, targets and trees grown on what their blocks add."""
    A = rows_of(kind, n_rows, 12, "float64", seed)
    A -= A.mean(axis=0)
    B = np.random.default_rng(seed).standard_normal((12, 5))
    bins, blocks = Bins(A, find_edges(A)), np.array_split(np.arange(12), 3)
    parts = [(A[:, block] @ B[block]).astype(np.float32) for block in blocks]
    trees = [
        grow_on_bins(bins, block, part, 3, 1) for block, part in zip(blocks, parts, strict=True)
    ]
    return bins, blocks, (A @ B).astype(np.float32), trees


@pytest.mark.parametrize("kind", ["normal", "relu", "ties", "duplicated", "constant"])
@pytest.mark.parametrize("n_rows", [30, 600])
def test_a_pass_and_a_regression_do_no_worse_on_the_rows_they_see(kind: str, n_rows: int) -> None:
    """The regression (nearly) without penalty leaves at most what the tables of the pass leave.

    Tree c is fitted to r, what the others leave: ‖r‖ ≤ ‖target‖ + 2·t, t the longest entry.
    1. Its splits cost no more than before but for rounding: see the test above, with 3 levels.
    2. A leaf of weight W and sum S then gets S/(W + 1). That costs (‖S‖²/W)/(W + 1)² more than the
       best entry, and W is at least a row's weight, w = 1024: a share of 1/w² of Σ w‖r‖².
    3. The penalty λ = 1e-3 costs the regression λ·t'Pt for the pass's tables. The least eigenvalue
       of `shared_depths` is at least 1, for the last depth adds I; so ‖P‖ ≤ 1, and no entry of the
       24 is longer than the longest r.
    """
    bins, blocks, targets, trees = forest(kind, n_rows, seed=6)
    weights = np.full(n_rows, 1024, np.float32)

    def regressed(trees: list[BinTree]) -> tuple[NDArray[np.float64], float]:
        codes = all_codes(trees, bins)
        tables = TreeRidge.of(codes, 8, weights).tables(targets, 1e-3)
        left = targets - sum(table[codes[:, c]] for c, table in enumerate(tables))
        return tables, float(1024 * (left**2).sum())

    tables, before = regressed(trees)
    better = alternate(trees, bins, blocks, targets, tables.astype(np.float32), weights)
    _, after = regressed(better)
    t = np.linalg.norm(tables, axis=2).max()
    r = np.linalg.norm(targets, axis=1) + 2 * t
    rounding = 3 * 2 * 3 * 8 * 2.0**-24 * 1024 * (t**2 + 2 * r * t).sum()
    shrunk = 3 * 1024 * (r**2).sum() / 1024**2
    slack = float(rounding + shrunk + 1e-3 * 24 * r.max() ** 2)
    assert slack < 0.05 * before
    assert after <= before + slack
