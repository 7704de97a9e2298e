"""Models learned elsewhere: plain arrays, and what halutmatmul stores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import maddjit
from maddjit import reference


def parts(seed: int = 0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    split_dims = rng.integers(0, 9, (3, 3))
    thresholds = rng.standard_normal((3, 7)).astype(np.float32)
    return split_dims, thresholds, rng.standard_normal((3, 8, 5))


def test_plain_arrays_are_rounded_and_no_more() -> None:
    split_dims, thresholds, tables = parts()
    bias = np.arange(5.0)
    model = maddjit.from_arrays(split_dims, thresholds, tables, 9, bias=bias)
    A = np.random.default_rng(1).standard_normal((200, 9)).astype(np.float32)
    codes = reference.encode(model, A)
    real = sum(tables[c][codes[:, c]] for c in range(3)) + bias
    assert (np.abs(reference.apply(model, A) - real) <= 1.5 * model.scale + 1e-5).all()
    assert np.array_equal(maddjit.compile(model)(A), reference.apply(model, A))
    assert model.bias is not None
    assert (model.bias == bias).all()
    assert maddjit.from_arrays(split_dims, thresholds, tables, 9).bias is None
    assert maddjit.from_halutmatmul(stored(), 9).bias is None
    told = maddjit.from_halutmatmul(stored(), 9, bias=bias).bias
    assert told is not None
    assert (told == bias).all()


def stored(seed: int = 0) -> list[Any]:
    """Return what halutmatmul stores: trees level by level, tables by outputs."""
    split_dims, thresholds, tables = parts(seed)
    trees = np.zeros((3, 3, 7), np.float32)
    rng = np.random.default_rng(2)
    for t in range(3):
        trees[:, t, : 2**t] = thresholds[:, 2**t - 1 : 2 ** (t + 1) - 1]
    trees[:, :, 4] = split_dims
    trees[:, :, 5] = 2.0 ** rng.integers(-2, 3, (3, 3))
    trees[:, :, 6] = rng.integers(-2, 3, (3, 3))
    return [trees, tables.transpose(2, 0, 1).astype(np.float32), np.zeros(5)]


def encoded(trees: Any, A: Any) -> Any:
    """Encode as halutmatmul does: right when (a − offset) · scale > threshold."""
    codes = np.zeros((len(A), len(trees)), np.int64)
    for c, levels in enumerate(trees):
        for t, level in enumerate(levels):
            x = (A[:, int(level[4])] - level[6]) * level[5]
            codes[:, c] = 2 * codes[:, c] + (x > level[: 2**t][codes[:, c]])
    return codes


def test_halutmatmul() -> None:
    given = stored()
    model = maddjit.from_halutmatmul(given, 9)
    A = np.random.default_rng(1).standard_normal((500, 9)).astype(np.float32)
    codes = reference.encode(model, A)
    assert np.array_equal(codes, encoded(given[0], A))
    real = sum(given[1][:, c, codes[:, c]].T for c in range(3))
    assert (np.abs(reference.apply(model, A) - real) <= 1.5 * model.scale + 1e-5).all()
    on_it = np.full((1, 9), -3.0, np.float32)  # equal goes left there
    trees = np.array([[[0.0, 0, 1, 3]]], np.float32)
    on_it[:] = 3.0
    small = maddjit.from_halutmatmul([trees, np.array([[[1.0, 2.0]]])], 9)
    assert reference.encode(small, on_it).tolist() == [[0]]
    assert reference.encode(small, np.nextafter(on_it, np.float32(4))).tolist() == [[1]]


def test_what_does_not_fit() -> None:
    split_dims, thresholds, tables = parts()
    for arrays, message in (
        ((split_dims, thresholds, tables[:, 0]), "tables must have shape"),
        ((split_dims, thresholds, tables * np.nan), "tables must be finite"),
        ((split_dims, thresholds, tables[:, :7]), "power of two"),
        ((split_dims + 9, thresholds, tables), "split_dims must lie"),
        ((split_dims, thresholds[:, :6], tables), "thresholds must have shape"),
    ):
        with pytest.raises(ValueError, match=message):
            maddjit.from_arrays(*arrays, 9)
    given = stored()
    for wrong, message in (
        ([], "must hold hash trees"),
        ([given[0], np.zeros(3)], "look-up tables must have shape"),
        ([given[0][:, :, :5], given[1]], "hash trees must have shape"),
        ([given[0] * [1, 1, 1, 1, 1, -1, 1], given[1]], "scales of hash trees"),
    ):
        with pytest.raises(ValueError, match=message):
            maddjit.from_halutmatmul(wrong, 9)
