"""Rows to learn from: the real ones, and synthetic ones whose products are known as exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SYNTHETIC_WEIGHT = 0.05
"""What a synthetic row counts in a regression beside a real one's 1."""

_MIX, _NOISE = 0.5, 0.3


@dataclass(frozen=True)
class Sample:
    """Rows with weights, real ones first.

    Attributes
    ----------
    rows : (N', D) float32 or float64
    n_real : int
        N ≤ N'.
    """

    rows: NDArray[Any]
    n_real: int

    @property
    def weights(self) -> NDArray[np.float32]:
        """(N',): 1 for real rows."""
        weights = np.full(len(self.rows), SYNTHETIC_WEIGHT, np.float32)
        weights[: self.n_real] = 1
        return weights


def augmented(rows: NDArray[Any], copies: int, rng: np.random.Generator) -> Sample:
    """Add `copies` synthetic rows for each row: B is known, so their products are exact targets.

    A synthetic row lies up to half way from a row to another one, drawn at random, plus normal
    noise of 0.3 standard deviations of each column.
    """
    n_rows, n_features = rows.shape
    columns = np.ascontiguousarray(rows.T)  # what learns goes over columns
    made = np.empty((n_features, (1 + copies) * n_rows), rows.dtype)
    made[:, :n_rows] = columns
    # Sums of float32 far from zero would be more wrong than the columns are wide.
    spread = (_NOISE * rows.std(axis=0, dtype=np.float64)).astype(rows.dtype)[:, np.newaxis]
    for first in range(n_rows, made.shape[1], n_rows):
        synthetic = columns[:, rng.permutation(n_rows)]
        synthetic -= columns
        synthetic *= rng.uniform(0, _MIX, (n_rows,)).astype(rows.dtype)
        synthetic += columns
        synthetic += spread * rng.standard_normal(columns.shape, dtype=np.float32)
        made[:, first : first + n_rows] = synthetic
    return Sample(made.T, n_rows)
