"""Schemes in rational numbers: exact ones pass, and others are wrong first where the sums are."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from maddjit.models import schemes
from maddjit.models.scheme_check import _primes, first_wrong, whole_factors
from maddjit.models.schemes import BilinearScheme


def rationals(scheme: BilinearScheme) -> list[NDArray[Any]]:
    """Return encoders and outputs of a scheme, (r, ·) each, as fractions."""
    factors = scheme.encode_a, scheme.encode_b, scheme.decode.T
    return [np.vectorize(Fraction, otypes=[object])(factor) for factor in factors]


def expected(factors: list[NDArray[Any]], shape: tuple[int, int, int]) -> str:
    """Return the beginning of the message about the first wrong coefficient, by its definition."""
    n, d, m = shape
    a, b, c = factors
    for i, j, i_a, k_a, k_b, j_b in product(*map(range, (n, m, n, d, d, m))):
        found = (a[:, i_a * d + k_a] * b[:, k_b * m + j_b] * c[:, i * m + j]).sum()
        wanted = int((i, k_a, j) == (i_a, k_b, j_b))
        if found != wanted:
            place = f"Y[{i}, {j}] has {found} times A[{i_a}, {k_a}] B[{k_b}, {j_b}]"
            return f"the scheme is not exact: {place}, and should have {wanted}"
    return ""


@pytest.mark.parametrize("digits", [0, 3, 16])
@pytest.mark.parametrize(
    "scheme", [schemes.strassen(), schemes.winograd(), schemes.plain(1, 3, 2)], ids=str
)
def test_what_is_wrong_first_is_found(scheme: BilinearScheme, digits: int) -> None:
    rng = np.random.default_rng(0)
    for n_changes in (0, 0, 1, 1, 1, 2, 2, 2):
        factors = rationals(scheme)
        for r in range(scheme.rank):
            size = Fraction(*(int(x) for x in rng.integers(1, 10**digits, 2, endpoint=True)))
            factors[0][r] *= size
            factors[1 + r % 2][r] /= size
        for _ in range(n_changes):
            change = Fraction(int(rng.integers(1, 4)), int(rng.integers(1, 10**9)))
            factor = factors[rng.integers(3)]
            factor[tuple(rng.integers(factor.shape))] += change
        found, wanted = (check(scheme, factors) for check in (by_check, by_definition))
        assert bool(found) == bool(wanted)
        assert found.startswith(wanted)


def by_check(scheme: BilinearScheme, factors: list[NDArray[Any]]) -> str:
    return first_wrong(whole_factors(factors), scheme.shape)


def by_definition(scheme: BilinearScheme, factors: list[NDArray[Any]]) -> str:
    return expected(factors, scheme.shape)


def test_errors_that_primes_divide_are_found() -> None:
    scheme = schemes.plain(1, 1, 2)
    a, b, c = rationals(scheme)
    assert not by_check(scheme, [a, b, c])
    one, two, three = list(_primes(1, 2**70))[:3]
    for error in (one * two, one * three, two * three, -one * two * three):
        b[0, 0] = Fraction(1 + error)
        assert f"Y[0, 0] has {1 + error} times" in by_check(scheme, [a, b, c])
    b[0, 0], b[1, 1] = Fraction(1 + one * two), Fraction(2)  # the latter is wrong modulo all primes
    assert "Y[0, 0] has" in by_check(scheme, [a, b, c])


@pytest.mark.parametrize("n_terms", [1, 2, 7, 4096])
def test_sums_of_residues_are_exact_in_float64(n_terms: int) -> None:
    primes = list(_primes(n_terms, 10**200))
    assert len(set(primes)) == len(primes)
    assert np.prod(primes, dtype=object) > 10**200
    assert n_terms * (primes[0] // 2 + 1) ** 2 + primes[0] < 2**53
    assert all(pow(2, prime - 1, prime) == 1 for prime in primes)


def test_schemes_of_many_products() -> None:
    scheme = schemes.strassen()
    for _ in range(2):
        scheme = schemes.kronecker(scheme, schemes.strassen())
    factors = rationals(scheme)
    sizes = np.array([Fraction(1 + r % 89, 1 + r % 97) for r in range(scheme.rank)], object)
    factors[0] = factors[0] * sizes[:, np.newaxis]
    factors[2] = factors[2] / sizes[:, np.newaxis]
    whole = whole_factors(factors)
    assert whole.divisor.bit_length() > 200
    assert not first_wrong(whole, scheme.shape)
    whole.c[-1, -1] += 1
    assert "Y[7, 7] has" in first_wrong(whole, scheme.shape)
