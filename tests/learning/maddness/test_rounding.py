"""Tables rounded together: better sums over the training rows, within the same bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from maddjit.learning.maddness.paper_trees import grow
from maddjit.learning.maddness.regression import TreeRidge
from maddjit.learning.maddness.rounding import Rounding
from maddjit.learning.maddness.tables import quantise
from tests.learning.maddness.test_paper_trees import rows_of

Problem = tuple[NDArray[np.intp], TreeRidge, NDArray[np.float64]]


def learned(n_prototypes: int, seed: int) -> Problem:
    """Return codes, their regression, and tables learned for a product of correlated columns."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((1000, 3)) @ rng.standard_normal((3, 16))
    A += 0.3 * rng.standard_normal(A.shape)
    depth = n_prototypes.bit_length() - 1
    trees = [grow(A, block, depth) for block in np.array_split(np.arange(16), 8)]
    codes = np.stack([tree.codes for tree in trees], axis=1)
    regression = TreeRidge.of(codes, n_prototypes, np.ones(1000, np.float32))
    return codes, regression, regression.tables(A @ rng.standard_normal((16, 6)), 3.0)


def random(n_prototypes: int, seed: int) -> Problem:
    """The same with codes and tables drawn at random, some codes never."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, max(2, n_prototypes - 2), (1000, 8))
    codes[:, 1::2] = np.where(rng.random((1000, 4)) < 0.7, codes[:, ::2], codes[:, 1::2])
    regression = TreeRidge.of(codes, n_prototypes, np.ones(1000, np.float32))
    return codes, regression, rng.standard_normal((8, n_prototypes, 6))


def in_steps(tables: NDArray[Any], size: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return tables that start at 0 and have a span of about `size`, and their largest entries."""
    real = tables - tables.min(axis=1, keepdims=True)
    real *= size / real.max(axis=(0, 1))
    return real, np.rint(real.max(axis=1))


def sums(codes: NDArray[np.intp], tables: NDArray[Any]) -> NDArray[np.float64]:
    return np.sum([table[codes[:, c]] for c, table in enumerate(tables)], axis=0, dtype=np.float64)


@pytest.mark.parametrize("problem", [learned, random])
@pytest.mark.parametrize("n_prototypes", [2, 16, 64])
@pytest.mark.parametrize("size", [10, 255])
@pytest.mark.parametrize("seed", [0, 1])
def test_sums_are_better_than_those_of_the_nearest_entries(
    problem: Any, n_prototypes: int, size: float, seed: int
) -> None:
    """From 16 leaves on even if their mean error is taken off, too; with 2 there is little to gain.

    Nothing guarantees that, for entries are rounded one by one and never again: it has to be seen.
    """
    codes, regression, tables = problem(n_prototypes, seed)
    real, largest = in_steps(tables, size)
    entries, left = Rounding.of(regression.gram, n_prototypes).apply(real, largest)
    off = sums(codes, real) - sums(codes, entries)
    nearest = sums(codes, real) - sums(codes, np.rint(real))
    assert ((off - left) ** 2).sum() < (nearest**2).sum()
    if n_prototypes >= 16:
        assert ((off - left) ** 2).sum() < ((nearest - nearest.mean(axis=0)) ** 2).sum()


@pytest.mark.parametrize("problem", [learned, random])
@pytest.mark.parametrize("size", [1, 3, 255])
def test_entries_stay_in_range_and_left_is_the_mean_residue(problem: Any, size: float) -> None:
    """`left` is a mean of 1000 sums of 8 entries up to 255: off by (8 + 1000)·u of their size."""
    codes, regression, tables = problem(16, seed=2)
    tables[3] = 0.25
    tables[5, :, 2] = -1
    real, largest = in_steps(tables, size)
    before = real.copy()
    entries, left = Rounding.of(regression.gram, 16).apply(real, largest)
    np.testing.assert_array_equal(real, before)
    assert entries.dtype == np.uint8
    assert (entries <= largest[:, np.newaxis]).all()
    assert (entries[3] == 0).all()
    mean = (sums(codes, real) - sums(codes, entries)).mean(axis=0)
    np.testing.assert_allclose(left, mean, rtol=0, atol=2 * 1008 * 2.0**-53 * 8 * 256)


