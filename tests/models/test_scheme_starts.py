"""Starts of trained layers: conditioned schemes, polynomials, and how both are scaled."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from maddjit.models import schemes
from maddjit.models.schemes import BilinearScheme
from tests.models.test_schemes import product

RANKS = [
    *((4, rank) for rank in (*range(16, 50), 64)),
    *((2, rank) for rank in range(4, 9)),
    *((3, rank) for rank in (*range(9, 24), 27)),
    *(((2, 16, 2), rank) for rank in (*range(16, 50), 64)),
]
EXACT = [(4, 49), (4, 64), (2, 7), (2, 8), (3, 23), (3, 27), ((2, 16, 2), 64)]
ROOT_ERRORS = {16: 0.826, 24: 0.728, 32: 0.612, 40: 0.45, 44: 0.335, 48: 0.185}
"""√ of the errors that conditioned schemes of 4 × 4 × 4 tiles must not exceed."""


def norms(scheme: BilinearScheme) -> tuple[np.ndarray, np.ndarray]:
    """Return the norms of the encoder's rows and of the decoder's columns."""
    a, c = scheme.encode_a.astype(np.float64), scheme.decode.astype(np.float64)
    return np.linalg.norm(a, axis=1), np.linalg.norm(c, axis=0)


def output_variance(scheme: BilinearScheme) -> float:
    """Return the mean variance of outputs of white tiles, as a share of the product's."""
    factors = (f.astype(np.float64) for f in (scheme.encode_a, scheme.encode_b, scheme.decode.T))
    whole = np.einsum("ra,rb,rc->abc", *factors)
    return float((whole**2).sum() / np.prod(scheme.shape))


def test_conditioned_schemes_hardly_cancel() -> None:
    for tile, rank in RANKS:
        scheme = schemes.conditioned(rank, tile)
        assert scheme.rank == rank
        assert scheme.shape == ((tile,) * 3 if isinstance(tile, int) else tile)
        assert scheme.is_exact == ((tile, rank) in EXACT)
        n, _, m = scheme.shape
        if not scheme.is_exact:
            assert scheme.amplification < 2.005  # stored in half precision
            of_a, of_c = norms(scheme)
            np.testing.assert_allclose(of_a, 1, rtol=1e-6)
            np.testing.assert_allclose(of_c, np.sqrt(n * m / rank), rtol=1e-6)


def test_conditioned_schemes_are_little_worse() -> None:
    for tile, ranks in ((4, range(16, 49)), (3, range(9, 24)), ((2, 16, 2), range(16, 50))):
        errors = [schemes.conditioned(rank, tile).error for rank in ranks]
        assert all(fewer > more for fewer, more in pairwise(errors))
    for rank, most in ROOT_ERRORS.items():
        scheme = schemes.conditioned(rank)
        assert scheme.error <= most**2
        assert scheme.error > schemes.generic(rank).error
        assert scheme.amplification < schemes.generic(rank).amplification / 7


@pytest.mark.parametrize(("rank", "tile"), [(15, 4), (50, 4), (9, 2), (24, 3), (16, (2, 3, 2))])
def test_no_such_conditioned_scheme(rank: int, tile: int | tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"for tile=.* the rank must be .*, not \d+"):
        schemes.conditioned(rank, tile)


@pytest.mark.parametrize("tile", [1, 2, 3, 4, (2, 3, 4), (2, 16, 2), (1, 5, 1)])
def test_polynomials(tile: int | tuple[int, int, int]) -> None:
    n, d, m = shape = (tile,) * 3 if isinstance(tile, int) else tile
    for rank in range(n * m, n * d * m + 1):
        scheme = schemes.polynomial(rank, tile)
        assert scheme.shape == shape
        assert scheme.rank == rank
        assert scheme.error == pytest.approx(1 - rank / (n * d * m), abs=1e-6)
        assert scheme.amplification == pytest.approx(np.sqrt(rank / (n * d * m)), rel=1e-6)
        assert np.linalg.matrix_rank(scheme.decode) == n * m
    rng = np.random.default_rng(0)
    X, W = rng.standard_normal((n, d)), rng.standard_normal((d, m))
    np.testing.assert_allclose(product(scheme, X, W), X @ W, atol=1e-6)


def test_polynomials_see_all_entries_from_the_first_rank_on() -> None:
    scheme = schemes.polynomial(16)
    for factor in (scheme.encode_a, scheme.encode_b, scheme.decode):
        assert np.linalg.matrix_rank(factor) == 16


@pytest.mark.parametrize(("rank", "tile"), [(15, 4), (65, 4), (3, 2), (4, (2, 0, 2))])
def test_no_such_polynomial(rank: int, tile: int | tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"the rank must be \d+ to \d+, not \d+"):
        schemes.polynomial(rank, tile)


@pytest.mark.parametrize(
    "scheme",
    [schemes.generic(24), schemes.polynomial(20), schemes.conditioned(32), schemes.generic(48)],
    ids=lambda scheme: scheme.name,
)
def test_scaled_schemes(scheme: BilinearScheme) -> None:
    same, scaled = schemes.normalised(scheme), schemes.scaled_for_training(scheme)
    assert same.error == pytest.approx(scheme.error, rel=1e-4)
    assert scaled.error > 0.99 * same.error
    assert output_variance(scaled) == pytest.approx(1, rel=1e-5)
    for each in (same, scaled):
        of_a, of_c = norms(each)
        np.testing.assert_allclose(of_a, 1, rtol=1e-6)
        np.testing.assert_allclose(of_c, np.sqrt(16 / scheme.rank), rtol=1e-6)


@pytest.mark.parametrize("scheme", [schemes.strassen(), schemes.laderman(), schemes.generic(49)])
def test_exact_schemes_stay_exact(scheme: BilinearScheme) -> None:
    for scaled in (schemes.normalised(scheme), schemes.scaled_for_training(scheme)):
        assert scaled.is_exact
        n, _, m = scaled.shape
        of_a, of_c = norms(scaled)
        for found, wanted in ((of_a, 1), (of_c, np.sqrt(n * m / scaled.rank))):
            assert (found <= wanted * 1.4143).all()
            assert (found >= wanted / 1.4143).all()


def test_products_of_zeros_are_left() -> None:
    zeros = BilinearScheme("zeros", (1, 1, 1), np.zeros((2, 1)), np.ones((2, 1)), np.ones((1, 2)))
    assert np.array_equal(schemes.normalised(zeros).encode_a, zeros.encode_a)
    with pytest.raises(ValueError, match="gives zeros"):
        schemes.scaled_for_training(zeros)
