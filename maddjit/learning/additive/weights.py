"""Real weights become bytes whose products with bytes can be summed in 16 bits, four at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.additive import settings
from maddjit.models.encoders import MOST_WEIGHT


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


def rounded(
    weights: NDArray[np.float64], scales: NDArray[np.float64], scatter: NDArray[np.float64]
) -> NDArray[np.int8]:
    """Return scaled weights as bytes: later weights of an output make up for what earlier lost.

    This lowers the squared error of products with vectors of this scatter, as in Frantar et al.,
    *GPTQ*, ICLR 2023, and not that of weights. Weights of large effect come first.

    Parameters
    ----------
    weights : (n, Q) float64
        The weights of an output stand in a column.
    scales : (Q,) float64
    scatter : (n, n) float64
        The products of the vectors' elements, summed over vectors.

    Returns
    -------
    (n, Q) int8
    """
    from scipy.linalg import cholesky, solve_triangular

    order = np.argsort(-np.diag(scatter), kind="stable")
    steady = scatter[np.ix_(order, order)].copy()
    steady[np.diag_indices_from(steady)] += settings.DAMPING * np.trace(steady) / len(steady) or 1.0
    # With U Uᵀ = steady, U⁻¹ is the upper factor of its inverse, as for tables.
    lower = cholesky(np.array(steady[::-1, ::-1]), lower=True, overwrite_a=True)
    inverse = solve_triangular(lower, np.eye(len(lower)), lower=True, overwrite_b=True)
    factor = np.array(inverse[::-1, ::-1])
    factor /= np.diag(factor)[:, np.newaxis].copy()
    waiting = weights[order] * scales
    found = np.empty_like(waiting)
    for i in range(len(waiting)):
        found[i] = np.clip(np.rint(waiting[i]), -MOST_WEIGHT, MOST_WEIGHT)
        waiting[i + 1 :] -= np.outer(factor[i, i + 1 :], waiting[i] - found[i])
    result = np.empty(weights.shape, np.int8)
    result[order] = found
    return result
