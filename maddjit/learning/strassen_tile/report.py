"""The report on a tile model: its error beside those of a low-rank product and of bfloat16."""

from __future__ import annotations

import numpy as np

from maddjit.arrays.formats import bfloat16_to_float32, float32_to_bfloat16
from maddjit.learning.strassen_tile.moments import Array, Moments
from maddjit.learning.task import Task
from maddjit.models.strassen_tile import StrassenTileModel, TileReport
from maddjit.reference.strassen_tile import multiply


def tile_report_on(
    model: StrassenTileModel,
    unfitted: StrassenTileModel,
    task: Task,
    moments: Moments,
    objective: tuple[float, ...],
) -> TileReport:
    """Return the report on a model for the rows to judge by.

    Errors are relative to the variance of the product, to which a bias adds nothing. `unfitted` is
    the scheme that the model started from, and `moments` are those of the training rows.
    """
    A, right, product = task.judged.astype(np.float64), task.B.astype(np.float64), task.product
    every = tuple(range(A.ndim - 1))
    power = ((product - product.mean(axis=every)) ** 2).sum()
    n_rows = A.size // A.shape[-1]

    def lost(outputs: Array) -> float:
        if n_rows == 1:
            return float("nan")
        error = float(((outputs - product) ** 2).sum())
        return error / float(power) if power > 0 else (0.0 if error == 0 else float("inf"))

    rank = min(int(model.multiplications / sum(right.shape)), *right.shape)
    return TileReport(
        n_rows=n_rows,
        held_out=task.held_out,
        error=lost(multiply(model, A) - task.bias),
        unfitted=lost(multiply(unfitted, A) - task.bias),
        low_rank=lost(_low_rank(A, right, moments, rank)),
        rank=rank,
        bfloat16=lost(_rounded(A) @ _rounded(right)),
        objective=objective,
    )


def _low_rank(A: Array, B: Array, moments: Moments, rank: int) -> Array:
    """Return A · B in the leading directions of the training outputs, and its mean elsewhere."""
    from scipy.linalg import eigh

    D, M = B.shape
    mean = moments.mean.ravel()[:D]
    if rank == 0:
        return np.broadcast_to(mean @ B, (*A.shape[:-1], M))
    second = moments.covariance[:D, :D]
    if M <= D:
        directions = _leading(B.T @ second @ B, rank)
    else:
        variances, axes = eigh(second)
        root = axes * np.sqrt(np.maximum(variances, 0))
        directions, _ = np.linalg.qr(B.T @ (root @ _leading(root.T @ B @ (B.T @ root), rank)))
    return np.asarray(((A - mean) @ (B @ directions)) @ directions.T + mean @ B)


def _leading(matrix: Array, rank: int) -> Array:
    """Return the eigenvectors of the `rank` largest eigenvalues, (·, rank)."""
    from scipy.linalg import eigh

    size = len(matrix)
    return np.asarray(eigh(matrix, subset_by_index=[size - rank, size - 1])[1])


def _rounded(values: Array) -> Array:
    """Return values rounded to float32, and then to bfloat16."""
    bits = float32_to_bfloat16(values.astype(np.float32))
    return bfloat16_to_float32(bits).astype(np.float64)
