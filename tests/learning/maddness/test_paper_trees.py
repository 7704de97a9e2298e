"""Hash trees against the slow ones: splits, candidates, codes, thresholds and loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from maddjit import reference
from maddjit.learning.maddness.paper_trees import PaperTree, grow
from maddjit.models.encoders import HashTrees
from maddjit.models.maddness import MaddnessModel
from tests.learning.maddness import slow

KINDS = ("normal", "ties", "relu", "duplicated", "constant", "offset", "closer than float32")


def rows_of(kind: str, n_rows: int, n_columns: int, dtype: str, seed: int) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n_rows, n_columns))
    if kind == "ties":
        A = rng.integers(0, 4, A.shape).astype(np.float64)
    elif kind == "relu":
        A = np.maximum(A, 0)
    elif kind == "duplicated":
        A = A[:, rng.integers(0, (n_columns + 1) // 2, n_columns)]
    elif kind == "constant":
        A[:, rng.random(n_columns) < 0.5] = 3.7
    elif kind == "offset":
        A += 1e6
    elif kind == "closer than float32":  # where float32 steps by 1/16: many rows cannot be parted
        A = 1e6 + A / 10
    return A.astype(dtype)


def tolerance(block: NDArray[Any]) -> float:
    """Bound how much the losses of two equally good trees may differ, by floating point alone.

    For n rows of d columns, let R be the largest distance of a row from the mean, O the largest
    value, u = 2⁻⁵³. grow() scores a split of a bucket by ‖S_L‖²/n_L + ‖S_R‖²/n_R.

    1. S is the difference of two running sums over at most n rows: off by δ ≤ 2·n·u·nR.
    2. ‖S_R‖² = ‖S_L‖² − 2 S_L·T + ‖T‖², each norm at most nR: off by at most 8·nR·δ through the
       sums and 4·(d + 2)·u·(nR)² through the dot products.
    3. Divided by n_R ≥ 1, so a score is off by E ≤ (16·n + 4·d + 8)·n²·u·R². In a bucket of b
       rows b takes the place of n in the norms, so the sum over all buckets obeys the same bound.
    4. The largest computed score is at most 2·E below the largest exact one; so is the gain by
       which a column is chosen: 4·E in all, below 64·(n + d)·n²·u·R².
    5. Centring moves a row by u·R, and thus a loss by 2·n·u·R² at most: twice the bound covers it.
    6. The slow losses subtract means that are off by n·u·O: n·d·(n·u·O)².
    """
    n_rows, n_columns = block.shape
    exact, u = block.astype(np.float64), 2.0**-53
    radius_squared = ((exact - exact.mean(axis=0)) ** 2).sum(axis=1).max()
    own = n_rows * n_columns * (n_rows * u * np.abs(exact).max()) ** 2
    return float(128 * (n_rows + n_columns) * n_rows**2 * u * radius_squared + own)


def as_model(tree: PaperTree, n_features: int) -> MaddnessModel:
    return MaddnessModel(
        HashTrees(
            tree.split_dims[np.newaxis].astype(np.int32), tree.thresholds[np.newaxis], n_features
        ),
        tables=np.zeros((1, len(tree.thresholds) + 1, 1), np.uint8),
        scale=np.ones(1, np.float32),
        offset=np.zeros(1, np.float32),
    )


def candidates(
    block: NDArray[Any], codes: NDArray[np.intp], n_candidates: int | None, slack: float
) -> tuple[list[int], list[int]]:
    """Return the columns that must be tried, and those that may be where some are equal."""
    deviations = slow.deviations(block, codes)
    n = len(deviations) if n_candidates is None else min(n_candidates, len(deviations))
    ordered = np.append(np.sort(deviations)[::-1], -np.inf)
    must = np.flatnonzero(deviations > ordered[n] + slack)
    may = np.flatnonzero(deviations >= ordered[n - 1] - slack)
    return must.tolist(), may.tolist()


def assert_best_split(block: NDArray[Any], column: int, threshold: np.float32) -> None:
    """Check one bucket's threshold: legal, as good as the best, the best where that is unique."""
    values, slack = block[:, column], tolerance(block)
    choices = sorted(slow.splits(block, column), key=lambda split: split.loss)
    if not choices:
        assert threshold == np.inf
        return
    right = values >= threshold
    assert right.any()
    assert not right.all()
    found = slow.error(block[~right]) + slow.error(block[right])
    assert found == pytest.approx(choices[0].loss, rel=0, abs=slack)
    if len(choices) == 1 or choices[1].loss - choices[0].loss > slack:
        np.testing.assert_array_equal(right, values >= choices[0].high)


