"""The goals of tables: the centred product without its core, in its leading directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness.settings import NEGLIGIBLE_VARIANCE


@dataclass(frozen=True)
class Goals:
    """The product (a − mean)·B, split into a core of low rank and what tables approximate.

    Attributes
    ----------
    mean : (D,) float64
        The mean of the rows.
    core : (M, r) float64
        Orthonormal directions of the outputs that the core takes: those of largest variance.
    right : (D, Q) float64
        The map from centred rows to the next Q directions, scaled to a mean square of about 1.
    rest : (D, M) float64
        B without the core's directions.
    """

    mean: NDArray[np.float64]
    core: NDArray[np.float64]
    right: NDArray[np.float64]
    rest: NDArray[np.float64]

    @classmethod
    def of(cls, rows: NDArray[Any], B: NDArray[Any], core_rank: int, n_directions: int) -> Goals:
        """Return the split, found from the rows' covariance without all products with B."""
        B = B.astype(np.float64)
        mean = rows.mean(axis=0, dtype=np.float64)
        sizes, directions, variance = leading_directions(rows, B, core_rank + n_directions)
        core, following = directions[:core_rank].T, directions[core_rank:].T
        left_over = 0.0
        if following.size:
            n_left = min(B.shape) - core_rank
            left_over = np.sqrt(max(variance - np.sum(sizes[:core_rank] ** 2), 0) / n_left)
        right = B @ following / left_over if left_over > 0 else np.zeros((len(B), 1))
        return cls(mean, core, right, B - (B @ core) @ core.T)

    def coordinates(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Return what tables are fitted to, (N, Q)."""
        return ((rows - self.mean) @ self.right).astype(np.float32)

    def contribution(self, rows: NDArray[Any], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return what some of the columns add to the coordinates, (N, Q)."""
        centred = rows[:, columns] - self.mean[columns]
        return (centred @ self.right[columns]).astype(np.float32)

    def weighty(
        self, rows: NDArray[Any], columns: NDArray[np.intp], least: int
    ) -> NDArray[np.intp]:
        """Return the columns that matter, at least `least` of them.

        The columns that are left out add up to a thousandth of the coordinates' variance, summed
        over what each column adds alone.
        """
        added = rows[:, columns].var(axis=0, dtype=np.float64) * (self.right[columns] ** 2).sum(1)
        order = np.argsort(-added, kind="stable")
        known = np.cumsum(added[order])
        enough = 1 + int(np.searchsorted(known, (1 - NEGLIGIBLE_VARIANCE) * known[-1]))
        return np.sort(columns[order[: max(least, enough)]])


def leading_directions(
    rows: NDArray[Any], B: NDArray[Any], n_directions: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return the deviations of A·B along orthonormal directions, largest first.

    Returns
    -------
    deviations : (n,) float64
        n is `n_directions`, or min(D, M) if that is less.
    directions : (n, M) float64
    variance : float
        The sum of the squares of all deviations, including those that are not returned.
    """
    from scipy.linalg import eigh, qr

    B = B.astype(np.float64)
    n_features, n_outputs = B.shape
    centred = rows - rows.mean(axis=0, dtype=np.float64)
    if n_features < min(len(rows), n_outputs):
        # The rows' covariance is root @ root.T; it needs no product with all of B.
        variances, axes = np.linalg.eigh(centred.T @ centred)
        centred = (axes * np.sqrt(np.maximum(variances, 0))).T
    product = centred @ B / np.sqrt(len(rows))
    tall = product if len(product) > n_outputs else product.T
    scatter = tall.T @ tall
    n_known = min(n_directions, len(scatter))
    _, axes = eigh(scatter, subset_by_index=(len(scatter) - n_known, len(scatter) - 1))
    axes = axes[:, ::-1]
    if tall is not product:  # these are axes of the rows; multiplied, they become axes of outputs
        n_known = min(n_directions, n_features, n_outputs)
        short = np.zeros((n_outputs, n_known))
        short[:, : axes.shape[1]] = product.T @ axes[:, :n_known]
        axes, _ = qr(short, mode="economic")
    return np.linalg.norm(product @ axes, axis=0), axes.T, float(np.trace(scatter))


def leading(values: NDArray[np.float32], n_directions: int) -> NDArray[np.float32]:
    """Return values in their n coordinates of largest scatter about zero, (N, ≤ n)."""
    if values.shape[1] <= n_directions:
        return values
    _, axes = np.linalg.eigh((values.T @ values).astype(np.float64))
    turned: NDArray[np.float32] = values @ axes[:, -n_directions:].astype(np.float32)
    return turned
