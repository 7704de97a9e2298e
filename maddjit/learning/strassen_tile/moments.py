"""The moments of training rows in blocks of columns, which are all that a fit needs of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""An array of float64."""


@dataclass(frozen=True)
class Moments:
    """Mean and second moments of rows, and their product with B, cut into blocks.

    Attributes
    ----------
    mean : (d, Dk) float64
        µ, the mean row.
    second : (d, Dk, d, Dk) float64
        S = E x xᵀ for centred rows x = a − µ.
    product : (d, Dk, m, Mk) float64
        S B.
    power : float
        tr Bᵀ S B, the variance of all outputs of one row.
    """

    mean: Array
    second: Array
    product: Array
    power: float

    @classmethod
    def of(cls, rows: NDArray[Any], B: NDArray[Any], shape: Any, jitter: float) -> Moments:
        """Return the moments of rows with white noise of `jitter` times their mean variance."""
        mean = rows.mean(axis=0, dtype=np.float64)
        centred = rows - mean
        second = (centred.T @ centred / len(rows)).astype(np.float64)
        variances = np.einsum("ii->i", second)
        variances += jitter * (variances.sum() or 1.0) / len(variances)
        product = second @ B
        return cls._cut(mean, second, product, float((B * product).sum()), shape)

    def cut(self, shape: Any, n_features: int, n_outputs: int) -> Moments:
        """Return the same moments cut into blocks for tiles of another shape."""
        D, M = self.mean.size, self.product[0, 0].size
        return self._cut(
            self.mean.reshape(D)[:n_features],
            self.second.reshape(D, D)[:n_features, :n_features],
            self.product.reshape(D, M)[:n_features, :n_outputs],
            self.power,
            shape,
        )

    @classmethod
    def _cut(cls, mean: Array, second: Array, product: Array, power: float, shape: Any) -> Moments:
        """Return whole matrices cut into blocks, with zeros behind the last block."""
        _, d, m = shape
        n_features, n_outputs = product.shape
        Dk, Mk = -(-n_features // d), -(-n_outputs // m)
        more = (0, d * Dk - n_features)
        return cls(
            np.pad(mean, more).reshape(d, Dk),
            np.pad(second, more).reshape(d, Dk, d, Dk),
            np.pad(product, (more, (0, m * Mk - n_outputs))).reshape(d, Dk, m, Mk),
            power,
        )
