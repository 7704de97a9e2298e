"""The result of a learner: trees and real tables, before they are rounded to 8 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.models.encoders import HashTrees
from maddjit.models.maddness import MaddnessModel


@dataclass(frozen=True)
class Learned:
    """Trees and tables with ``A @ B ≈ base + Σ tables[c, code] + (A @ projection) @ expansion``.

    Attributes
    ----------
    split_dims : (C, T) int32
    thresholds : (C, K − 1) float32
    tables : (C, K, M) float64
    base : (M,) float64
        The part of the outputs that all rows share.
    gram : (C·K, C·K) float64, optional
        How often two codes meet in a row, which tells how the rounding of one entry changes the
        errors of others.
    core : pair of (D, r) and (r, M), optional
        `projection` and `expansion`.
    """

    split_dims: NDArray[np.int32]
    thresholds: NDArray[np.float32]
    tables: NDArray[np.float64]
    base: NDArray[np.float64]
    gram: NDArray[np.float64] | None = None
    core: tuple[NDArray[Any], NDArray[Any]] | None = None

    def trees(self, n_features: int) -> HashTrees:
        """Return the trees, for rows of so many columns."""
        return HashTrees(self.split_dims, self.thresholds, n_features)

    def encoder(self, n_features: int) -> MaddnessModel:
        """Return a model that encodes rows by these trees; its single output means nothing."""
        return MaddnessModel(
            self.trees(n_features),
            tables=np.zeros((*self.tables.shape[:2], 1), np.uint8),
            scale=np.ones(1, np.float32),
            offset=np.zeros(1, np.float32),
        )
