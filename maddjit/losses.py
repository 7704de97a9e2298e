"""How far a product is from the exact one: by its numbers, by its winners, by the user's metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Operator = Callable[[Any], NDArray[Any]]
Metric = Literal["nmse", "agreement"] | Callable[[NDArray[Any], Any], float]
"""A function takes outputs (N, M) and the targets of their rows; more is better."""


@dataclass(frozen=True)
class Loss:
    """What an approximation loses on some rows, 0 if nothing.

    Attributes
    ----------
    metric : Metric
        "nmse": mean((Ŷ − Y)²) / var(Y). "agreement": the share of rows with another arg-max. A
        function: how much lower it is than for the exact product.
    rows : (N, D)
    exact : (N, M) float32
    targets : (N, …), optional
    """

    metric: Metric
    rows: NDArray[Any]
    exact: NDArray[np.float32]
    targets: Any = None

    def __call__(self, operator: Operator) -> float:
        """Return the loss of an operator."""
        Y = operator(self.rows)
        if self.metric == "nmse":
            error = np.mean((Y - self.exact.astype(np.float64)) ** 2)
            return float(error / (self.exact.var(dtype=np.float64) or 1.0))
        if self.metric == "agreement":
            return float(np.mean(Y.argmax(axis=1) != self.exact.argmax(axis=1)))
        assert callable(self.metric)
        lost = self.metric(self.exact, self.targets) - self.metric(Y, self.targets)
        return round(float(lost), 12)  # shares of a hundred rows differ by hundredths, not nearly


def name_of(metric: Metric) -> str:
    """Return what tables and axes call the loss.

    Raises
    ------
    ValueError
        If the metric is unknown.
    """
    if metric == "nmse":
        return "NMSE"
    if metric == "agreement":
        return "arg-max differs"
    if not callable(metric):
        raise ValueError(f'metric must be "nmse", "agreement" or a function, not {metric!r}')
    return f"loss of {getattr(metric, '__name__', 'the metric')}"
