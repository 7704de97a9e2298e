"""K-means: centres seeded far from each other, then moved to the means of their rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.additive import settings
from maddjit.learning.maddness.regression import one_hot

Points = NDArray[np.float32]


def nearest(points: Points, centres: Points) -> NDArray[np.intp]:
    """Return the nearest centre of each point, of equally near ones the first, (N,)."""
    labels: NDArray[np.intp] = ((centres**2).sum(axis=1) / 2 - points @ centres.T).argmin(axis=1)
    return labels


def clustered(points: Points, n_centres: int, rng: np.random.Generator) -> Points:
    """Return the centres of some of the points, (K, Q).

    Centres without points stay where they were.
    """
    most = max(settings.CLUSTERED_ROWS, settings.CLUSTERED_ROWS_PER_PROTOTYPE * n_centres)
    if len(points) > most:
        points = points[rng.choice(len(points), most, replace=False)]
    centres = _seeds(points, n_centres, rng)
    for _ in range(settings.LLOYD_TURNS):
        labels = nearest(points, centres)
        counts = np.bincount(labels, minlength=n_centres)[:, np.newaxis]
        sums = one_hot(labels[:, np.newaxis], n_centres).T @ points
        moved = np.where(counts > 0, sums / np.maximum(counts, 1), centres)
        centres = moved.astype(np.float32)
    return centres


def _seeds(points: Points, n_centres: int, rng: np.random.Generator) -> Points:
    """Return points to begin with: of a few drawn by their squared distance the best, each time."""
    sizes = (points**2).sum(axis=1)
    distances = np.full(len(points), np.inf, np.float32)
    chosen = []
    for _ in range(n_centres):
        weights = np.where(np.isfinite(distances), distances, 1).astype(np.float64)
        total = weights.sum()
        shares = weights / total if total > 0 else None
        drawn = rng.choice(len(points), settings.SEEDS_TRIED, p=shares)
        far = sizes - 2 * (points[drawn] @ points.T) + sizes[drawn][:, np.newaxis]
        closer = np.minimum(distances, np.maximum(far, 0))
        best = int(closer.sum(axis=1, dtype=np.float64).argmin())
        chosen.append(drawn[best])
        distances = closer[best]
    return points[chosen]
