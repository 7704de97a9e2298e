"""Trees that cut between bins, against thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from maddjit import reference
from maddjit.learning.maddness.bins import Bins, BinTree
from maddjit.learning.maddness.settings import N_BINS
from maddjit.learning.maddness.thresholds import find_edges
from maddjit.models.encoders import HashTrees
from maddjit.models.maddness import MaddnessModel
from tests.learning.maddness.test_paper_trees import KINDS, rows_of


def random_tree(n_columns: int, depth: int, rng: np.random.Generator) -> BinTree:
    """Return a tree with cuts of all kinds, 0 and `N_BINS` among them."""
    cuts = rng.integers(0, N_BINS + 1, 2**depth - 1)
    cuts[rng.random(len(cuts)) < 0.2] = 0
    cuts[rng.random(len(cuts)) < 0.2] = N_BINS
    return BinTree(rng.integers(0, n_columns, depth), cuts)


def encoded(tree: BinTree, A: NDArray[Any], rows_of_edges: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the codes that an operator with the tree's thresholds gives."""
    split_dims, thresholds = tree.with_thresholds(find_edges(rows_of_edges))
    model = MaddnessModel(
        HashTrees(split_dims[np.newaxis].astype(np.int32), thresholds[np.newaxis], A.shape[1]),
        tables=np.zeros((1, len(thresholds) + 1, 1), np.uint8),
        scale=np.ones(1, np.float32),
        offset=np.zeros(1, np.float32),
    )
    codes: NDArray[np.uint8] = reference.encode(model, A)[:, 0]
    return codes


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
    tree = random_tree(4, depth, np.random.default_rng(seed))
    for rows in (A, others):
        np.testing.assert_array_equal(tree.codes(Bins(rows, edges)), encoded(tree, rows, A))


def test_cuts_that_send_all_rows_to_one_side_become_infinite() -> None:
    A = np.array([[0.0, 5.0], [1.0, 5.0]])
    tree = BinTree(np.array([0, 1]), np.array([0, N_BINS, 1]))
    _, thresholds = tree.with_thresholds(find_edges(A))
    assert thresholds.tolist() == [-np.inf, np.inf, np.inf]  # column 1 has no edge
    tree = BinTree(np.array([0, 0]), np.array([1, 2, 63]))
    assert tree.with_thresholds(find_edges(A))[1].tolist() == [0.5, np.inf, np.inf]
