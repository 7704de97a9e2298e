"""The definition of tile operators, against products and against loops over its tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import maddjit
from maddjit import reference
from maddjit.arrays.formats import bfloat16_to_float32, float32_to_bfloat16
from maddjit.models import schemes
from maddjit.models.schemes import BilinearScheme
from maddjit.models.strassen_tile import StrassenTileModel
from maddjit.reference.strassen_tile import encode_right, error_bound, multiply

EXACT = [
    schemes.plain(),
    schemes.plain(3, 1, 2),
    schemes.strassen(),
    schemes.winograd(),
    schemes.laderman(),
    schemes.kronecker(schemes.plain(1, 2, 3), schemes.strassen()),
]


def random_model(
    scheme: BilinearScheme, n_features: int, n_outputs: int, seed: int = 0
) -> StrassenTileModel:
    """Return a model of random B and bias."""
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((n_features, n_outputs))
    return maddjit.fit_strassen_tile(
        B, scheme=scheme, bias=rng.standard_normal(n_outputs), tile_rows=8
    )


def by_loops(model: StrassenTileModel, A: NDArray[Any]) -> NDArray[np.float64]:
    """Compute every output from its tile, one after the other, by the letter of the definition."""
    scheme, (n, d, _) = model.scheme, model.scheme.shape
    Dk, Mk = model.block_features, model.block_outputs
    Y = np.empty((len(A), model.n_outputs))
    for row in range(len(A)):
        first = row - row % (n * model.tile_rows)
        R = min(model.tile_rows, -(-(len(A) - first) // n))
        i, tile_row = divmod(row - first, R)
        for column in range(model.n_outputs):
            j, J = divmod(column, Mk)
            u = np.zeros(scheme.rank)
            for K in range(Dk):
                X = np.zeros((n, d))
                for mate in range(n):
                    for k in range(d):
                        at = first + mate * R + tile_row
                        if at < len(A) and k * Dk + K < model.n_features:
                            X[mate, k] = A[at, k * Dk + K]
                u += scheme.encode_a.astype(float) @ X.ravel() * model.values[:, K, J]
            Y[row, column] = scheme.decode[i * scheme.shape[2] + j].astype(float) @ u
    return Y + model.bias


def in_float32(
    model: StrassenTileModel, A: NDArray[Any], seed: int, bfloat16: bool
) -> NDArray[np.float32]:
    """Compute in float32 with sums in random orders, as a kernel might."""
    rng = np.random.default_rng(seed)
    n, d, m = model.scheme.shape
    rows = A.astype(np.float32)
    R = -(-len(rows) // n)
    padded = np.zeros((n * R, d * model.block_features), np.float32)
    padded[: len(rows), : model.n_features] = rows
    X = padded.reshape(n, R, d, -1).transpose(0, 2, 1, 3).reshape(n * d, -1)

    def summed(coefficients: NDArray[Any], terms: NDArray[Any]) -> NDArray[Any]:
        total = np.zeros((len(coefficients), *terms.shape[1:]), np.float32)
        for at in rng.permutation(len(terms)):
            total += coefficients[:, at, np.newaxis] * terms[at]
        return total

    z = summed(model.scheme.encode_a, X).reshape(model.scheme.rank, R, -1)
    V = model.values
    if bfloat16:
        z, V = (bfloat16_to_float32(float32_to_bfloat16(part)) for part in (z, V))
    u = np.zeros((model.scheme.rank, R, model.block_outputs), np.float32)
    for K in rng.permutation(model.block_features):
        u += z[:, :, K, np.newaxis] * V[:, np.newaxis, K]
    tiles = summed(model.scheme.decode, u.reshape(len(u), -1)).reshape(n, m, R, -1)
    Y = tiles.transpose(0, 2, 1, 3).reshape(n * R, -1)
    return np.asarray(Y[: len(rows), : model.n_outputs] + model.bias)


@pytest.mark.parametrize("scheme", EXACT, ids=str)
@pytest.mark.parametrize("n_rows", [1, 7, 24, 61])
def test_exact_schemes_give_the_product(scheme: BilinearScheme, n_rows: int) -> None:
    rng = np.random.default_rng(n_rows)
    B, A = rng.integers(-9, 10, (13, 7)), rng.integers(-9, 10, (n_rows, 13)).astype(float)
    model = maddjit.fit_strassen_tile(B, scheme=scheme, bias=np.arange(7), tile_rows=8)
    np.testing.assert_array_equal(multiply(model, A), A @ B + np.arange(7))


@given(
    st.sampled_from([*EXACT, schemes.generic(20)]),
    *[st.integers(1, 9)] * 2,
    st.integers(1, 70),
    st.integers(0, 1000),
)
def test_definition(scheme: BilinearScheme, D: int, M: int, n_rows: int, seed: int) -> None:
    model = random_model(scheme, D, M, seed)
    A = np.random.default_rng(seed).standard_normal((n_rows, D))
    np.testing.assert_allclose(multiply(model, A), by_loops(model, A), rtol=1e-9, atol=1e-9)


def test_groups_do_not_depend_on_each_other_but_tile_mates_do() -> None:
    model = random_model(schemes.generic(24), 12, 9)
    A = np.random.default_rng(1).standard_normal((100, 12))
    whole = multiply(model, A)
    np.testing.assert_array_equal(multiply(model, A[:32]), whole[:32])
    np.testing.assert_array_equal(multiply(model, A[96:]), whole[96:])
    A[0] += 1
    changed = np.flatnonzero((multiply(model, A) != whole).any(axis=1))
    np.testing.assert_array_equal(changed, [0, 8, 16, 24])


def test_encoded_values_decode_to_B() -> None:
    """With tiles of A that hold a single 1, the operator reads B out."""
    B = np.random.default_rng(0).standard_normal((5, 4))
    model = maddjit.fit_strassen_tile(B.astype(np.float32), tile=2)
    np.testing.assert_allclose(multiply(model, np.eye(5)), B, atol=1e-6)
    assert encode_right(schemes.plain(), B).shape == (1, 5, 4)


@pytest.mark.parametrize("bfloat16", [False, True])
@given(
    scheme=st.sampled_from([*EXACT, schemes.generic(49), schemes.generic(24)]),
    n_features=st.integers(1, 80),
    scale=st.sampled_from([1e-38, 1.0, 1e10]),
    seed=st.integers(0, 1000),
)
def test_error_bound_holds(
    bfloat16: bool, scheme: BilinearScheme, n_features: int, scale: float, seed: int
) -> None:
    model = random_model(scheme, n_features, 6, seed)
    A = scale * np.random.default_rng(seed).standard_normal((scheme.shape[0] * 3, n_features))
    found = in_float32(model, A, seed, bfloat16)
    bound = error_bound(model, A, "bfloat16" if bfloat16 else "float32")
    assert (np.abs(found - multiply(model, A)) <= bound).all()


def test_error_bound_is_of_use() -> None:
    model = random_model(schemes.generic(49), 512, 8)
    A = np.random.default_rng(0).standard_normal((32, 512)).astype(np.float32)
    size = np.abs(multiply(model, A)).mean()
    assert error_bound(model, A).max() < 0.01 * size * np.sqrt(512)
    assert (error_bound(model, A) < error_bound(model, A, "bfloat16")).all()
    assert error_bound(model, A[0]).shape == (8,)
    with pytest.raises(ValueError, match="precision"):
        error_bound(model, A, "float16")  # type: ignore[arg-type]


def test_apply_takes_both_kinds_of_models() -> None:
    model = random_model(schemes.strassen(), 6, 3)
    A = np.random.default_rng(0).standard_normal((9, 6))
    Y = reference.apply(model, A)
    assert Y.dtype == np.float32
    np.testing.assert_array_equal(Y, multiply(model, A).astype(np.float32))
    positive = reference.apply(model, A, maddjit.Epilogue(low=0))
    np.testing.assert_array_equal(positive, np.maximum(Y, 0))
    np.testing.assert_array_equal(reference.apply(model, A[:1])[0], reference.apply(model, A[0]))


@pytest.mark.parametrize("dtype", ["float16", "int8", "float32", "bfloat16"])
def test_formats(dtype: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    A = np.random.default_rng(0).integers(-5, 5, (9, 6)).astype(kind)
    model = random_model(schemes.strassen(), 6, 3)
    np.testing.assert_array_equal(multiply(model, A), multiply(model, A.astype(np.float64)))
