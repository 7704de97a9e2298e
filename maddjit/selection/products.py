"""The plain alternatives to a compiled operator: the exact product, and products of low rank."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


class ExactProduct:
    """``A @ B + bias`` by NumPy, in float32."""

    def __init__(self, B: NDArray[Any], bias: NDArray[Any]) -> None:
        self.B = np.ascontiguousarray(B, np.float32)
        self.bias = bias.astype(np.float32) if bias.any() else None

    def __call__(self, A: ArrayLike) -> NDArray[np.float32]:
        """Return the outputs of rows (N, D), (N, M) float32."""
        Y: NDArray[np.float32] = np.asarray(A, np.float32) @ self.B
        if self.bias is not None:
            Y += self.bias
        return Y


class LowRankProduct:
    """``(A @ U) @ V + offset``: the best product of rank r for the rows it was learned from.

    V holds the leading directions of the outputs' variance, and U = B Vᵀ. What is left out is added
    to the offset for the mean row (A-weighted low rank).

    Parameters
    ----------
    B : (D, M)
    bias : (M,)
    mean : (D,)
        The mean of the rows.
    directions : (r, M) float64
        The first r of `maddjit.learning.maddness.goals.leading_directions`.
    """

    def __init__(
        self,
        B: NDArray[Any],
        bias: NDArray[Any],
        mean: NDArray[np.float64],
        directions: NDArray[np.float64],
    ) -> None:
        right = B.astype(np.float64)
        U = right @ directions.T
        self.left, self.right = U.astype(np.float32), directions.astype(np.float32)
        self.offset = (mean @ right - (mean @ U) @ directions + bias).astype(np.float32)

    def __call__(self, A: ArrayLike) -> NDArray[np.float32]:
        """Return the outputs of rows (N, D), (N, M) float32."""
        Y: NDArray[Any] = (np.asarray(A, np.float32) @ self.left) @ self.right
        Y += self.offset
        return Y


class Winners:
    """The indices of the k largest outputs of a product for each row, by NumPy."""

    def __init__(self, product: Callable[[Any], NDArray[Any]], k: int) -> None:
        self.product, self.k = product, k

    def __call__(self, A: ArrayLike) -> NDArray[np.int64]:
        """Return the winners of rows (N, D), the largest first, (N, k) int64."""
        Y = np.asarray(self.product(A))
        if self.k == 1:
            return np.asarray(Y.argmax(axis=1, keepdims=True), np.int64)
        best = np.argpartition(Y, -self.k, axis=1)[:, -self.k :]
        order = np.argsort(-np.take_along_axis(Y, best, axis=1), axis=1, kind="stable")
        return np.asarray(np.take_along_axis(best, order, axis=1), np.int64)
