"""The loss of an approximate product: by its numbers, by its winners, or by the user's metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maddjit.operators.watching import rounding
from maddjit.selection.settings import GATHERED_NUMBERS

Way = Callable[[Any], NDArray[Any]]
"""A way to the product: a function from rows (N, D) to outputs (N, M), or to winners (N, k)."""
Metric = Literal["nmse", "agreement", "argmax", "topk"] | Callable[[NDArray[Any], Any], float]
"""What is judged. A function takes outputs (N, M) and the targets of their rows; more is better."""


@dataclass(frozen=True)
class Loss:
    """The loss of ways to the product, measured on some rows; 0 is as good as the exact product.

    Attributes
    ----------
    metric : Metric
        "nmse": mean((Ŷ − Y)²) / var(Y); a bias adds nothing to this variance. "agreement": the
        share of rows with another arg-max. "argmax", "topk": the share of the exact winners that
        are not named; other outputs that are as large, but for the rounding of float32, count as
        winners too. A function: how much lower it is than for the exact product.
    rows : (N, D) float32
    exact : (N, M) float32 or (N, k) int64
        The exact outputs with the bias, or the exact winners.
    bias : (M,)
    targets : (N, …), optional
    right : (D, M), optional
        What rows are multiplied by. Without it winners are compared by their indices alone.
    """

    metric: Metric
    rows: NDArray[Any]
    exact: NDArray[Any]
    bias: NDArray[Any]
    targets: Any = None
    right: NDArray[Any] | None = None

    def __call__(self, operator: Way) -> float:
        """Return the loss of a way to the product.

        Raises
        ------
        ValueError
            If its result does not have the shape of the exact product's.
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
        return round(lost, 12)  # so that shares of a hundred rows differ by whole hundredths

    def _missed(self, named: NDArray[Any], winners: NDArray[Any]) -> float:
        """Return the share of winners (N, k) that are not named, nor others that are as large."""
        found = (named[:, :, np.newaxis] == winners[:, np.newaxis]).any(axis=2)
        (doubtful,) = np.nonzero(~found.all(axis=1))
        if self.right is None or not len(doubtful):
            return float(1 - found.mean())
        step = max(1, GATHERED_NUMBERS // (found.shape[1] * len(self.right)))
        for start in range(0, len(doubtful), step):
            some = doubtful[start : start + step]
            rows = self.rows[some].astype(np.float64)
            least, _ = _bounds(rows, self.right, self.bias, winners[some])
            _, most = _bounds(rows, self.right, self.bias, named[some])
            found[some] |= most >= least.min(axis=1, keepdims=True)
        return float(1 - found.mean())

    @cached_property
    def _baseline(self) -> float:
        """The user's metric of the exact product."""
        return self._value(self.exact.copy())

    def _value(self, Y: NDArray[Any]) -> float:
        """Return the user's metric of outputs."""
        assert callable(self.metric)
        value = float(self.metric(Y, self.targets))
        if value != value:
            raise ValueError("the metric must be a number, and NaN is not a number")
        return value


def _bounds(
    rows: NDArray[np.float64], right: NDArray[Any], bias: NDArray[Any], outputs: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return bounds of the float32 products of each row with k columns, (N, k) and (N, k)."""
    columns = right.T[outputs].astype(np.float32).astype(np.float64)
    added = bias[outputs].astype(np.float32).astype(np.float64)
    exact = np.einsum("nd,nkd->nk", rows, columns) + added
    sizes = np.einsum("nd,nkd->nk", np.abs(rows), np.abs(columns)) + np.abs(added)
    apart = rounding(sizes.astype(np.float32), len(right))
    return exact - apart, exact + apart


def name_of(metric: Metric) -> str:
    """Return the name of the loss in tables and on axes.

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
