"""Random models, whose sums take 16 bits."""

from __future__ import annotations

import numpy as np

from maddjit.models.encoders import HashTrees
from maddjit.models.maddness import MaddnessModel


def random_model(D: int, M: int, C: int, K: int) -> MaddnessModel:
    """Return a model of random numbers, whose sums take 16 bits."""
    rng = np.random.default_rng(0)
    return MaddnessModel(
        HashTrees(
            rng.integers(0, D, (C, K.bit_length() - 1)),
            rng.standard_normal((C, K - 1)).astype(np.float32),
            D,
        ),
        tables=rng.integers(0, 256, (C, K, M)),
        scale=np.ones(M, np.float32),
        offset=np.zeros(M, np.float32),
    )
