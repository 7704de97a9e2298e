"""The products that methods consist of: two dense ones, or a sparse one and a dense one."""

from __future__ import annotations

from timeit import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rivals.method import Apply, Floats

if TYPE_CHECKING:
    from scipy.sparse import sparray

_TRIED_ROWS, _TRIES = 1000, 5


def two_products(
    left: NDArray[Any], right: NDArray[Any], offset: NDArray[Any] | None = None
) -> Apply:
    """Return A → (A @ left) @ right + offset.

    The offset is one more row of `right` and a column of ones beside A @ left, which is cheaper
    than another pass over the outputs.
    """
    rank, first = left.shape[1], np.ascontiguousarray(left, np.float32)
    second = np.array(right if offset is None else np.vstack([right, offset]), np.float32)

    def plain(A: Floats) -> Floats:
        return times(A @ first, second)

    def shifted(A: Floats) -> Floats:
        inner = np.empty((len(A), rank + 1), np.float32)
        np.matmul(A, first, out=inner[:, :rank])
        inner[:, rank] = 1
        return inner @ second

    return plain if offset is None else shifted


def times(inner: Floats, second: Floats) -> Floats:
    """Return inner @ second. For rank 1 NumPy broadcasts, which is faster."""
    return inner * second if len(second) == 1 else inner @ second


def sparse_then_dense(left: sparray, right: NDArray[Any], offset: NDArray[Any]) -> Apply:
    """Return A → (A @ left) @ right + offset for a sparse `left` (D, rank), by SciPy."""
    from scipy.sparse import csr_array

    transposed = csr_array(left.T, dtype=np.float32)
    second, added = np.ascontiguousarray(right, np.float32), np.asarray(offset, np.float32)
    return lambda A: times((transposed @ A.T).T, second) + added


def sparse_or_dense(
    A_train: Floats, left: sparray, right: NDArray[Any], offset: NDArray[Any]
) -> Apply:
    """Return the faster of multiplying by a sparse `left` as such and as a dense matrix."""
    rows = np.ascontiguousarray(A_train[:_TRIED_ROWS], np.float32)

    def seconds(apply: Apply) -> float:
        return min(repeat(lambda: apply(rows), number=1, repeat=_TRIES))

    dense = two_products(left.toarray(), right, offset)
    return min(dense, sparse_then_dense(left, right, offset), key=seconds)
