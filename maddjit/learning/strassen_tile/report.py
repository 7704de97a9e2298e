"""What a tile operator loses on rows kept back, beside a product of low rank and bfloat16."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.formats import bfloat16_to_float32, float32_to_bfloat16
from maddjit.learning.strassen_tile.steps import Moments
from maddjit.models.strassen_tile import StrassenTileModel, TileReport
from maddjit.reference.strassen_tile import multiply

Array = NDArray[np.float64]


def describe(
    model: StrassenTileModel,
    unfitted: StrassenTileModel,
    rows: NDArray[Any],
    B: NDArray[Any],
    added: NDArray[Any],
    moments: Moments,
    held_out: bool,
    objective: tuple[float, ...],
) -> TileReport:
    """Measure models, and what costs as much, on rows that `moments` were not taken from.

    `added` is the bias that was asked for; errors are relative to the product's variance.
    """
    A, right = rows.astype(np.float64), B.astype(np.float64)
    product = A @ right
    power = ((product - product.mean(axis=0)) ** 2).sum()

    def lost(outputs: Array) -> float:
        if len(rows) == 1:
            return float("nan")
        error = float(((outputs - product) ** 2).sum())
        return error / float(power) if power > 0 else (0.0 if error == 0 else float("inf"))

    rank = min(int(model.multiplications / sum(B.shape)), *B.shape)
    return TileReport(
        n_rows=len(rows),
        held_out=held_out,
        error=lost(multiply(model, A) - added),
        unfitted=lost(multiply(unfitted, A) - added),
        low_rank=lost(_low_rank(A, right, moments, rank)),
        rank=rank,
        bfloat16=lost(_rounded(A) @ _rounded(right)),
        objective=objective,
    )


def _low_rank(A: Array, B: Array, moments: Moments, rank: int) -> Array:
    """Return A · B on the leading directions of the training outputs, the mean elsewhere."""
    from scipy.linalg import eigh

    D, M = B.shape
    mean = moments.mean.ravel()[:D]
    if rank == 0:
        return np.broadcast_to(mean @ B, (len(A), M))
    d, Dk = moments.mean.shape
    second = moments.second.reshape(d * Dk, d * Dk)[:D, :D]
    if M <= D:
        directions = _leading(B.T @ second @ B, rank)
    else:
        variances, axes = eigh(second)
        root = axes * np.sqrt(np.maximum(variances, 0))
        directions, _ = np.linalg.qr(B.T @ (root @ _leading(root.T @ B @ (B.T @ root), rank)))
    return np.asarray(((A - mean) @ (B @ directions)) @ directions.T + mean @ B)


def _leading(matrix: Array, rank: int) -> Array:
    """Return the eigenvectors of the largest eigenvalues, (·, rank)."""
    from scipy.linalg import eigh

    size = len(matrix)
    return np.asarray(eigh(matrix, subset_by_index=[size - rank, size - 1])[1])


def _rounded(values: Array) -> Array:
    bits = float32_to_bfloat16(values.astype(np.float32))
    return bfloat16_to_float32(bits).astype(np.float64)
