"""How far a product is from the exact one: by its numbers, by its winners, by the user's metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maddjit.operators.watching import rounding

_GATHERED = 2**23
"""Numbers of columns that are gathered at a time."""
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
        is not named. Others that are as large but for the rounding of float32 do as well. A
        function: how much lower it is than for the exact product.
    rows : (N, D) float32
    exact : (N, M) float32 or (N, k) int64
        Outputs with the bias, or winners.
    bias : (M,)
    targets : (N, …), optional
    right : (D, M), optional
        What rows are multiplied by, where winners are compared: else that goes by indices alone.
    """

    metric: Metric
    rows: NDArray[Any]
    exact: NDArray[Any]
    bias: NDArray[Any]
    targets: Any = None
    right: NDArray[Any] | None = None

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
            return self._missed(Y, self.exact)
        if self.metric == "agreement":
            return self._missed(*(y.argmax(axis=1)[:, np.newaxis] for y in (Y, self.exact)))
        lost = self._baseline - self._value(Y)
        return round(lost, 12)  # shares of a hundred rows differ by hundredths, not nearly

    def _missed(self, named: NDArray[Any], winners: NDArray[Any]) -> float:
        """Return the share of winners, (N, k), that are not named, nor others as large."""
        found = (named[:, :, np.newaxis] == winners[:, np.newaxis]).any(axis=2)
        (doubtful,) = np.nonzero(~found.all(axis=1))
        if self.right is None or not len(doubtful):
            return float(1 - found.mean())
        step = max(1, _GATHERED // (found.shape[1] * len(self.right)))
        for start in range(0, len(doubtful), step):
            some = doubtful[start : start + step]
            rows = self.rows[some].astype(np.float64)
            least, _ = _bounds(rows, self.right, self.bias, winners[some])
            _, most = _bounds(rows, self.right, self.bias, named[some])
            found[some] |= most >= least.min(axis=1, keepdims=True)
        return float(1 - found.mean())

    @cached_property
    def _baseline(self) -> float:
        return self._value(self.exact.copy())

    def _value(self, Y: NDArray[Any]) -> float:
        assert callable(self.metric)
        value = float(self.metric(Y, self.targets))
        if value != value:
            raise ValueError("the metric is not a number")
        return value


def _bounds(
    rows: NDArray[np.float64], right: NDArray[Any], bias: NDArray[Any], outputs: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what float32 products of rows with some columns, (N, k) of each, are between."""
    columns = right.T[outputs].astype(np.float32).astype(np.float64)
    added = bias[outputs].astype(np.float32).astype(np.float64)
    exact = np.einsum("nd,nkd->nk", rows, columns) + added
    sizes = np.einsum("nd,nkd->nk", np.abs(rows), np.abs(columns)) + np.abs(added)
    apart = rounding(sizes.astype(np.float32), len(right))
    return exact - apart, exact + apart


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
