"""Workspaces: regions that do not overlap, each from a cache line on."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maddjit.compiler.workspace import (
    LINE,
    Workspace,
    aligned_zeros,
    lines,
    odd_lines,
)

SIZES = st.lists(st.integers(0, 1000), max_size=8)


@given(SIZES)
def test_regions_are_aligned_in_order_and_apart(sizes: list[int]) -> None:
    workspace = Workspace()
    for i, size in enumerate(sizes):
        workspace = workspace.add(**{f"region{i}": size})
    assert [region.size for region in workspace.regions] == sizes
    assert all(region.offset % LINE == 0 for region in workspace.regions)
    for first, second in itertools.pairwise(workspace.regions):
        assert first.offset + first.size <= second.offset
    assert workspace.end == sum(map(lines, sizes))
    assert workspace.n_bytes == workspace.end - (lines(sizes[-1]) - sizes[-1] if sizes else 0)


@given(SIZES)
def test_regions_may_be_added_together_or_in_turn(sizes: list[int]) -> None:
    named = {f"region{i}": size for i, size in enumerate(sizes)}
    in_turn = Workspace()
    for name, size in named.items():
        in_turn = in_turn.add(**{name: size})
    assert Workspace().add(**named) == in_turn


def test_a_workspace_is_asked_by_name() -> None:
    workspace = Workspace().add(codes=65, best=1)
    assert (workspace["codes"], workspace["best"]) == (0, 128)
    assert "codes" in workspace
    assert "tail" not in workspace
    with pytest.raises(KeyError, match="tail"):
        workspace["tail"]


def test_names_are_unique_and_sizes_are_not_negative() -> None:
    with pytest.raises(ValueError, match="already has a region 'codes'"):
        Workspace().add(codes=1).add(codes=1)
    with pytest.raises(ValueError, match="cannot have -1 bytes"):
        Workspace().add(codes=-1)


@given(st.integers(0, 10**6))
def test_lines_are_the_fewest_that_hold_a_size(size: int) -> None:
    assert lines(size) % LINE == 0
    assert 0 <= lines(size) - size < LINE


@given(st.integers(0, 10**6))
def test_odd_lines_are_the_fewest_that_are_longer_than_a_size(size: int) -> None:
    assert odd_lines(size) % (2 * LINE) == LINE
    assert 0 < odd_lines(size) - size <= 2 * LINE


@pytest.mark.parametrize("dtype", ["<f4", np.uint16, np.uint8])
def test_aligned_zeros_begin_at_a_line(dtype: str) -> None:
    for size in (0, 1, 1000):
        array = aligned_zeros(size, dtype)
        assert array.__array_interface__["data"][0] % LINE == 0 or not size
        assert (array.shape, array.dtype) == ((size,), np.dtype(dtype))
        assert not array.any()
