"""The report on rows kept back: errors of a model against the exact product."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.fit_report import FitReport, Objective
from maddjit.learning.ranking import agreement


def describe(
    outputs: NDArray[np.float32],
    product: NDArray[np.float64],
    added: NDArray[Any],
    index: NDArray[np.intp],
    held_out: bool,
    objective: Objective,
) -> FitReport:
    """Describe a model's outputs: errors against the product's variance; a bias adds none."""
    errors = outputs - added - product
    square = errors**2
    # What rounding the outputs to float32 may do: half a unit in the last place of three results.
    rounding = (3 * 2.0**-24 * np.abs(product + added).max(axis=0)) ** 2
    output_square, output_variance = square.mean(axis=0), product.var(axis=0)
    row_errors = np.sqrt(square.mean(axis=1))
    worst = np.argsort(-row_errors, kind="stable")[:10]
    return FitReport(
        n_rows=len(product),
        held_out=held_out,
        nmse=float(_ratio(square.mean(), product.var(), rounding.mean())),
        lost_variance=float(_ratio(output_square.sum(), output_variance.sum(), rounding.sum())),
        agreement=agreement(outputs, product + added),
        output_nmse=_ratio(output_square, output_variance, rounding),
        bias=errors.mean(axis=0),
        absolute_error=np.abs(errors).mean(axis=0),
        worst_rows=index[worst],
        worst_errors=row_errors[worst],
        objective=objective,
    )


def _ratio(error: Any, variance: Any, rounding: Any) -> NDArray[np.float64]:
    """Return error / variance; where nothing varies 0 if only rounding is wrong, else infinity."""
    varies = variance > rounding
    constant = np.where(error <= rounding, 0.0, np.inf)
    return np.where(varies, error / np.where(varies, variance, 1.0), constant)
