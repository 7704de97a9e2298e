"""The paper's learner: bucket means, ridge regression and real tables against the slow ones."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from maddjit.learning.maddness.options import Options, Prototypes
from maddjit.learning.maddness.paper import bucket_means, real_tables, ridge
from maddjit.learning.maddness.paper_trees import PaperTree, grow
from tests.learning.maddness import slow
from tests.learning.maddness.test_regression import ROUNDING, ridge_slack


def tree_with(codes: NDArray[np.intp], depth: int) -> PaperTree:
    """Return a tree of which only the codes matter."""
    split_dims, thresholds = np.zeros(depth, np.intp), np.zeros(2**depth - 1, np.float32)
    return PaperTree(split_dims, thresholds, codes)


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
    tables, base = real_tables(A, B, blocks, trees, options)
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
