"""Blocks of columns: contiguous, clustered, shuffled."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from maddjit.learning.maddness.blocks import Blocks, _swap, clusters, contiguous, shuffled


def assert_partition(blocks: Blocks, columns: NDArray[np.intp], n_blocks: int) -> None:
    sizes = [len(part) for part in np.array_split(columns, n_blocks)]
    assert [len(block) for block in blocks] == sizes
    assert sorted(np.concatenate(blocks)) == sorted(columns)


def likeness(A: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.abs(np.corrcoef(A.T))
    np.fill_diagonal(found, 0)
    return found


def within(like: NDArray[np.float64], owner: NDArray[np.intp]) -> float:
    """The likeness of all pairs of columns that share a block."""
    return float(
        sum(like[i, j] for i, j in combinations(range(len(owner)), 2) if owner[i] == owner[j])
    )


@settings(max_examples=60)
@given(
    n_columns=st.integers(1, 20),
    share=st.floats(0, 1),
    n_rows=st.sampled_from([1, 2, 30]),
    n_constant=st.integers(0, 20),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_column_is_in_one_block(
    n_columns: int, share: float, n_rows: int, n_constant: int, seed: int
) -> None:
    """From one block to as many as there are columns, whether they vary or not."""
    rng = np.random.default_rng(seed)
    n_blocks = max(1, round(share * n_columns))
    A = rng.standard_normal((n_rows, n_columns + 3)).astype(np.float32)
    A[:, :n_constant] = 3.7
    columns = np.sort(rng.choice(n_columns + 3, n_columns, replace=False))
    for blocks in (
        contiguous(columns, n_blocks),
        shuffled(columns, n_blocks, rng),
        clusters(A, columns, n_blocks),
    ):
        assert_partition(blocks, columns, n_blocks)
        for block in blocks:
            assert (np.diff(block) > 0).all()


def test_contiguous_blocks_keep_the_order() -> None:
    blocks = contiguous(np.array([1, 4, 5, 9, 10]), 2)
    assert [block.tolist() for block in blocks] == [[1, 4, 5], [9, 10]]


def test_shuffling_follows_the_seed() -> None:
    columns = np.arange(40)
    first, again, other = (shuffled(columns, 4, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_copies_share_a_block(sign: int, offset: float, dtype: str) -> None:
    """Copies of two columns, dealt out in turns, of either sign and far from zero."""
    A = 100 * np.random.default_rng(0).standard_normal((300, 2))
    A = (np.tile(A, 4) * np.where(np.arange(8) < 4, 1, sign) + offset).astype(dtype)
    found = sorted(block.tolist() for block in clusters(A, np.arange(8), 2))
    assert found == [[0, 2, 4, 6], [1, 3, 5, 7]]


@pytest.mark.parametrize("seed", range(5))
def test_swaps_end_where_no_pair_of_columns_gains_by_changing_places(seed: int) -> None:
    """The gain in likeness of any other swap is at most 1e-9, which is what stops the search.

    Each likeness is at most 1 and off by its rounding; sums of 12 of them are off by 1e-14.
    """
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((50, 12)) + rng.standard_normal((50, 3)) @ rng.standard_normal((3, 12))
    like = likeness(A)
    start = rng.permutation(np.repeat(np.arange(3), 4))
    owner = start.copy()
    _swap(like, owner, 3)
    assert np.bincount(owner).tolist() == [4, 4, 4]
    before, now = within(like, start), within(like, owner)
    assert now >= before
    for i, j in combinations(range(12), 2):
        swapped = owner.copy()
        swapped[[i, j]] = owner[[j, i]]
        assert within(like, swapped) <= now + 1e-9 + 1e-13


def test_no_sweep_lowers_the_likeness(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(9)
    like = likeness(rng.standard_normal((40, 4)) @ rng.standard_normal((4, 16)))
    start = rng.permutation(np.repeat(np.arange(4), 4))
    found = []
    for n_sweeps in range(5):
        monkeypatch.setattr("maddjit.learning.maddness.settings.MAX_SWEEPS", n_sweeps)
        owner = start.copy()
        _swap(like, owner, 4)
        found.append(within(like, owner))
    assert found[0] == within(like, start)
    assert (np.diff(found) >= -2e-12).all()  # sums of 24 up to 1 are off by 24²·2⁻⁵³
    assert found[-1] > found[0]
