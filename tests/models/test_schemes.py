"""Schemes: exact where they say so, found out without rounding, and the shipped ones."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from maddjit.models import schemes
from maddjit.models.schemes import BilinearScheme
from tests.conftest import same_bits

NAMED = [schemes.strassen(), schemes.winograd(), schemes.laderman(), schemes.generic(49)]
ROOT_ERRORS = {16: 0.822, 24: 0.69, 32: 0.55, 40: 0.345, 44: 0.176, 46: 0.1, 48: 0.036}
"""‖T − T̂‖ / ‖T‖ that the shipped schemes must not exceed."""


def product(scheme: BilinearScheme, X: NDArray[Any], W: NDArray[Any]) -> NDArray[Any]:
    """Multiply two matrices by the scheme."""
    n, _, m = scheme.shape
    z = scheme.encode_a.astype(np.float64) @ X.ravel()
    v = scheme.encode_b.astype(np.float64) @ W.ravel()
    return (scheme.decode.astype(np.float64) @ (z * v)).reshape(n, m)


def small(sizes: tuple[int, int, int]) -> BilinearScheme:
    return schemes.plain(*sizes)


@st.composite
def bases(draw: st.DrawFn) -> BilinearScheme:
    """Draw a scheme of a rectangular plain product, or a named one."""
    sizes = st.tuples(*[st.integers(1, 3)] * 3)
    return draw(st.one_of(sizes.map(small), st.sampled_from(NAMED[:2])))


@pytest.mark.parametrize(("scheme", "rank"), list(zip(NAMED, (7, 7, 23, 49), strict=True)), ids=str)
def test_named_schemes_are_exact(scheme: BilinearScheme, rank: int) -> None:
    assert scheme.is_exact
    assert scheme.error == 0
    assert scheme.rank == rank
    assert set(np.unique(scheme.encode_a)) <= {-1, 0, 1}
    assert scheme.saving == np.prod(scheme.shape) / rank


def test_strassen_twice_has_few_non_zeros() -> None:
    twice = schemes.generic(49)
    for factor in (twice.encode_a, twice.encode_b, twice.decode):
        assert np.count_nonzero(factor) == 144


@given(bases(), bases(), st.integers(0, 1000))
def test_kronecker_products_multiply(a: BilinearScheme, b: BilinearScheme, seed: int) -> None:
    both = schemes.kronecker(a, b)
    assert both.rank == a.rank * b.rank
    assert both.is_exact
    n, d, m = both.shape
    rng = np.random.default_rng(seed)
    X, W = rng.integers(-9, 10, (n, d)), rng.integers(-9, 10, (d, m))
    np.testing.assert_array_equal(product(both, X, W), X @ W)


def test_nothing_but_exact_is_exact() -> None:
    scheme = schemes.strassen()
    encode = scheme.encode_a.copy()
    encode[0, 0] = np.nextafter(np.float32(1), np.float32(2))
    assert not replace(scheme, encode_a=encode).is_exact
    assert not replace(scheme, decode=scheme.decode[:, ::-1]).is_exact


@pytest.mark.parametrize("power", [1, 60, 120])
def test_exactness_beyond_float64(power: int) -> None:
    """Factors that cancel, of any size: 2ᵖ · 2⁻ᵖ = 1, and thirds of which none is exact."""
    scheme = schemes.winograd()
    up, down = np.float32(2.0**power), np.float32(2.0**-power)
    scaled = replace(scheme, encode_a=scheme.encode_a * up, decode=scheme.decode * down)
    assert scaled.is_exact
    third = np.float32(1 / 3)
    assert not replace(scheme, encode_a=scheme.encode_a * third, decode=scheme.decode * 3).is_exact


def test_error_is_the_expected_one_on_white_data() -> None:
    scheme = schemes.generic(32)
    rng = np.random.default_rng(0)
    X, W = rng.standard_normal((2, 4000, 4, 4))
    found = sum(((product(scheme, x, w) - x @ w) ** 2).sum() for x, w in zip(X, W, strict=True))
    exact = ((X @ W) ** 2).sum()
    assert found / exact == pytest.approx(scheme.error, rel=0.1)  # 4000 tiles: about 3 %


def test_amplification() -> None:
    """What rounding adds, and the squared norms that it is made of."""
    assert schemes.plain(2, 3, 4).amplification == 1
    assert schemes.strassen().amplification == 2
    assert schemes.winograd().amplification == np.sqrt(7)
    assert schemes.generic(49).amplification == 4
    assert schemes.strassen().squared_norms.tolist() == [8, 4, 4, 4, 4, 4, 4]
    scheme, noise = schemes.generic(24), 1e-3
    rng = np.random.default_rng(0)
    X, W = rng.standard_normal((2, 3000, 16))
    z, v = X @ scheme.encode_a.T, W @ scheme.encode_b.T
    away = (z * v * noise * rng.standard_normal(z.shape)) @ scheme.decode.T
    size = np.sqrt((away**2).sum(axis=1).mean() / 64)
    assert size / noise == pytest.approx(scheme.amplification, rel=0.05)


def test_shipped_schemes() -> None:
    errors = [schemes.generic(rank).error for rank in range(16, 50)]
    assert all(fewer > more for fewer, more in pairwise(errors))
    for rank, most in ROOT_ERRORS.items():
        assert errors[rank - 16] <= most**2
    for rank in range(16, 49):
        scheme = schemes.generic(rank)
        assert scheme.rank == rank
        assert not scheme.is_exact
        a, b, c = scheme.encode_a, scheme.encode_b, scheme.decode.T
        norms = [np.linalg.norm(part.astype(np.float64), axis=1) for part in (a, b, c)]
        np.testing.assert_allclose(norms[0], norms[1], rtol=1e-5)
        np.testing.assert_allclose(norms[0], norms[2], rtol=1e-5)
        assert max(np.abs(part).max() for part in (a, b, c)) < 8


@pytest.mark.parametrize(("rank", "tile"), [(1, 1), (7, 2), (8, 2), (23, 3), (27, 3), (64, 4)])
def test_exact_generic_schemes(rank: int, tile: int) -> None:
    scheme = schemes.generic(rank, tile)
    assert scheme.is_exact
    assert scheme.rank == rank
    assert scheme.shape == (tile, tile, tile)


@pytest.mark.parametrize(("rank", "tile"), [(15, 4), (50, 4), (6, 2), (24, 3), (7, 5), (2, 1)])
def test_no_such_scheme(rank: int, tile: int) -> None:
    with pytest.raises(ValueError, match=f"for tile={tile} the rank must be .*, not {rank}"):
        schemes.generic(rank, tile)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"shape": (2, 2, 0)}, ValueError, "above 0"),
        ({"shape": (2, 2)}, ValueError, "three sizes"),
        ({"shape": (2, 2, 3)}, ValueError, r"encode_b must have shape \(7, 6\)"),
        ({"shape": (2, 2.5, 2)}, TypeError, "integer"),
        ({"encode_a": np.full((7, 4), np.nan)}, ValueError, "encode_a must be finite"),
        ({"decode": np.zeros((4, 6))}, ValueError, r"decode must have shape \(4, 7\)"),
        ({"encode_a": np.zeros((0, 4))}, ValueError, "one multiplication"),
        ({"encode_b": np.full((7, 4), 1e40)}, ValueError, "beyond the range"),
        ({"name": 3}, TypeError, "name must be a string"),
    ],
)
def test_bad_schemes(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        replace(schemes.strassen(), **changes)


def test_schemes_are_frozen_copies_that_pickle() -> None:
    scheme = schemes.laderman()
    with pytest.raises(ValueError, match="read-only"):
        scheme.decode[0, 0] = 2
    again = pickle.loads(pickle.dumps(scheme))
    assert again.name == scheme.name
    assert again.shape == scheme.shape
    for name in ("encode_a", "encode_b", "decode"):
        assert same_bits(getattr(again, name), getattr(scheme, name))
        assert not getattr(again, name).flags.writeable
