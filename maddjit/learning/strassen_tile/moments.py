"""The moments of training rows in blocks of columns, which are all that a fit needs of the rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""An array of float64."""


class Lagged(NamedTuple):
    """Moments of rows x and the rows x' that stand a given number of places behind them.

    Attributes
    ----------
    second : (d, d, Dk, Dk) float64
        E x x'ᵀ, which is not symmetric.
    ahead, behind : (d, Dk, m, Mk) float64
        E x (x' B) and E x' (x B).
    """

    second: Array
    ahead: Array
    behind: Array


@dataclass(frozen=True)
class Moments:
    """Mean and second moments of rows, and their product with B, cut into blocks.

    Attributes
    ----------
    mean : (d, Dk) float64
        µ, the mean row.
    second : (d, d, Dk, Dk) float64
        S = E x xᵀ for centred rows x = a − µ, block by block.
    product : (d, Dk, m, Mk) float64
        S B.
    power : float
        tr Bᵀ S B, the variance of all outputs of one row.
    lagged : tuple of Lagged
        Moments of rows that stand 1, 2, … places apart. There are none for rows that are drawn
        independently, and n − 1 for n neighbours of a sequence.
    """

    mean: Array
    second: Array
    product: Array
    power: float
    lagged: tuple[Lagged, ...] = ()

    @classmethod
    def of(cls, rows: NDArray[Any], B: NDArray[Any], shape: Any, jitter: float) -> Moments:
        """Return the moments of rows with white noise of `jitter` times their mean variance.

        Rows (N, D) are independent. Of sequences (S, T, D) rows at most n − 1 places apart are
        correlated. Outside of a sequence there are mean rows: so the moments of n neighbours are a
        covariance, whose eigenvalues are not below zero, and pairs of which there are few count
        less.
        """
        D = rows.shape[-1]
        mean = rows.mean(axis=tuple(range(rows.ndim - 1)), dtype=np.float64)
        centred = rows - mean
        n_rows = centred.size // D
        second = _second(centred, centred)
        variances = np.einsum("ii->i", second)
        variances += jitter * (variances.sum() or 1.0) / len(variances)
        product = second @ B
        power = float((B * product).sum())
        n_lags = min(shape[0], rows.shape[1]) - 1 if rows.ndim == 3 else 0
        lagged = (
            _second(centred[:, :-lag], centred[:, lag:], n_rows) for lag in range(1, n_lags + 1)
        )
        whole = ((matrix, matrix @ B, matrix.T @ B) for matrix in lagged)
        return cls._cut(mean, second, product, power, whole, shape)

    def cut(self, shape: Any, n_features: int, n_outputs: int) -> Moments:
        """Return the same moments cut into blocks for tiles of another shape, of no more rows."""
        D, M = self.mean.size, self.product[0, 0].size

        def second(blocks: Array) -> Array:
            return _as_matrix(blocks)[:n_features, :n_features]

        def product(blocks: Array) -> Array:
            return blocks.reshape(D, M)[:n_features, :n_outputs]

        return self._cut(
            self.mean.reshape(D)[:n_features],
            second(self.second),
            product(self.product),
            self.power,
            (
                (second(lag.second), product(lag.ahead), product(lag.behind))
                for lag in self.lagged[: shape[0] - 1]
            ),
            shape,
        )

    @classmethod
    def _cut(
        cls,
        mean: Array,
        second: Array,
        product: Array,
        power: float,
        lagged: Iterator[tuple[Array, Array, Array]],
        shape: Any,
    ) -> Moments:
        """Return whole matrices cut into blocks, with zeros behind the last block."""
        _, d, m = shape
        n_features, n_outputs = product.shape
        Dk, Mk = -(-n_features // d), -(-n_outputs // m)
        more = (0, d * Dk - n_features)

        def squares(matrix: Array) -> Array:
            blocks = np.pad(matrix, more).reshape(d, Dk, d, Dk).transpose(0, 2, 1, 3)
            return np.ascontiguousarray(blocks)

        def with_outputs(matrix: Array) -> Array:
            return np.pad(matrix, (more, (0, m * Mk - n_outputs))).reshape(d, Dk, m, Mk)

        return cls(
            np.pad(mean, more).reshape(d, Dk),
            squares(second),
            with_outputs(product),
            power,
            tuple(
                Lagged(squares(moment), with_outputs(ahead), with_outputs(behind))
                for moment, ahead, behind in lagged
            ),
        )

    @property
    def whole(self) -> Array:
        """S as one matrix, with zeros behind the last column."""
        return _as_matrix(self.second)


def _as_matrix(blocks: Array) -> Array:
    """Return blocks (d, d, Dk, Dk) as the matrix that they were cut from."""
    d, _, Dk, _ = blocks.shape
    return blocks.transpose(0, 2, 1, 3).reshape(d * Dk, d * Dk)


def _second(left: NDArray[Any], right: NDArray[Any], n_rows: int = 0) -> Array:
    """Return the sum of the products of two equally long lists of rows over a number of rows."""
    before, behind = (rows.reshape(-1, rows.shape[-1]) for rows in (left, right))
    return np.asarray((before.T @ behind / (n_rows or len(before))).astype(np.float64))
