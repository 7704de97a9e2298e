"""Trees grown on bins, against every split there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from maddjit.learning.maddness import growing
from maddjit.learning.maddness.bins import Bins
from maddjit.learning.maddness.growing import grow_on_bins, sum_by
from maddjit.learning.maddness.settings import N_BINS
from maddjit.learning.maddness.thresholds import find_edges
from tests.learning.maddness.test_paper_trees import KINDS, rows_of

DOUBLE = 2.0**-53


def test_sum_by() -> None:
    keys = np.array([3, 0, 3, 5], np.int32)
    found = sum_by(keys, 7, np.array([[1.0], [2.0], [4.0], [8.0]], np.float32))
    assert found.ravel().tolist() == [2, 0, 0, 5, 0, 8, 0]


def error(goals: NDArray[Any], codes: NDArray[Any]) -> float:
    exact = goals.astype(np.float64)
    buckets = [exact[codes == code] for code in np.unique(codes)]
    return float(sum(((bucket - bucket.mean(axis=0)) ** 2).sum() for bucket in buckets))


def least_error(
    bins: Bins, n_columns: int, goals: NDArray[Any], node: NDArray[np.intp], least: int
) -> float:
    """Return the error that the best column leaves when each node is cut where that is best."""
    errors = []
    for column in map(bins.__getitem__, range(n_columns)):
        total = 0.0
        for each in np.unique(node):
            inside = node == each
            choices = [error(goals[inside], np.zeros(inside.sum()))]
            for cut in range(1, N_BINS):
                right = column[inside] >= cut
                if min(right.sum(), (~right).sum()) >= least:
                    choices.append(error(goals[inside], right))
            total += min(choices)
        errors.append(total)
    return min(errors)


@settings(max_examples=30)
@given(
    kind=st.sampled_from(KINDS),
    n_rows=st.integers(1, 50),
    n_columns=st.integers(1, 4),
    depth=st.integers(1, 3),
    least=st.sampled_from([1, 5]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_level_is_the_best_that_a_slow_search_finds(
    kind: str, n_rows: int, n_columns: int, depth: int, least: int, seed: int
) -> None:
    """Goals are small whole numbers, so all sums S are exact, also in float32.

    Then only ‖S‖²/n, at most Σ‖g‖², is rounded, once for each side of up to 4 nodes, and as often
    where these are added: 16·u·Σ‖g‖² a level. The slow errors are off by as much a row.
    """
    A = rows_of(kind, n_rows, n_columns, "float64", seed)
    goals = np.random.default_rng(seed).integers(-9, 10, (n_rows, 3)).astype(np.float32)
    slack = float(32 * n_rows * DOUBLE * (goals**2).sum())
    bins = Bins(A, find_edges(A))
    tree = grow_on_bins(bins, np.arange(n_columns), goals, depth, least)
    node, before = np.zeros(n_rows, np.int32), error(goals, np.zeros(n_rows))
    for level in range(depth):
        below = tree.descend(bins, node, level, level + 1)
        now = error(goals, below)
        assert now <= before + slack
        assert abs(now - least_error(bins, n_columns, goals, node, least)) <= slack
        for parent in np.unique(node):
            sides = np.bincount(below[node == parent] - 2 * parent, minlength=2)
            assert sides[1] == 0 or sides.min() >= least  # unsplit nodes go left
        node, before = below, now
    np.testing.assert_array_equal(tree.codes(bins), node)


def test_only_columns_of_the_block_are_split() -> None:
    A = rows_of("normal", 100, 6, "float32", seed=0)
    bins, block = Bins(A, find_edges(A)), np.array([1, 4])
    goals = A[:, [0]]  # column 0 would be best
    assert set(grow_on_bins(bins, block, goals, 4, 1).split_dims) <= {1, 4}


def test_a_node_that_no_cut_improves_is_not_split() -> None:
    A = rows_of("normal", 60, 2, "float32", seed=1)
    bins = Bins(A, find_edges(A))
    tree = grow_on_bins(bins, np.arange(2), np.ones((60, 1), np.float32), 3, 1)
    assert (tree.cuts == N_BINS).all()
    assert (tree.codes(bins) == 0).all()


@pytest.mark.parametrize("kind", ["normal", "binary"])
@pytest.mark.parametrize("n_rows", [300, 5000])
def test_of_many_columns_few_are_tried_on_all_rows(kind: str, n_rows: int) -> None:
    """Those that matter are among them, however few values they take."""
    A = np.random.default_rng(2).standard_normal((n_rows, 100)).astype(np.float32)
    goals = A[:, [70, 30]] * np.float32([2, 1])
    if kind == "binary":
        A[:, [70, 30]] = goals = (goals > 0.5).astype(np.float32)
    bins = Bins(A, find_edges(A))
    tree = grow_on_bins(bins, np.arange(100), goals, 2, 1)
    assert tree.split_dims[0] == 70 or kind == "binary"
    assert set(tree.split_dims[:2]) <= {70, 30}
    assert len(bins._columns) <= 2 * growing.n_tried(100) < 100


def test_batches_of_columns_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goals are whole numbers, so sums do not depend on what is added up together."""
    A = rows_of("ties", 400, 30, "float32", seed=1)
    goals = np.random.default_rng(1).integers(-9, 10, (400, 3)).astype(np.float32)
    bins = Bins(A, find_edges(A))
    together = grow_on_bins(bins, np.arange(30), goals, 4, 1)
    monkeypatch.setattr("maddjit.learning.maddness.settings.BATCH_ENTRIES", 3 * 400)
    apart = grow_on_bins(bins, np.arange(30), goals, 4, 1)
    np.testing.assert_array_equal(together.split_dims, apart.split_dims)
    np.testing.assert_array_equal(together.cuts, apart.cuts)
