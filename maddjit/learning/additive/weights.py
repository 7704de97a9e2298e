"""Real weights become bytes whose products with bytes can be summed in 16 bits, four at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.additive import settings


def byte_scales(weights: NDArray[Any]) -> NDArray[np.float64]:
    """Return the largest scale of each output with which its weights become bytes.

    Of eight neighbours, the first, second, fifth and sixth are a group, and the others are one. The
    positive weights of a group add up to 128 at most, after rounding, and so do the negative ones:
    255 · 128 fits 16 bits. Outputs whose weights are all 0 have scale 1.

    Parameters
    ----------
    weights : (..., n) array
        The weights of each output.

    Returns
    -------
    (...) float64
    """
    n = weights.shape[-1]
    padded = np.zeros((*weights.shape[:-1], -(-n // 8) * 8))
    padded[..., :n] = weights
    groups = padded.reshape(*weights.shape[:-1], -1, 2, 2, 2)  # eights, halves, pairs, neighbours
    largest = np.maximum(
        np.maximum(groups, 0).sum(axis=(-3, -1)).max(axis=(-2, -1)),
        np.maximum(-groups, 0).sum(axis=(-3, -1)).max(axis=(-2, -1)),
    )
    scales = settings.MOST_IN_GROUP / np.where(largest > 0, largest, settings.MOST_IN_GROUP)
    return np.asarray(scales)
