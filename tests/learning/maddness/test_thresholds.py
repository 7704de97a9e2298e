"""Thresholds of columns: which values they separate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from maddjit.learning.maddness.bins import Bins
from maddjit.learning.maddness.settings import N_BINS
from maddjit.learning.maddness.thresholds import find_edges
from tests.learning.maddness.test_paper_trees import KINDS, rows_of


def binned(A: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the bins of all columns, (D, N)."""
    return Bins(A, find_edges(A)).of(np.arange(A.shape[1]))


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
    bins = binned(A)
    assert bins.dtype == np.uint8
    for column, edge, bin_of in zip(A.T, edges, bins, strict=True):
        for number, v in enumerate(edge, start=1):
            np.testing.assert_array_equal(bin_of >= number, column >= v)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_up_to_64_values_are_all_parted(dtype: str) -> None:
    """Whatever their shares, as long as a value fills a bin's share of the rows."""
    values = np.linspace(-3, 3, 64).astype(dtype)
    A = np.repeat(np.random.default_rng(0).permutation(values), 7)[:, np.newaxis]
    np.testing.assert_array_equal(np.unique(binned(A)), np.arange(64))


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
    assert binned(A).max() == len(edges[0])


@pytest.mark.parametrize("value", [0.0, -0.0, 3.7, 1e6, -3.4e38])
def test_a_constant_column_has_no_edges(value: float) -> None:
    A = np.full((100, 1), value, np.float32)
    assert len(find_edges(A)[0]) == 0
    assert (binned(A) == 0).all()


def test_zeros_of_either_sign_are_equal() -> None:
    A = np.array([[-0.0], [0.0], [-1.0], [1.0]], np.float32)
    np.testing.assert_array_equal(binned(A)[0], [1, 1, 0, 2])


def test_values_that_no_float32_parts_share_a_bin() -> None:
    A = 1e6 + np.array([[0.0], [1e-9], [2e-9], [0.5]])
    np.testing.assert_array_equal(binned(A)[0], [0, 0, 0, 1])


def test_neighbouring_float32_values_at_a_huge_offset_are_parted() -> None:
    low = np.float32(1e6)
    A = np.array([[low], [np.nextafter(low, np.float32(2e6))]])
    np.testing.assert_array_equal(binned(A)[0], [0, 1])
