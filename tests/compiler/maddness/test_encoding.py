"""Trees for vectors of rows: thresholds as bytes, the order of nodes, packs and transposition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from maddjit import reference
from maddjit.compiler.maddness.encoding import byte_thresholds, plan_trees, tree_thresholds
from maddjit.compiler.maddness.transposing import plan_transpose
from maddjit.compiler.maddness.tree_levels import node_order
from maddjit.compiler.target import LEVELS, named
from maddjit.models.encoders import HashTrees
from maddjit.models.maddness import MaddnessModel
from tests.random_models import byte_model, random_model, with_trees


def all_bytes(dtype: str) -> NDArray[Any]:
    return np.arange(256, dtype=np.uint8).view(dtype)[:, np.newaxis]


def shallow(dtype: str) -> MaddnessModel:
    """Return a codebook of one comparison for each threshold that may matter to a byte."""
    least = np.iinfo(dtype).min
    wholes = np.arange(least - 2.0, least + 259)
    tiny = np.float32(1e-45)
    numbers = [*wholes, *(wholes + 0.5), *(wholes - 0.25), np.inf, -np.inf, -0.0, tiny, -tiny]
    thresholds = np.array(numbers, np.float32)[:, np.newaxis]
    n = len(thresholds)
    ones = np.ones(1)
    return MaddnessModel(
        HashTrees(np.zeros((n, 1), int), thresholds, 1), np.ones((n, 2, 1), np.uint8), ones, ones
    )


def descend(
    thresholds: NDArray[np.int8], leaves: NDArray[np.int8] | None, values: NDArray[np.int8]
) -> NDArray[np.uint8]:
    """Return the codes (N, C) that comparisons of bytes lead to; all of a row are equal."""
    n_codebooks, n_nodes = thresholds.shape
    codebooks = np.arange(n_codebooks)
    nodes = np.zeros((len(values), n_codebooks), int)
    for level in range((n_nodes + 1).bit_length() - 1):
        nodes = 2 * nodes + (values > thresholds[codebooks, 2**level - 1 + nodes])
    codes: NDArray[np.uint8] = nodes.astype(np.uint8)
    return codes if leaves is None else leaves.view(np.uint8)[codebooks, nodes]


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_every_threshold_has_a_byte(dtype: str) -> None:
    """All 256 values against whole and broken thresholds, inside and outside, and infinities."""
    model, A = shallow(dtype), all_bytes(dtype)
    values = (A.astype(int) - np.iinfo(dtype).min - 128).astype(np.int8)
    codes = descend(*byte_thresholds(model, dtype), values)
    assert (codes == reference.encode(model, A)).all()


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("n_prototypes", [2, 4, 16, 64, 256])
def test_exchanged_subtrees_keep_their_codes(dtype: str, n_prototypes: int) -> None:
    A = np.repeat(all_bytes(dtype), 9, axis=1)
    values = (A[:, :1].astype(int) - np.iinfo(dtype).min - 128).astype(np.int8)
    for is_right in (False, True):
        model = byte_model(1, dtype, n_prototypes, is_right)
        thresholds, leaves = byte_thresholds(model, dtype)
        assert (leaves is not None) == is_right
        assert (descend(thresholds, leaves, values) == reference.encode(model, A)).all()


def test_nodes_of_negative_number_count_backwards() -> None:
    thresholds = np.arange(1, 8, dtype=np.float32)[np.newaxis]
    assert tree_thresholds(thresholds, False)[0, 1:].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert tree_thresholds(thresholds, True)[0, 1:].tolist() == [1, 2, 3, 4, 7, 6, 5]
    assert tree_thresholds(thresholds, True)[0, :1].view(np.int32) == 1
    assert [node_order(8, True)[-node % 8] for node in range(8)] == list(range(8))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int8", "uint8"])
def test_trees_use_what_a_target_has(level: str, dtype: str) -> None:
    target = named(level)
    model = byte_model(0, "int8", 8, is_right=False)
    trees = plan_trees(with_trees(model, thresholds=np.abs(model.thresholds) + 1), target, dtype)
    assert (trees.comparison.element == "i8") == (dtype in ("int8", "uint8"))
    used = [level.intrinsic for level in trees.look_ups if level.intrinsic]
    used += [name for turn in trees.turns for name in turn.packs or ()]
    assert {*used, *filter(None, [trees.masked_load])} <= set(target.intrinsics)
    for turn in trees.turns:
        assert turn.rows == len(turn.vectors) * trees.comparison.lanes
        assert sorted(turn.order) == list(range(len(turn.order)))
    assert len(trees.spread) == trees.comparison.lanes


def test_deep_trees_of_bytes_are_compared_as_numbers_where_nothing_looks_them_up() -> None:
    model = byte_model(0, "int8", 256, is_right=True)
    for level in LEVELS:
        assert plan_trees(model, named(level), "int8").comparison.element == "float"
    model = byte_model(0, "int8", 16, is_right=True)
    by_level = {name: plan_trees(model, named(name), "int8").comparison for name in LEVELS}
    elements = {name: comparison.element for name, comparison in by_level.items()}
    assert elements.pop("x86-64") == "float"
    assert set(elements.values()) == {"i8"}


@pytest.mark.parametrize("n_codebooks", [1, 2, 3, 5, 8, 15, 16, 17, 33, 64])
def test_a_tile_of_codes_is_transposed(n_codebooks: int) -> None:
    tile = plan_transpose(n_codebooks)
    assert tile.last + tile.codebooks == n_codebooks
    assert tile.codebooks <= 16
    vectors = [[(row, c) for row in range(tile.rows)] for c in range(tile.codebooks)]
    for _ in range(tile.stages):
        after: dict[int, list[tuple[int, int]]] = {}
        for (left, right), places in zip(tile.pairs, tile.places, strict=True):
            both = vectors[left] + vectors[right]
            for place, lanes in zip(places, tile.halves, strict=True):
                after[place] = [both[lane] for lane in lanes]
        vectors = [after[i] for i in range(tile.codebooks)]
    for row, (vector, lanes) in enumerate(tile.stores):
        assert [vectors[vector][lane] for lane in lanes] == [
            (row, c) for c in range(tile.codebooks)
        ]


def test_random_models_have_exchanged_subtrees() -> None:
    model = random_model(0, n_features=9, n_codebooks=20, n_prototypes=16, n_outputs=3)
    assert byte_thresholds(model, "uint8")[1] is not None
