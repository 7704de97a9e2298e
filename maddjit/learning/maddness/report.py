"""The report on a fit: errors of a model's outputs against the exact product."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.formats import UNIT_ROUNDOFF
from maddjit.learning.ranking import agreement
from maddjit.learning.task import Task
from maddjit.models.fit_report import FitReport, Objective

_NOISE = 2.0**-45
"""Variation up to this share of a product's largest entry may be mere rounding in float64."""

_N_WORST = 10
"""Rows with the largest errors that a report names."""


def fit_report_on(outputs: NDArray[np.float32], task: Task, objective: Objective) -> FitReport:
    """Return the report on a model's outputs for the rows to judge by.

    Errors are relative to the variance of the product, to which a bias adds nothing. A single row
    has no variance: all relative errors are NaN then.
    """
    product, exact = task.product, task.exact
    errors = outputs - task.bias - product
    square = errors**2
    # Rounding the outputs to float32 may cost half a unit in the last place of three results.
    rounding = (3 * UNIT_ROUNDOFF * np.abs(exact).max(axis=0)) ** 2
    noise = (_NOISE * np.abs(product).max(axis=0)) ** 2
    output_square, output_variance = square.mean(axis=0), product.var(axis=0)
    variance = product.var()
    row_errors = np.sqrt(square.mean(axis=1))
    worst = np.argsort(-row_errors, kind="stable")[:_N_WORST]
    if len(product) == 1:
        variance, output_variance = np.nan, np.full_like(output_variance, np.nan)
    return FitReport(
        n_rows=len(product),
        held_out=task.held_out,
        nmse=float(_ratio(square.mean(), variance, noise.mean(), rounding.mean())),
        lost_variance=float(
            _ratio(output_square.sum(), output_variance.sum(), noise.sum(), rounding.sum())
        ),
        agreement=agreement(outputs, exact),
        output_nmse=_ratio(output_square, output_variance, noise, rounding),
        bias=errors.mean(axis=0),
        absolute_error=np.abs(errors).mean(axis=0),
        worst_rows=task.places[worst],
        worst_errors=row_errors[worst],
        objective=objective,
    )


def _ratio(error: Any, variance: Any, noise: Any, rounding: Any) -> NDArray[np.float64]:
    """Return error / variance; where nothing varies, 0 for mere rounding and infinity for more."""
    varies = np.isnan(variance) | (variance > noise)
    constant = np.where(error <= rounding, 0.0, np.inf)
    return np.where(varies, error / np.where(varies, variance, 1.0), constant)
