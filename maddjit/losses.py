"""How far a product is from the exact one: by its numbers, by its winners, by the user's metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Operator = Callable[[Any], NDArray[Any]]
Metric = Literal["nmse", "agreement", "argmax", "topk"] | Callable[[NDArray[Any], Any], float]
"""A function takes outputs (N, M) and the targets of their rows; more is better."""


@dataclass(frozen=True)
class Loss:
    """What an approximation loses on some rows, 0 if nothing.

    Attributes
    ----------
    metric : Metric
        "nmse": mean((Ŷ − Y)²) / var(Y), to whose variance a bias adds nothing. "agreement": the
        share of rows with another arg-max. "argmax", "topk": the share of the exact winners that
        is not named. A function: how much lower it is than for the exact product.
    rows : (N, D) float32
    exact : (N, M) float32 or (N, k) int64
        Outputs with the bias, or winners.
    bias : (M,)
    targets : (N, …), optional
    """

    metric: Metric
    rows: NDArray[Any]
    exact: NDArray[Any]
    bias: NDArray[Any]
    targets: Any = None

    def __call__(self, operator: Operator) -> float:
        """Return the loss of an operator.

        Raises
        ------
        ValueError
            If its result is not of the exact product's shape.
        """
        Y = np.asarray(operator(self.rows))
        if Y.shape != self.exact.shape:
            raise ValueError(f"an operator must return {self.exact.shape}, not {Y.shape}")
        if self.metric == "nmse":
            error = np.mean((Y - self.exact.astype(np.float64)) ** 2)
            variance = (self.exact - self.bias).var()
            return float(error / variance) if variance > 0 else (0.0 if error == 0 else np.inf)
        if self.metric in ("argmax", "topk"):
            named = (Y[:, :, np.newaxis] == self.exact[:, np.newaxis]).any(axis=1)
            return float(1 - named.mean())
        if self.metric == "agreement":
            return float(np.mean(Y.argmax(axis=1) != self.exact.argmax(axis=1)))
        lost = self._baseline - self._value(Y)
        return round(lost, 12)  # shares of a hundred rows differ by hundredths, not nearly

    @cached_property
    def _baseline(self) -> float:
        return self._value(self.exact.copy())

    def _value(self, Y: NDArray[Any]) -> float:
        assert callable(self.metric)
        value = float(self.metric(Y, self.targets))
        if value != value:
            raise ValueError("the metric is not a number")
        return value


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
    if metric in ("argmax", "topk"):
        return "winners missed"
    if not callable(metric):
        known = '"nmse", "agreement", "argmax", "topk"'
        raise ValueError(f"metric must be {known} or a function, not {metric!r}")
    return f"loss of {getattr(metric, '__name__', 'the metric')}"
