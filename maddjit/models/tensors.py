"""The tensor of a matrix product, and the tensor that three factors make."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def tensor(first: Any, second: Any, third: Any) -> Any:
    """Return the sum over ρ of the outer products of three rows, as (first · second, third)."""
    pairs = first[:, :, np.newaxis] * second[:, np.newaxis, :]
    return pairs.reshape(len(pairs), -1).T @ third


def product_tensor(shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return the tensor of the exact product, in the shape of `tensor`."""
    n, d, m = shape
    entries = np.einsum("ac,kl,bd->aklbcd", np.eye(n), np.eye(d), np.eye(m))
    return np.ascontiguousarray(entries).reshape(n * d * d * m, n * m)


def squared_norms(*factors: Any) -> NDArray[np.float64]:
    """Return (…, r): ‖a_ρ‖² ‖b_ρ‖² ‖c_ρ‖² for the rows of factors (…, r, size)."""
    squares = [(factor.astype(np.float64) ** 2).sum(axis=-1) for factor in factors]
    return np.asarray(squares[0] * squares[1] * squares[2])


def whole_numbers(values: NDArray[np.float32]) -> tuple[NDArray[Any], int]:
    """Return whole numbers w, as objects, and the least s ≥ 0 with values = w / 2^s."""
    ratios = [float(value).as_integer_ratio() for value in values.ravel()]
    shift = max(below.bit_length() - 1 for _, below in ratios)
    whole = [above * (2**shift // below) for above, below in ratios]
    array = np.empty(len(whole), object)
    array[:] = whole
    return array.reshape(values.shape), shift
