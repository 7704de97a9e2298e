"""Rows to learn from: real rows, and synthetic rows whose products are known just as exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness import settings


@dataclass(frozen=True)
class Sample:
    """Rows with weights, the real rows first.

    Attributes
    ----------
    rows : (N', D) float32 or float64
    n_real : int
        How many of them are real, N ≤ N'.
    """

    rows: NDArray[Any]
    n_real: int

    @property
    def weights(self) -> NDArray[np.float32]:
        """The weight of each row, (N',), which is 1 for real rows and less for synthetic ones."""
        weights = np.full(len(self.rows), settings.SYNTHETIC_WEIGHT, np.float32)
        weights[: self.n_real] = 1
        return weights


def some_of(rows: NDArray[Any], most: int) -> NDArray[Any]:
    """Return the rows, or `most` of them in their order.

    They are drawn, always the same ones of as many rows: at even steps, all could be of one kind.
    """
    if len(rows) <= most:
        return rows
    drawn = np.random.default_rng(0).choice(len(rows), most, replace=False)
    return rows[np.sort(drawn)]


def augmented(rows: NDArray[Any], copies: int, rng: np.random.Generator) -> Sample:
    """Return the rows with `copies` synthetic rows for each of them.

    A synthetic row lies up to half way from one row to another, drawn at random, plus normal noise
    of 0.3 standard deviations of each column. B is known, so its product is an exact target.
    """
    n_rows, n_features = rows.shape
    columns = np.ascontiguousarray(rows.T)  # learning reads column by column
    made = np.empty((n_features, (1 + copies) * n_rows), rows.dtype)
    made[:, :n_rows] = columns
    # In float32, sums of numbers far from zero could be off by more than the column varies.
    deviations = rows.std(axis=0, dtype=np.float64)
    spread = (settings.SYNTHETIC_NOISE * deviations).astype(rows.dtype)[:, np.newaxis]
    for first in range(n_rows, made.shape[1], n_rows):
        synthetic = columns[:, rng.permutation(n_rows)]
        synthetic -= columns
        synthetic *= rng.uniform(0, settings.MAX_MIX, (n_rows,)).astype(rows.dtype)
        synthetic += columns
        synthetic += spread * rng.standard_normal(columns.shape, dtype=np.float32)
        made[:, first : first + n_rows] = synthetic
    return Sample(made.T, n_rows)


def copies_for(n_codes: int, n_rows: int, n_features: int) -> int:
    """Return how many synthetic rows to try for each real one, for so many codes in all."""
    if n_codes <= n_rows / settings.ROWS_PER_CODE:
        return 0
    if n_rows < 2000:
        return int(np.clip(settings.MAX_SYNTHETIC // (n_rows * n_features), 3, 20))
    return 3 if n_rows < 20000 else 1
