"""Watches exact winners in service: the lengths of short lists, and audits of rows."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.formats import SMALLEST_NORMAL, UNIT_ROUNDOFF
from maddjit.models.short_list import ShortList

_AUDITED = 2**23
"""The most exact outputs that an audit holds at a time, in each of three arrays."""
_SPARE = 16
"""Roundings beside those of D products: the bias, the bound, and the sum of bound and output."""


_LONGER, _SLACK = 1.5, 0.05
"""Lists are too long if their mean length beyond k exceeds `_LONGER` times that at calibration plus
`_SLACK` times k."""
_LEAST_ROWS = 1000
"""The number of rows below which there is no warning."""


class DriftWarning(UserWarning):
    """Short lists are longer in service than they were at calibration: the rows have changed."""


@dataclass(frozen=True)
class ListLengths:
    """How long short lists have been in service, beside what calibration saw.

    Attributes
    ----------
    n_rows : int
        How many rows were counted since the operator was made, or since its `reset`.
    mean : float
        The mean length of their short lists; NaN if there were no rows.
    expected, expected_tail, expected_longest : float
        The mean, 99th percentile and maximum of the lengths at calibration.
    """

    n_rows: int
    mean: float
    expected: float
    expected_tail: float
    expected_longest: float


class ListCounter:
    """Counts rows and the lengths of their short lists; for many threads.

    Parameters
    ----------
    others : (2,) int64 array
        Rows and lengths that compiled code counts.
    """

    def __init__(self, others: NDArray[np.int64]) -> None:
        self._others = others
        self._lock = threading.RLock()  # a signal's handler may call what it interrupts
        self.reset()

    def reset(self) -> None:
        """Forget all rows."""
        with self._lock:
            self._n_rows, self._n_listed = (-self._others).tolist()

    def add(self, lengths: NDArray[np.int64]) -> None:
        """Count the lists (N,) of a call."""
        n_listed = int(lengths.sum())
        with self._lock:
            self._n_rows += len(lengths)
            self._n_listed += n_listed

    def lengths(self, expected: tuple[float, float, float]) -> ListLengths:
        """Return the mean length beside the mean, tail and maximum that calibration saw."""
        with self._lock:
            n_rows, n_listed = (self._others + np.array([self._n_rows, self._n_listed])).tolist()
        return ListLengths(n_rows, n_listed / n_rows if n_rows else float("nan"), *expected)


def warn_of_drift(found: ListLengths, k: int, stacklevel: int) -> None:
    """Warn if lists beyond the k winners are half as long again as calibration saw them.

    Warns
    -----
    DriftWarning
    """
    usual = _LONGER * (found.expected - k) + _SLACK * k
    if found.n_rows >= _LEAST_ROWS and found.mean - k > usual:
        warnings.warn(
            f"short lists have {found.mean:.3g} outputs on average, and had {found.expected:.3g} "
            "at calibration: these seem to be other rows, for which coverage says nothing; "
            "audit(A) some of them, or calibrate again",
            DriftWarning,
            stacklevel=stacklevel,
        )


@dataclass(frozen=True, eq=False)
class Audit:
    """Which rows miss a winner of the whole product, and by how much; ``print`` sums it up.

    A row misses a winner if k outputs or more are larger than one that it names, by more than the
    rounding of float32 products can explain. Rows that are not finite count as missing theirs.

    Attributes
    ----------
    n_rows : int
        How many rows were audited.
    rows : (n,) int64
        The rows that miss a winner, in ascending order.
    named, largest : (n, k) int64
        What these rows name, and the k largest outputs of NumPy's float32 product.
    shortfalls : (n,) float32
        How far the worst output that a row names is below the k-th largest output.
    roundings : (n,) float32
        How much of the shortfall rounding can explain at most, which is less than all of it.
    n_close : int
        How many further rows name other outputs than NumPy's product does on this machine, but
        equal or nearly equal ones, for which rounding can be the reason. They miss nothing.
    """

    n_rows: int
    rows: NDArray[np.int64]
    named: NDArray[np.int64]
    largest: NDArray[np.int64]
    shortfalls: NDArray[np.float32]
    roundings: NDArray[np.float32]
    n_close: int

    @property
    def share(self) -> float:
        """The share of the rows that miss no winner."""
        return 1 - len(self.rows) / self.n_rows

    def __str__(self) -> str:
        found = f"{self.n_rows - len(self.rows)} of {self.n_rows} rows name the exact winners"
        if self.n_close:
            found += f", {self.n_close} of them others than NumPy by rounding alone"
        known = np.isfinite(self.shortfalls)
        if not known.any():
            return found
        worst = int(np.where(known, self.shortfalls, 0).argmax())
        return (
            f"{found}; row {self.rows[worst]} falls short most, by {self.shortfalls[worst]:.3g}, "
            f"of which rounding explains {self.roundings[worst]:.2g}"
        )


def audited(rows: NDArray[np.float32], named: NDArray[np.int64], short: ShortList) -> Audit:
    """Return the audit of rows (N, D), for which an operator named the winners (N, k)."""
    step = max(1, _AUDITED // len(short.bias))
    B_sizes, bias_sizes = np.abs(short.B), np.abs(short.bias)
    found, n_close = [], 0
    for start in range(0, len(rows), step):
        part, own = rows[start : start + step], named[start : start + step]
        with np.errstate(over="ignore", invalid="ignore"):
            exact = part @ short.B + short.bias
            apart = rounding(np.abs(part) @ B_sizes + bias_sizes, part.shape[1])
            missed, worst, better = _missed(exact, apart, own)
            n_close += _n_below(exact, own) - _n_below(exact[missed], own[missed])
            exact, apart = exact[missed], apart[missed]
            each = np.arange(len(missed))
            found.append(
                (
                    start + missed,
                    own[missed],
                    _largest(exact, short.k),
                    exact[each, better] - exact[each, worst],
                    apart[each, better] + apart[each, worst],
                )
            )
    at, names, largest, shortfalls, roundings = map(np.concatenate, zip(*found, strict=True))
    return Audit(len(rows), at, names, largest, shortfalls, roundings, n_close)


def rounding(sizes: NDArray[np.float32], n_features: int) -> NDArray[np.float32]:
    """Return by how much two float32 computations of the same outputs can differ.

    Let S be the sum of |a b| over the D products, plus |bias|. In any order of additions, fused or
    not, a term is rounded at most D + 1 times. Let u = 2⁻²⁴ and γ = nu / (1 − nu) with n = D + 1.
    A result is then off by at most γ S (Higham, Accuracy and Stability, section 3.1), and where
    numbers underflow, even to zero, by at most 2 (D + 1) · 2⁻¹²⁶ (1 + γ) more. Two results differ
    by at most twice that. The given S was itself computed in float32 and may be too small by γ.
    With n = D + 16 the value that is returned is 2 · 15 u S larger than needed. That leaves room
    for its own roundings, and for adding it to an output or subtracting it, which rounds by
    u (1 + 3 γ) S.

    Parameters
    ----------
    sizes : (N, M) float32
        S, computed in float32.
    n_features : int
        D.
    """
    terms = (n_features + _SPARE) * UNIT_ROUNDOFF
    gamma = terms / (1 - terms)
    smallest = 8 * (n_features + _SPARE) * SMALLEST_NORMAL
    return sizes * np.float32(2 * gamma / (1 - gamma)) + np.float32(smallest)


def _missed(
    exact: NDArray[np.float32], apart: NDArray[np.float32], named: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.intp]]:
    """Return rows that miss a winner, the worst output that each names, and one that is better.

    An operator's own output y is between exact - apart and exact + apart. If the named outputs
    have the k largest y, none of their upper bounds is below the k-th largest lower bound, because
    at most k - 1 other outputs have a larger y than any of them. Where an upper bound is below it,
    an output was missed.
    """
    k = named.shape[1]
    lower = exact - apart
    wanted = np.partition(lower, -k, axis=1)[:, -k]
    upper = np.take_along_axis(exact, named, axis=1) + np.take_along_axis(apart, named, axis=1)
    (missed,) = np.nonzero(~(upper.min(axis=1) >= wanted))  # as every row with NaN does
    worst = named[missed, upper[missed].argmin(axis=1)]
    better = (lower[missed] == wanted[missed, np.newaxis]).argmax(axis=1)
    return missed, worst, better


def _n_below(exact: NDArray[np.float32], named: NDArray[np.int64]) -> int:
    """Return how many rows name an output below the k-th largest, by however little."""
    k = named.shape[1]
    least = np.partition(exact, -k, axis=1)[:, -k]
    return int((np.take_along_axis(exact, named, axis=1).min(axis=1) < least).sum())


def _largest(exact: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the k largest outputs of each row, the largest first."""
    found = np.argpartition(exact, -k, axis=1)[:, -k:].astype(np.int64)
    order = np.argsort(-np.take_along_axis(exact, found, axis=1), axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1)