@pytest.mark.parametrize("problem", [learned, random])
def test_exact_tables_stay_exact(problem: Any) -> None:
    _, regression, _ = problem(16, seed=3)
    real = np.random.default_rng(3).integers(0, 256, (8, 16, 6)).astype(np.float64)
    entries, left = Rounding.of(regression.gram, 16).apply(real, real.max(axis=1))
    np.testing.assert_array_equal(entries, real)
    assert (left == 0).all()


def test_one_row_and_codes_that_never_occur() -> None:
    codes = np.array([[3, 0]])
    gram = TreeRidge.of(codes, 4, np.ones(1, np.float32)).gram
    real = np.random.default_rng(4).uniform(0, 255, (2, 4, 3))
    entries, left = Rounding.of(gram, 4).apply(real, np.full((2, 3), 255.0))
    # The one row's sum is met by the mean, whatever the entries are.
    np.testing.assert_allclose(sums(codes, entries)[0] + left, sums(codes, real)[0], rtol=1e-12)


def test_a_row_s_weight_counts() -> None:
    """Weighted rows are repeated rows."""
    rng = np.random.default_rng(5)
    codes, weights = rng.integers(0, 4, (40, 3)), rng.integers(1, 4, 40)
    weighted = TreeRidge.of(codes, 4, weights.astype(np.float32)).gram
    repeated = TreeRidge.of(
        np.repeat(codes, weights, axis=0), 4, np.ones(weights.sum(), np.float32)
    )
    first, second = Rounding.of(weighted, 4), Rounding.of(repeated.gram, 4)
    np.testing.assert_array_equal(first.factor, second.factor)
    np.testing.assert_array_equal(first.shares, second.shares)


@pytest.mark.parametrize("byte_group", [1, 2, 8])
def test_tables_of_an_operator(byte_group: int) -> None:
    """With scale and offset: a lower error on the training rows, and groups still fit a byte."""
    codes, regression, tables = learned(16, seed=6)
    base = np.arange(6.0)
    errors = []
    for rounding in (None, Rounding.of(regression.gram, 16)):
        entries, scale, offset = quantise(
            tables,
            base,
            scale="per-output",
            accumulate="exact",
            byte_group=byte_group,
            rounding=rounding,
        )
        fullest = np.add.reduceat(entries.max(axis=1).astype(int), np.arange(0, 8, byte_group))
        assert fullest.max() <= 255
        found = sums(codes, entries) * scale + offset
        errors.append(((found - base - sums(codes, tables)) ** 2).sum())
    assert errors[1] < errors[0]


def test_damping_lets_rank_deficient_codes_pass() -> None:
    """Two codebooks that always agree make the counts singular."""
    codes = np.random.default_rng(7).integers(0, 8, (100, 1)).repeat(3, axis=1)
    rounding = Rounding.of(TreeRidge.of(codes, 8, np.ones(100, np.float32)).gram, 8)
    assert np.isfinite(rounding.factor).all()
    assert (np.diag(rounding.factor) == 1).all()
    assert (np.tril(rounding.factor, -1) == 0).all()


def test_rows_of_trees_are_covered() -> None:
    """The shares of each codebook's codes add up to 1, up to the rounding of 8 additions."""
    A = rows_of("relu", 300, 6, "float32", seed=8)
    codes = np.stack([grow(A, b, 3).codes for b in np.array_split(np.arange(6), 2)], axis=1)
    weights = np.where(np.arange(300) < 100, 1, 0.05).astype(np.float32)
    shares = Rounding.of(TreeRidge.of(codes, 8, weights).gram, 8).shares
    np.testing.assert_allclose(shares.reshape(2, 8).sum(axis=1), 1, rtol=300 * 2.0**-53)
