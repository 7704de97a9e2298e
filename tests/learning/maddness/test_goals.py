"""Directions and coordinates of the product, against its dense covariance."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from maddjit.learning.maddness.goals import Goals, leading

DOUBLE, SINGLE = 2.0**-53, 2.0**-24

SHAPES = [(6, 20), (20, 6), (8, 8), (9, 1), (1, 9), (1, 1)]
CASES = ["full", "deficient B", "deficient A", "few rows"]


def problem(
    shape: tuple[int, int], case: str, dtype: str = "float64"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n_features, n_outputs = shape
    rng = np.random.default_rng(n_features + 100 * n_outputs)
    n_rows = 3 if case == "few rows" else 200
    A = rng.standard_normal((n_rows, n_features)) * rng.uniform(0.1, 3, n_features) + 2
    B = rng.standard_normal(shape)
    if case == "deficient A":
        A = A[:, :1] + np.arange(n_features)
    if case == "deficient B":
        B[:] = B[:, :1]
    return A.astype(dtype), B


def rounding(A: NDArray[np.float64], B: NDArray[np.float64]) -> float:
    """Bound how far a computed covariance of A·B is from the exact one, in norm.

    A product of N rows, a decomposition of D columns and the product with B are each backward
    stable: off by at most (N + 10·D + M)·u of ‖A‖²/N·‖B‖², with the mean still in A.
    """
    sizes = np.linalg.norm(A) ** 2 / len(A) * np.linalg.norm(B) ** 2
    return float((len(A) + 10 * B.shape[0] + B.shape[1]) * DOUBLE * sizes)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("core_rank", [1, 3, 64])
def test_the_core_takes_the_directions_of_largest_variance(
    shape: tuple[int, int], case: str, core_rank: int
) -> None:
    A, B = problem(shape, case)
    core = Goals.of(A, B, core_rank, 64).core
    n_found = min(core_rank, *shape)
    assert core.shape == (shape[1], n_found)
    np.testing.assert_allclose(core.T @ core, np.eye(n_found), atol=1000 * DOUBLE)
    covariance = np.atleast_2d(np.cov((A @ B).T, bias=True))
    largest = np.linalg.eigvalsh(covariance)[::-1][:n_found]
    found = np.diag(core.T @ covariance @ core)
    np.testing.assert_allclose(found, largest, rtol=0, atol=4 * rounding(A, B))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("core_rank", [0, 2])
def test_coordinates_are_the_product_turned(
    shape: tuple[int, int], case: str, dtype: str, core_rank: int
) -> None:
    """All coordinates together keep every inner product, up to one factor.

    Their mean square is 1, which fixes the factor. They are rounded to float32, which moves an
    inner product of two rows by 2⁻²³ of their lengths, and a little float64 beside it.
    """
    A, B = problem(shape, case, dtype)
    goals = Goals.of(A, B, core_rank, 64)
    exact = (A.astype(np.float64) - A.mean(axis=0, dtype=np.float64)) @ B
    left = exact - exact @ goals.core @ goals.core.T
    np.testing.assert_allclose((A - goals.mean) @ goals.rest, left, rtol=0, atol=1e-11)
    if np.linalg.norm(left) <= 1e-6 * np.linalg.norm(exact):
        return  # the core takes all that a covariance shows: what is below √u of it is noise
    coordinates = goals.coordinates(A)
    assert coordinates.dtype == np.float32
    n_coordinates = min(shape) - core_rank
    assert coordinates.shape == (len(A), n_coordinates)
    assert np.mean(coordinates.astype(np.float64) ** 2) == pytest.approx(1, rel=4 * SINGLE)
    scale = np.mean(left**2) * left.shape[1] / n_coordinates
    inner = coordinates.astype(np.float64) @ coordinates.T.astype(np.float64)
    lengths = np.linalg.norm(coordinates, axis=1)
    off = np.abs(inner - left @ left.T / scale) / np.maximum(np.outer(lengths, lengths), 1e-9)
    assert off.max() <= 8 * SINGLE


@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_add_up_to_the_coordinates(shape: tuple[int, int]) -> None:
    """Each of up to two parts and the whole are rounded to float32."""
    A, B = problem(shape, "full")
    goals = Goals.of(A, B, 0, 4)
    coordinates = goals.coordinates(A)
    assert coordinates.shape == (200, min(4, *shape))
    blocks = np.array_split(np.arange(shape[0])[::-1], min(2, shape[0]))
    parts = [goals.contribution(A, block) for block in blocks]
    largest = sum(np.abs(part).max() for part in parts)
    np.testing.assert_allclose(sum(parts), coordinates, rtol=0, atol=4 * SINGLE * largest)


def test_a_core_of_the_rank_of_b_leaves_nothing() -> None:
    A, B = problem((12, 7), "full")
    B = B[:, :2] @ B[:2, :]
    goals = Goals.of(A, B, 2, 64)
    assert np.abs(goals.rest).max() <= 100 * DOUBLE * np.abs(B).max()
    assert np.isfinite(goals.coordinates(A)).all()


@pytest.mark.parametrize("what", ["B", "rows"])
@pytest.mark.parametrize("core_rank", [0, 2])
def test_a_product_that_does_not_vary(what: str, core_rank: int) -> None:
    A, B = problem((5, 4), "full")
    if what == "B":
        B[:] = 0
    else:
        A[:] = [1.0, -2.0, 0.0, 4.0, 0.5]
    goals = Goals.of(A, B, core_rank, 64)
    assert goals.core.shape == (4, core_rank)
    assert (goals.coordinates(A) == 0).all()


def test_leading_coordinates() -> None:
    """The scatter kept is that of the largest eigenvalues, up to the rounding of float32 sums.

    200 products of 10 columns are summed in float32 and again by the turn: 2·(200 + 10)·u.
    """
    rng = np.random.default_rng(0)
    values = (rng.standard_normal((200, 10)) * np.arange(1, 11) + 3).astype(np.float32)
    turned = leading(values, 4)
    assert turned.shape == (200, 4)
    exact = values.astype(np.float64)
    largest = np.linalg.eigvalsh(exact.T @ exact)[-4:].sum()
    assert (turned.astype(np.float64) ** 2).sum() == pytest.approx(largest, rel=420 * SINGLE)
    assert leading(values, 10) is values


def test_columns_that_matter() -> None:
    """Of variances 4, 1, 10⁻⁸ and 0 under equal rows of B the first two are enough."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((500, 4)) * [1e-4, 2.0, 0.0, 1.0]
    goals = Goals.of(A, np.eye(4), 0, 4)
    columns = np.arange(4)
    np.testing.assert_array_equal(goals.weighty(A, columns, 1), [1, 3])
    np.testing.assert_array_equal(goals.weighty(A, columns, 3), [0, 1, 3])
    np.testing.assert_array_equal(goals.weighty(A, columns, 4), columns)
