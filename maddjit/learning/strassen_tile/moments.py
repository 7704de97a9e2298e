"""The moments of training rows in blocks of columns, which are all that a fit needs of the rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""An array of float64."""


@dataclass(frozen=True)
class Moments:
    """Mean and second moments of rows, and their product with B, cut into blocks.

    Rows of a tile may be correlated if they are neighbours of a sequence. Then there are moments of
    rows p places apart, for each p of `places`.

    Attributes
    ----------
    mean : (d, Dk) float64
        µ, the mean row.
    second : (·, d, d, Dk, Dk) float64
        S_p = E x x'ᵀ for centred rows x = a − µ and x', which stands p places behind x, block by
        block. For p = 0, which comes first, x' is x.
    product : (·, d, Dk, m, Mk) float64
        S_p B.
    power : float
        tr Bᵀ S_0 B, the variance of all outputs of one row.
    """

    mean: Array
    second: Array
    product: Array
    power: float

    @property
    def places(self) -> list[int]:
        """How far behind the first row the second stands: 0, and then 1, −1, 2, −2 and so on."""
        return _places(len(self.second) // 2)

    @classmethod
    def of(cls, rows: NDArray[Any], B: NDArray[Any], shape: Any, jitter: float) -> Moments:
        """Return the moments of rows with white noise of `jitter` times their mean variance.

        Rows (N, D) are independent. Of sequences (S, T, D) rows up to n − 1 places apart are
        correlated. Mean rows stand outside of each sequence. So the moments of n neighbours are a
        covariance, whose eigenvalues are not below zero.
        """
        D = rows.shape[-1]
        mean = rows.mean(axis=tuple(range(rows.ndim - 1)), dtype=np.float64)
        centred = rows - mean
        n_places = min(shape[0], rows.shape[1]) - 1 if rows.ndim == 3 else 0
        second = np.empty((2 * n_places + 1, D, D))
        second[0] = _summed(centred, centred)
        for place in range(1, n_places + 1):
            moment = second[2 * place - 1] = _summed(centred[:, :-place], centred[:, place:])
            second[2 * place] = moment.T
        second /= centred.size // D
        variances = np.einsum("ii->i", second[0])
        variances += jitter * (variances.sum() or 1.0) / D
        product = second @ B
        return cls._cut(mean, second, product, float((B * product[0]).sum()), shape)

    def cut(self, shape: Any, n_features: int, n_outputs: int) -> Moments:
        """Return the same moments cut into blocks for tiles of another shape, of no more rows."""
        D, M = self.mean.size, self.product[0, 0, 0].size
        n_places = min(len(self.second), 2 * shape[0] - 1)
        return self._cut(
            self.mean.reshape(D)[:n_features],
            (self._whole(number)[:n_features, :n_features] for number in range(n_places)),
            self.product.reshape(-1, D, M)[:n_places, :n_features, :n_outputs],
            self.power,
            shape,
        )

    @classmethod
    def _cut(
        cls, mean: Array, second: Iterable[Array], product: Array, power: float, shape: Any
    ) -> Moments:
        """Return whole matrices cut into blocks, with zeros behind the last block."""
        _, d, m = shape
        n_places, n_features, n_outputs = product.shape
        Dk, Mk = -(-n_features // d), -(-n_outputs // m)
        more, none = (0, d * Dk - n_features), (0, 0)
        blocks = np.empty((n_places, d, d, Dk, Dk))
        for whole, cut in zip(second, blocks, strict=True):
            cut[:] = np.pad(whole, more).reshape(d, Dk, d, Dk).swapaxes(1, 2)
        return cls(
            np.pad(mean, more).reshape(d, Dk),
            blocks,
            np.pad(product, (none, more, (0, m * Mk - n_outputs))).reshape(-1, d, Dk, m, Mk),
            power,
        )

    @property
    def covariance(self) -> Array:
        """S_0 as one matrix, with zeros behind the last column."""
        return self._whole(0)

    def _whole(self, number: int) -> Array:
        """Return a moment as a whole matrix."""
        D = self.mean.size
        whole: Array = self.second[number].swapaxes(1, 2).reshape(D, D)
        return whole


def _places(n_places: int) -> list[int]:
    """Return 0, and then 1, −1 and so on up to a number of places."""
    return [0, *(sign * place for place in range(1, n_places + 1) for sign in (1, -1))]


def _summed(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """Return the sum of the products of two equally long lists of rows."""
    first, second = (rows.reshape(-1, rows.shape[-1]) for rows in (left, right))
    total: NDArray[Any] = first.T @ second
    return total
