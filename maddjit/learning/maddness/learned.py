"""The result of a learner: an encoder and real tables, before they are rounded to 8 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.models.encoders import Encoder
from maddjit.models.maddness import MaddnessModel


@dataclass(frozen=True)
class Learned:
    """An encoder and tables: ``A @ B ≈ base + Σ tables[c, code] + (A @ projection) @ expansion``.

    Attributes
    ----------
    encoder : HashTrees or AdditiveCodes
    tables : (C, K, M) float64
    base : (M,) float64
        The part of the outputs that all rows share.
    gram : (C·K, C·K) float64, optional
        How often two codes meet in a row, which tells how the rounding of one entry changes the
        errors of others.
    core : pair of (D, r) and (r, M), optional
        `projection` and `expansion`.
    """

    encoder: Encoder
    tables: NDArray[np.float64]
    base: NDArray[np.float64]
    gram: NDArray[np.float64] | None = None
    core: tuple[NDArray[Any], NDArray[Any]] | None = None

    def encoding(self) -> MaddnessModel:
        """Return a model that encodes rows like this one; its single output means nothing."""
        return MaddnessModel(
            self.encoder,
            tables=np.zeros((*self.tables.shape[:2], 1), np.uint8),
            scale=np.ones(1, np.float32),
            offset=np.zeros(1, np.float32),
        )
