"""Bins, and trees that cut between them, against thresholds and against every split there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from maddjit import reference
from maddjit.learning.bins import N_BINS, BinTree, binned, find_edges, grow_on_bins, sum_by
from maddjit.models import MaddnessModel
from tests.learning.test_trees import KINDS, rows_of

DOUBLE = 2.0**-53


def random_tree(bins: NDArray[np.uint8], depth: int, rng: np.random.Generator) -> BinTree:
    """Return a tree with cuts of all kinds, 0 and `N_BINS` among them."""
    cuts = rng.integers(0, N_BINS + 1, 2**depth - 1)
    cuts[rng.random(len(cuts)) < 0.2] = 0
    cuts[rng.random(len(cuts)) < 0.2] = N_BINS
    return BinTree(rng.integers(0, len(bins), depth), cuts)


def encoded(tree: BinTree, A: NDArray[Any], rows_of_edges: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the codes that an operator with the tree's thresholds gives."""
    split_dims, thresholds = tree.with_thresholds(find_edges(rows_of_edges))
    model = MaddnessModel(
        split_dims=split_dims[np.newaxis].astype(np.int32),
        thresholds=thresholds[np.newaxis],
        tables=np.zeros((1, len(thresholds) + 1, 1), np.uint8),
        scale=np.ones(1, np.float32),
        offset=np.zeros(1, np.float32),
        n_features=A.shape[1],
    )
    codes: NDArray[np.uint8] = reference.encode(model, A)[:, 0]
    return codes


# Edges


@settings(max_examples=100)
@given(
    kind=st.sampled_from(KINDS),
    dtype=st.sampled_from(["float32", "float64"]),
    n_rows=st.integers(1, 200),
    seed=st.integers(0, 2**32 - 1),
)
def test_each_edge_parts_two_values(kind: str, dtype: str, n_rows: int, seed: int) -> None:
    A = rows_of(kind, n_rows, 3, dtype, seed)
    edges = find_edges(A)
    assert len(edges) == 3
    for column, edge in zip(A.T, edges, strict=True):
        assert edge.dtype == np.float32
        assert len(edge) < N_BINS
        assert (np.diff(edge) > 0).all()
        right = np.sum(column >= edge[:, np.newaxis], axis=1)
        assert ((right > 0) & (right < n_rows)).all()
        assert len(np.unique(right)) == len(edge)  # no two part the rows alike
    bins = binned(A, edges)
    assert bins.dtype == np.uint8
    for column, edge, bin_of in zip(A.T, edges, bins, strict=True):
        for number, v in enumerate(edge, start=1):
            np.testing.assert_array_equal(bin_of >= number, column >= v)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_up_to_64_values_are_all_parted(dtype: str) -> None:
    """Whatever their shares, as long as a value fills a bin's share of the rows."""
    values = np.linspace(-3, 3, 64).astype(dtype)
    A = np.repeat(np.random.default_rng(0).permutation(values), 7)[:, np.newaxis]
    np.testing.assert_array_equal(np.unique(binned(A, find_edges(A))), np.arange(64))


@pytest.mark.parametrize("rare", [-5.0, 5.0])
@pytest.mark.parametrize("often", [0.0, 2.0])
def test_a_rare_value_is_parted_from_a_frequent_one(rare: float, often: float) -> None:
    """As in sparse features: no quantile of a column need lie at its rare value."""
    A = np.full((1000, 1), often)
    A[::200] = rare
    edges = find_edges(A)
    assert edges[0].tolist() == [(rare + often) / 2]


def test_rare_values_on_both_sides_of_a_frequent_one() -> None:
    A = np.zeros((1000, 1), np.float32)
    A[:5], A[5:10] = -1, 1
    assert find_edges(A)[0].tolist() == [-0.5, 0.5]


