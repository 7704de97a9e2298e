"""Bucket means, ridge regression and real tables against the slow ones."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from maddjit.learning.maddness.prototypes import (
    TreeRidge,
    bucket_means,
    one_hot,
    ridge,
    shared_depths,
)
from numpy.typing import NDArray

from maddjit.learning.maddness.options import Options, Prototypes
from maddjit.learning.maddness.paper import _real_tables
from maddjit.learning.maddness.paper_trees import Tree, grow
from tests.learning import slow

ROUNDING = 2.0**-53


def tree_with(codes: NDArray[np.intp], depth: int) -> Tree:
    """Return a tree of which only the codes matter."""
    split_dims, thresholds = np.zeros(depth, np.intp), np.zeros(2**depth - 1, np.float32)
    return Tree(split_dims, thresholds, codes)


def ridge_slack(n_rows: int, n_codebooks: int, n_prototypes: int, penalty: float) -> float:
    """Bound the relative error of a solution of the normal equations.

    The largest eigenvalue of GᵀG is at most its trace N·C, the least of GᵀG + λI is at least λ, so
    the condition number is at most 1 + N·C/λ; a Cholesky solution of size n is off by a small
    multiple of n·u times that (Higham, Accuracy and Stability, theorem 10.4). Least squares by
    orthogonal factors is no worse. The multiple is taken as 10.
    """
    condition = 1 + n_rows * n_codebooks / penalty
    return 10 * n_codebooks * n_prototypes * ROUNDING * condition


@settings(max_examples=100)
@given(
    depth=st.integers(1, 8),
    n_rows=st.integers(1, 40),
    used=st.integers(1, 256),
    center=st.sampled_from([0.0, 1e6]),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_bucket_means(
    depth: int, n_rows: int, used: int, center: float, dtype: str, seed: int
) -> None:
    """With few rows or few leaves in use most leaves are empty and inherit."""
    rng = np.random.default_rng(seed)
    A = (rng.standard_normal((n_rows, 5)) + center).astype(dtype)
    leaves = rng.choice(2**depth, min(used, 2**depth), replace=False)
    codes = rng.choice(leaves, n_rows)
    columns = np.array([3, 0, 4])
    found = bucket_means(A, columns, tree_with(codes, depth), 2**depth)
    # A sum of n terms is off by n·u·Σ|a|, a mean by n·u·max|a|, in both implementations.
    slack = float(4 * n_rows * ROUNDING * np.abs(A).max())
    expected = slow.bucket_means(A[:, columns], codes, depth)
    np.testing.assert_allclose(found, expected, rtol=0, atol=slack)


def test_an_empty_leaf_takes_the_mean_of_its_nearest_ancestor_with_rows() -> None:
    codes = np.array([0, 0, 1, 5])  # leaves 2, 3 and 4, 6, 7 are empty
    A = np.array([[1.0], [3.0], [8.0], [20.0]])
    found = bucket_means(A, np.array([0]), tree_with(codes, 3), 8)
    left_half, right_half = 4.0, 20.0
    assert found[:, 0].tolist() == [2.0, 8.0, left_half, left_half, *4 * [right_half]]


def test_one_row_is_every_leaf_s_mean() -> None:
    A = np.array([[2.5, -1.0]])
    found = bucket_means(A, np.arange(2), tree_with(np.array([11]), 4), 16)
    np.testing.assert_array_equal(found, np.tile(A, (16, 1)))


def test_one_hot() -> None:
    codes = np.random.default_rng(0).integers(0, 8, (30, 4))
    found = one_hot(codes, 8)
    np.testing.assert_array_equal(found.toarray(), slow.one_hot(codes, 8))


@pytest.mark.parametrize("penalty", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize("n_rows", [5, 60])  # fewer and more rows than unknowns
@pytest.mark.parametrize("seed", [0, 1])
def test_ridge_is_least_squares_with_a_penalty(penalty: float, n_rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    G = slow.one_hot(rng.integers(0, 8, (n_rows, 3)), 8)
    targets = rng.standard_normal((n_rows, 6))
    expected = slow.ridge(G, targets, penalty)
    slack = float(ridge_slack(n_rows, 3, 8, penalty) * np.linalg.norm(expected))
    found = ridge(scipy.sparse.csr_array(G), targets, penalty)
    np.testing.assert_allclose(found, expected, rtol=0, atol=slack)


def test_ridge_leaves_unused_codes_at_zero() -> None:
    G = slow.one_hot(np.array([[0, 3], [0, 3], [1, 3]]), 4)
    found = ridge(scipy.sparse.csr_array(G), np.ones((3, 2)), 1.0)
    assert (found[[2, 3, 4, 5, 6]] == 0).all()


@pytest.mark.parametrize("n_outputs", [3, 10, 17], ids=["D > M", "D = M", "D < M"])
@pytest.mark.parametrize("prototypes", ["ridge", "bucket-means"])
@pytest.mark.parametrize(("n_rows", "depth"), [(120, 3), (20, 4), (1, 2)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("penalty", [0.1, 1.0])
def test_real_tables(
    n_outputs: int, prototypes: Prototypes, n_rows: int, depth: int, dtype: str, penalty: float
) -> None:
    rng = np.random.default_rng(n_rows + n_outputs)
    A = (rng.standard_normal((n_rows, 10)) + 1).astype(dtype)
    B = rng.standard_normal((10, n_outputs)).astype(dtype)
    blocks = np.array_split(np.arange(10), 3)
    trees = [grow(A, block, depth) for block in blocks]
    before = A.copy()
    options = Options(
        n_codebooks=len(blocks),
        n_prototypes=2**depth,
        method="paper",
        core_rank=0,
        prototypes=prototypes,
        accumulate="exact",
        table_scale="per-output",
        byte_group="auto",
        n_candidates=4,
        penalty=penalty,
    )
    tables, base = _real_tables(A, B, blocks, trees, options)
    np.testing.assert_array_equal(A, before)

    codes = np.stack([tree.codes for tree in trees], axis=1)
    weight = penalty if prototypes == "ridge" else None
    found = slow.prototypes(A, blocks, codes, depth, weight)
    # The mean row's product is in every row of the slow tables, and apart in the others.
    mean = A.mean(axis=0, dtype=np.float64)
    for codebook, block in enumerate(blocks):
        found[codebook][:, block] -= mean[block]
    # The ridge part is off by the slack times its norm, which is at most √(Σ residual² / 4λ), and
    # the means by n·u; both are multiplied by a column of B.
    size = np.abs(A).max() * np.sqrt(A.size / penalty) * np.linalg.norm(B, axis=0).max()
    slack = (ridge_slack(n_rows, 3, 2**depth, penalty) + 4 * n_rows * ROUNDING) * size
    np.testing.assert_allclose(tables, slow.real_tables(found, B), rtol=0, atol=slack)
    np.testing.assert_allclose(base, mean @ B.astype(np.float64), rtol=1e-12, atol=1e-12)
    assert slack < 1e-6 * np.abs(tables).max() or n_rows == 1


# Regression with leaves drawn to their ancestors


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