def assert_greedy(
    A: NDArray[Any], columns: NDArray[np.intp], depth: int, n_candidates: int | None
) -> None:
    """Check each level of a tree, given the buckets that the levels above it have made.

    Two columns may split equally well and lead to different trees below, so whole trees are
    compared only in `test_the_whole_tree_where_nothing_is_equal`.
    """
    tree = grow(A, columns, depth, n_candidates)
    assert tree.split_dims.shape == (depth,)
    assert tree.thresholds.shape == (2**depth - 1,)
    assert tree.thresholds.dtype == np.float32
    assert not np.isnan(tree.thresholds).any()
    block, positions = A[:, columns], {int(column): at for at, column in enumerate(columns)}
    slack = tolerance(block)
    codes = np.zeros(len(A), dtype=np.intp)
    for level in range(depth):
        chosen = positions[int(tree.split_dims[level])]
        thresholds = tree.thresholds[2**level - 1 : 2 ** (level + 1) - 1]
        must, may = candidates(block, codes, n_candidates, slack)
        assert chosen in may
        for code, threshold in enumerate(thresholds):
            inside = codes == code
            if inside.any():
                assert_best_split(block[inside], chosen, threshold)
            else:
                assert threshold == np.inf
        children = 2 * codes + (block[:, chosen] >= thresholds[codes])
        losses = [slow.split_level(block, codes, column)[0] for column in must]
        assert slow.loss(block, children) <= min(losses, default=np.inf) + slack
        codes = children
    np.testing.assert_array_equal(tree.codes, codes)
    model = as_model(tree, A.shape[1])
    np.testing.assert_array_equal(tree.codes, reference.encode(model, A)[:, 0])


@settings(max_examples=200)
@given(
    kind=st.sampled_from(KINDS),
    dtype=st.sampled_from(["float32", "float64"]),
    n_rows=st.integers(1, 24),
    n_columns=st.integers(1, 6),
    depth=st.integers(1, 4),
    n_candidates=st.sampled_from([None, 1, 2, 4]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_level_is_the_best_that_a_slow_search_finds(
    kind: str,
    dtype: str,
    n_rows: int,
    n_columns: int,
    depth: int,
    n_candidates: int | None,
    seed: int,
) -> None:
    A = rows_of(kind, n_rows, n_columns + 3, dtype, seed)
    assert_greedy(A, np.arange(2, 2 + n_columns), depth, n_candidates)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_more_rows(kind: str, dtype: str) -> None:
    A = rows_of(kind, 150, 8, dtype, seed=1)
    assert_greedy(A, np.arange(1, 7), depth=3, n_candidates=4)


@pytest.mark.parametrize("n_candidates", [1, 2, 4, None])
@pytest.mark.parametrize("kind", ["normal", "relu", "offset"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_whole_tree_where_nothing_is_equal(
    kind: str, seed: int, n_candidates: int | None
) -> None:
    A = rows_of(kind, 100, 8, "float64", seed)
    columns = np.arange(1, 7)
    tree = grow(A, columns, 3, n_candidates)
    expected = slow.grow(A[:, columns], 3, n_candidates)
    assert tree.split_dims.tolist() == columns[expected.columns].tolist()
    np.testing.assert_array_equal(tree.codes, expected.codes)
    found = slow.loss(A[:, columns], tree.codes)
    assert found == pytest.approx(expected.loss, rel=0, abs=tolerance(A[:, columns]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_loss_never_increases_with_more_levels(kind: str, dtype: str) -> None:
    A = rows_of(kind, 80, 5, dtype, seed=2)
    columns = np.arange(5)
    losses = [slow.loss(A, grow(A, columns, depth).codes) for depth in range(1, 9)]
    assert losses[0] <= slow.error(A) + tolerance(A)
    assert (np.diff(losses) <= tolerance(A)).all()


def test_fewer_levels_are_the_top_of_the_same_tree() -> None:
    A = rows_of("relu", 200, 6, "float32", seed=3)
    low, high = grow(A, np.arange(6), 2), grow(A, np.arange(6), 5)
    np.testing.assert_array_equal(low.split_dims, high.split_dims[:2])
    np.testing.assert_array_equal(low.thresholds, high.thresholds[:3])
    np.testing.assert_array_equal(low.codes, high.codes >> 3)


def test_the_columns_need_not_be_neighbours() -> None:
    A = rows_of("normal", 60, 9, "float64", seed=4)
    columns = np.array([7, 0, 4])
    apart, together = grow(A, columns, 3), grow(A[:, columns], np.arange(3), 3)
    np.testing.assert_array_equal(apart.split_dims, columns[together.split_dims])
    np.testing.assert_array_equal(apart.thresholds, together.thresholds)


def test_rows_beyond_the_range_of_float32_thresholds() -> None:
    A = np.array([[0.0], [0.0], [1e39], [1e39]])  # any float32 above 0 parts them
    assert_greedy(A, np.array([0]), 1, None)


@pytest.mark.parametrize(
    "values",
    [
        [1.0, np.nextafter(np.float32(1), np.float32(2))],
        [0.0, 1e-45],
        [-1e-45, 0.0],
        [1e-45, 3e-45, 4e-45],
        [-3.4e38, 3.4e38],
        [-0.0, 0.0],
    ],
)
def test_neighbouring_float32_values_are_parted(values: list[float]) -> None:
    A = np.array(values, np.float32)[:, np.newaxis]
    tree = grow(A, np.array([0]), 2)
    assert len(np.unique(tree.codes)) == len(np.unique(A))
    np.testing.assert_array_equal(tree.codes, reference.encode(as_model(tree, 1), A)[:, 0])
