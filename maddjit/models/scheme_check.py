"""The exact check that a scheme of rational numbers multiplies matrices, in whole numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_MOST_BITS = 1024  # of the common divisor of a factor's numbers: public schemes need few
_EXACT_IN_FLOAT64 = 2**53

Shape = tuple[int, int, int]
Place = tuple[int, int, int]
"""Where a coefficient stands: the indices of its output, of an entry of A, and of one of B."""


class Whole(NamedTuple):
    """Factors as whole numbers, (r, ·) each, whose products must be divided by a number."""

    a: NDArray[Any]
    b: NDArray[Any]
    c: NDArray[Any]
    divisor: int


def whole_factors(factors: Iterable[NDArray[Any]]) -> Whole:
    """Return matrices of `Fraction` as whole numbers.

    Raises
    ------
    ValueError
        If a common divisor has too many bits.
    """
    whole, divisors = [], []
    for factor in factors:
        places = np.nonzero(factor)
        values = factor[places]
        divisor = _common_divisor(values)
        numbers = np.zeros(factor.shape, object)
        numbers[places] = [x.numerator * (divisor // x.denominator) for x in values]
        whole.append(numbers)
        divisors.append(divisor)
    a, b, c = whole
    return Whole(a, b, c, math.prod(divisors))


def _common_divisor(values: NDArray[Any]) -> int:
    """Return the least common divisor of numbers; one that would fill the memory is refused."""
    divisor = 1
    for denominator in {x.denominator for x in values}:
        divisor = math.lcm(divisor, denominator)
        if divisor.bit_length() > _MOST_BITS:
            raise ValueError(f"the numbers have no common divisor of {_MOST_BITS} bits or less")
    return divisor


def first_wrong(whole: Whole, shape: Shape) -> str:
    """Return which coefficient of the product is wrong first, and how; "" for an exact scheme.

    Each coefficient's error is a whole number whose size has a bound. Where float64 holds all
    numbers up to the bound, the errors are computed as they are. Otherwise they are computed modulo
    primes whose product is larger than the bound: an error that all of them divide is 0.
    """
    bound = _bound(whole)
    n_terms = int(np.count_nonzero(whole.c, axis=0).max())
    outputs = range(shape[0] * shape[2])
    wrong: Place | None = None
    for modulus in [0] if bound < _EXACT_IN_FLOAT64 else _primes(n_terms, bound):
        place = _first_place(whole, shape, modulus, outputs)
        if place is not None:
            wrong = place if wrong is None else min(wrong, place)
            outputs = range(wrong[0] + 1)  # an earlier one may be wrong modulo other primes
    return "" if wrong is None else _message(whole, shape, wrong)


def _bound(whole: Whole) -> int:
    """Return a bound of the errors' sizes, and of those of all numbers on the way to them."""
    largest = [np.maximum(np.abs(factor).max(axis=1), 1) for factor in whole[:3]]
    return int((largest[0] * largest[1] * largest[2]).sum()) + whole.divisor


def _primes(n_terms: int, bound: int) -> Iterator[int]:
    """Yield primes until their product is above a bound.

    They are so small that float64 holds sums of as many products of two of their residues.
    """
    product, number = 1, math.isqrt(_EXACT_IN_FLOAT64 // max(n_terms, 2))
    while product <= bound:
        number -= 1
        if all(number % k for k in range(2, math.isqrt(number) + 1)):
            product *= number
            yield number


def _first_place(whole: Whole, shape: Shape, modulus: int, outputs: range) -> Place | None:
    """Return the first coefficient of some outputs that is wrong modulo a prime; 0 is none."""
    _, d, m = shape
    a, b, c = (_residues(factor, modulus) for factor in whole[:3])
    divisor = float(whole.divisor % modulus if modulus else whole.divisor)
    for output in outputs:
        used = np.flatnonzero(c[:, output])
        scaled = _reduced(a[used] * c[used, output, np.newaxis], modulus)
        errors = scaled.T @ b[used]
        i, j = divmod(output, m)
        for k in range(d):
            errors[i * d + k, k * m + j] -= divisor
        wrong = np.argwhere(np.fmod(errors, modulus) if modulus else errors)
        if len(wrong):
            return output, int(wrong[0, 0]), int(wrong[0, 1])
    return None


def _residues(factor: NDArray[Any], modulus: int) -> NDArray[np.float64]:
    """Return whole numbers modulo a prime, as they are modulo 0."""
    if not modulus:
        return factor.astype(np.float64)
    return _reduced((factor % modulus).astype(np.float64), modulus)


def _reduced(values: NDArray[np.float64], modulus: int) -> NDArray[np.float64]:
    """Return numbers that are the same modulo a prime, and hardly larger than half of it."""
    return values - modulus * np.rint(values / modulus) if modulus else values


def _message(whole: Whole, shape: Shape, place: Place) -> str:
    """Return what is wrong with a coefficient."""
    _, d, m = shape
    output, of_a, of_b = place
    terms = whole.a[:, of_a] * whole.b[:, of_b] * whole.c[:, output]
    (i, j), (i_a, k_a), (k_b, j_b) = divmod(output, m), divmod(of_a, d), divmod(of_b, m)
    should = int((i, k_a, j) == (i_a, k_b, j_b))
    return (
        f"the scheme is not exact: Y[{i}, {j}] has {Fraction(int(terms.sum()), whole.divisor)} "
        f"times A[{i_a}, {k_a}] B[{k_b}, {j_b}], and should have {should} (indices from 0)"
    )
