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
    # Sums of float32 far from zero would be more wrong than the columns are wide.
    spread = (_NOISE * rows.std(axis=0, dtype=np.float64)).astype(rows.dtype)
    made = [rows]
    for _ in range(copies):
        others = rows[rng.permutation(len(rows))]
        share = rng.uniform(0, _MIX, (len(rows), 1)).astype(rows.dtype)
        noise = spread * rng.standard_normal(rows.shape, dtype=np.float32)
        made.append((rows + share * (others - rows) + noise).astype(rows.dtype))
    return Sample(np.concatenate(made), len(rows))
