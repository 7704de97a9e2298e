"""Rows kept back, and the report on them: errors of a model against the exact product."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.checks import as_training_matrix
from maddjit.learning.ranking import agreement
from maddjit.models.fit_report import FitReport, Objective

_NOISE = 2.0**-45
"""What the float64 rounding of a product may be of its largest entry; less does not vary."""


def split(
    rows: NDArray[Any], validation: float | ArrayLike, random_state: int
) -> tuple[NDArray[Any], NDArray[Any] | None, NDArray[np.intp]]:
    """Return training rows, rows to judge by (None: there are none), and the latter's indices."""
    if np.ndim(validation) == 0:
        share = float(validation)  # type: ignore[arg-type]
        if not 0 <= share < 1:
            raise ValueError(f"validation must be a share from 0 to below 1 or rows, not {share}")
        n_held = int(share * len(rows)) if len(rows) >= 20 else 0
        if n_held == 0:
            return rows, None, np.arange(len(rows))
        order = np.random.default_rng(random_state).permutation(len(rows))
        held, kept = np.sort(order[:n_held]), np.sort(order[n_held:])
        return rows[kept], rows[held], held
    held_rows = as_training_matrix("validation", validation)
    if held_rows.shape[1] != rows.shape[1]:
        raise ValueError(
            f"validation must have {rows.shape[1]} columns like A_train, not {held_rows.shape[1]}"
        )
    return rows, held_rows, np.arange(len(held_rows))


def describe(
    outputs: NDArray[np.float32],
    product: NDArray[np.float64],
    added: NDArray[Any],
    index: NDArray[np.intp],
    held_out: bool,
    objective: Objective,
) -> FitReport:
    """Describe a model's outputs: errors against the product's variance; a bias adds none.

    Of a single row there is no variance, and all that is relative to it is NaN.
    """
    errors = outputs - added - product
    square = errors**2
    # What rounding the outputs to float32 may do: half a unit in the last place of three results.
    rounding = (3 * 2.0**-24 * np.abs(product + added).max(axis=0)) ** 2
    noise = (_NOISE * np.abs(product).max(axis=0)) ** 2
    output_square, output_variance = square.mean(axis=0), product.var(axis=0)
    variance = product.var()
    row_errors = np.sqrt(square.mean(axis=1))
    worst = np.argsort(-row_errors, kind="stable")[:10]
    if len(product) == 1:
        variance, output_variance = np.nan, np.full_like(output_variance, np.nan)
    return FitReport(
        n_rows=len(product),
        held_out=held_out,
        nmse=float(_ratio(square.mean(), variance, noise.mean(), rounding.mean())),
        lost_variance=float(
            _ratio(output_square.sum(), output_variance.sum(), noise.sum(), rounding.sum())
        ),
        agreement=agreement(outputs, product + added),
        output_nmse=_ratio(output_square, output_variance, noise, rounding),
        bias=errors.mean(axis=0),
        absolute_error=np.abs(errors).mean(axis=0),
        worst_rows=index[worst],
        worst_errors=row_errors[worst],
        objective=objective,
    )


def _ratio(error: Any, variance: Any, noise: Any, rounding: Any) -> NDArray[np.float64]:
    """Return error / variance; where nothing varies 0 if only rounding is wrong, else infinity."""
    varies = np.isnan(variance) | (variance > noise)
    constant = np.where(error <= rounding, 0.0, np.inf)
    return np.where(varies, error / np.where(varies, variance, 1.0), constant)