@settings(max_examples=100)
@given(
    shares=st.lists(st.integers(1, 400), min_size=1, max_size=90),
    seed=st.integers(0, 2**32 - 1),
)
def test_there_are_never_more_bins_than_a_cut_can_name(shares: list[int], seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal(len(shares)).astype(np.float32)
    A = np.repeat(values, shares)[:, np.newaxis]
    edges = find_edges(A)
    assert len(edges[0]) < N_BINS
    assert binned(A, edges).max() == len(edges[0])


@pytest.mark.parametrize("value", [0.0, -0.0, 3.7, 1e6, -3.4e38])
def test_a_constant_column_has_no_edges(value: float) -> None:
    A = np.full((100, 1), value, np.float32)
    assert len(find_edges(A)[0]) == 0
    assert (binned(A, find_edges(A)) == 0).all()


def test_zeros_of_either_sign_are_equal() -> None:
    A = np.array([[-0.0], [0.0], [-1.0], [1.0]], np.float32)
    edges = find_edges(A)
    np.testing.assert_array_equal(binned(A, edges)[0], [1, 1, 0, 2])


def test_values_that_no_float32_parts_share_a_bin() -> None:
    A = 1e6 + np.array([[0.0], [1e-9], [2e-9], [0.5]])
    np.testing.assert_array_equal(binned(A, find_edges(A))[0], [0, 0, 0, 1])


def test_neighbouring_float32_values_at_a_huge_offset_are_parted() -> None:
    low = np.float32(1e6)
    A = np.array([[low], [np.nextafter(low, np.float32(2e6))]])
    np.testing.assert_array_equal(binned(A, find_edges(A))[0], [0, 1])


# Trees


@settings(max_examples=100)
@given(
    kind=st.sampled_from(KINDS),
    dtype=st.sampled_from(["float32", "float64"]),
    n_rows=st.integers(1, 100),
    depth=st.integers(1, 8),
    seed=st.integers(0, 2**32 - 1),
)
def test_thresholds_give_the_codes_of_the_cuts(
    kind: str, dtype: str, n_rows: int, depth: int, seed: int
) -> None:
    """Also for rows that no edge was taken from."""
    A, others = (rows_of(kind, n, 4, dtype, seed + n) for n in (n_rows, 50))
    edges = find_edges(A)
    tree = random_tree(binned(A, edges), depth, np.random.default_rng(seed))
    for rows in (A, others):
        np.testing.assert_array_equal(tree.codes(binned(rows, edges)), encoded(tree, rows, A))


def test_cuts_that_send_all_rows_to_one_side_become_infinite() -> None:
    A = np.array([[0.0, 5.0], [1.0, 5.0]])
    tree = BinTree(np.array([0, 1]), np.array([0, N_BINS, 1]))
    _, thresholds = tree.with_thresholds(find_edges(A))
    assert thresholds.tolist() == [-np.inf, np.inf, np.inf]  # column 1 has no edge
    tree = BinTree(np.array([0, 0]), np.array([1, 2, 63]))
    assert tree.with_thresholds(find_edges(A))[1].tolist() == [0.5, np.inf, np.inf]


def test_sum_by() -> None:
    keys = np.array([3, 0, 3, 5], np.int32)
    found = sum_by(keys, 7, np.array([[1.0], [2.0], [4.0], [8.0]], np.float32))
    assert found.ravel().tolist() == [2, 0, 0, 5, 0, 8, 0]


def error(goals: NDArray[Any], codes: NDArray[Any]) -> float:
    exact = goals.astype(np.float64)
    buckets = [exact[codes == code] for code in np.unique(codes)]
    return float(sum(((bucket - bucket.mean(axis=0)) ** 2).sum() for bucket in buckets))


def least_error(
    bins: NDArray[np.uint8], goals: NDArray[Any], node: NDArray[np.intp], least: int
) -> float:
    """Return the error that the best column leaves when each node is cut where that is best."""
    errors = []
    for column in bins:
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
    bins = binned(A, find_edges(A))
    tree = grow_on_bins(bins, np.arange(n_columns), goals, depth, least)
    node, before = np.zeros(n_rows, np.int32), error(goals, np.zeros(n_rows))
    for level in range(depth):
        below = tree.descend(bins, node, level, level + 1)
        now = error(goals, below)
        assert now <= before + slack
        assert abs(now - least_error(bins, goals, node, least)) <= slack
        for parent in np.unique(node):
            sides = np.bincount(below[node == parent] - 2 * parent, minlength=2)
            assert sides[1] == 0 or sides.min() >= least  # unsplit nodes go left
        node, before = below, now
    np.testing.assert_array_equal(tree.codes(bins), node)


def test_only_columns_of_the_block_are_split() -> None:
    A = rows_of("normal", 100, 6, "float32", seed=0)
    bins, block = binned(A, find_edges(A)), np.array([1, 4])
    goals = A[:, [0]]  # column 0 would be best
    assert set(grow_on_bins(bins, block, goals, 4, 1).split_dims) <= {1, 4}


def test_a_node_that_no_cut_improves_is_not_split() -> None:
    A = rows_of("normal", 60, 2, "float32", seed=1)
    bins = binned(A, find_edges(A))
    tree = grow_on_bins(bins, np.arange(2), np.ones((60, 1), np.float32), 3, 1)
    assert (tree.cuts == N_BINS).all()
    assert (tree.codes(bins) == 0).all()
