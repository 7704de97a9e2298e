"""What tables are to add up to: the centred product, less its core, in leading coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NEGLIGIBLE = 1e-3


@dataclass(frozen=True)
class Goals:
    """The product (a − mean)·B as a sum of a core of low rank and of what tables approximate.

    Attributes
    ----------
    mean : (D,) float64
    core : (M, r) float64
        Orthonormal directions of the outputs that the core takes: those of largest variance.
    right : (D, Q) float64
        Maps centred rows to the next Q directions, scaled to a mean square of about 1.
    rest : (D, M) float64
        B without the core's directions.
    """

    mean: NDArray[np.float64]
    core: NDArray[np.float64]
    right: NDArray[np.float64]
    rest: NDArray[np.float64]

    @classmethod
    def of(cls, rows: NDArray[Any], B: NDArray[Any], core_rank: int, n_directions: int) -> Goals:
        """Find the directions from the rows' covariance; needs no product with all of B."""
        B = B.astype(np.float64)
        mean = rows.mean(axis=0, dtype=np.float64)
        sizes, directions = leading_directions(rows, B)
        core = directions[:core_rank].T
        following = directions[core_rank : core_rank + n_directions].T
        left_over = np.sqrt(np.mean(sizes[core_rank:] ** 2)) if len(sizes) > core_rank else 0.0
        right = B @ following / left_over if left_over > 0 else np.zeros((len(B), 1))
        return cls(mean, core, right, B - (B @ core) @ core.T)

    def coordinates(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Return (N, Q): what tables are fitted to."""
        return ((rows - self.mean) @ self.right).astype(np.float32)

    def contribution(self, rows: NDArray[Any], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return (N, Q): what some columns add to the coordinates."""
        centred = rows[:, columns] - self.mean[columns]
        return (centred @ self.right[columns]).astype(np.float32)

    def weighty(
        self, rows: NDArray[Any], columns: NDArray[np.intp], least: int
    ) -> NDArray[np.intp]:
        """Return the columns that matter, `least` of them or more.

        Without the others a thousandth is missing of what the columns add, each for itself, to the
        variance of the coordinates.
        """
        added = rows[:, columns].var(axis=0, dtype=np.float64) * (self.right[columns] ** 2).sum(1)
        order = np.argsort(-added, kind="stable")
        known = np.cumsum(added[order])
        enough = 1 + int(np.searchsorted(known, (1 - _NEGLIGIBLE) * known[-1]))
        return np.sort(columns[order[: max(least, enough)]])


def leading_directions(
    rows: NDArray[Any], B: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the deviations of A·B along orthonormal directions, largest first, and these.

    Deviations are (min(D, M),), directions (min(D, M), M). They come from the rows' covariance.
    """
    centred = rows - rows.mean(axis=0, dtype=np.float64)
    variances, axes = np.linalg.eigh(centred.T @ centred / len(rows))
    root = axes * np.sqrt(np.maximum(variances, 0))  # covariance = root @ root.T
    _, sizes, directions = np.linalg.svd(root.T @ B.astype(np.float64), full_matrices=False)
    return sizes, directions


def leading(values: NDArray[np.float32], n_directions: int) -> NDArray[np.float32]:
    """Return the coordinates (N, ≤ n) of largest scatter about zero."""
    if values.shape[1] <= n_directions:
        return values
    _, axes = np.linalg.eigh((values.T @ values).astype(np.float64))
    turned: NDArray[np.float32] = values @ axes[:, -n_directions:].astype(np.float32)
    return turned
