"""Find an estimator's matrix and bias by asking it, and prove that they are all it has."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.integrations.agreement import ReplacementError, check_same
from maddjit.integrations.sklearn.heads import REFUSALS
from maddjit.integrations.sklearn.rows import is_sparse

_ASKED = 1 << 22
"""The entries of the rows that an estimator is asked about at a time: 32 MiB."""
_CHECKED = 1000
"""The number of sample rows whose answers are compared; as many beyond them are, too."""
_BEYOND = -2.0
"""Rows beyond the samples are the samples' mirror images, twice as far from the mean."""
_ROUNDING = 8.0
"""A sum of rounding errors may reach this many times its standard deviation."""
_NEGLIGIBLE = 1e-6
"""Outputs may always differ by this share of their spread; look-ups lose 1000 times as much."""
_HIDDEN = 0.01
"""Rounding beyond this share of the outputs' spread would hide whether they are linear."""
FAR = 1024.0
"""Means are subtracted first if the ratio of the sums' sizes to the outputs' spread is larger.

Operators add in float32. Below this ratio its rounding, 2⁻²⁴, stays under 10⁻⁴ of the spread.
"""


@dataclass(frozen=True, eq=False)
class LinearMap:
    """What an estimator computes: ``(rows − centre) @ B + value``.

    Attributes
    ----------
    B : (D, M) float64
    centre : (D,) array of the rows' dtype
        The mean of all rows; 0 if they are sparse.
    value : (M,) float64
        The outputs at the centre.
    spread : (M,) float64
        The standard deviation of each output over the sample rows; 0 if it is only rounding.
    is_flat : bool
        Whether the estimator's answers are (N,) instead of (N, 1).
    rows : (n, D) float64 array or sparse matrix
        The sample rows that were compared.
    answers : array
        The estimator's own answers to them.
    """

    B: NDArray[np.float64]
    centre: NDArray[Any]
    value: NDArray[np.float64]
    spread: NDArray[np.float64]
    is_flat: bool
    rows: Any
    answers: NDArray[Any]

    @property
    def rows_are_far(self) -> bool:
        """Whether the rows lie so far from zero that float32 would lose their differences."""
        sizes = np.abs(self.centre.astype(np.float64)) @ np.abs(self.B)
        varies = self.spread > _NEGLIGIBLE * self.spread.max()
        return bool((sizes[varies] > FAR * self.spread[varies]).any())

    def outputs_are_far(self, ratio: float) -> bool:
        """Return whether an output lies more than `ratio` times its spread away from zero."""
        varies = self.spread > _NEGLIGIBLE * self.spread.max()
        return bool((np.abs(self.value)[varies] > ratio * self.spread[varies]).any())

    def outputs(self, rows: Any) -> NDArray[np.float64]:
        """Return the exact outputs for rows, in the shape of the estimator's answers."""
        moved = rows if is_sparse(rows) else rows - self.centre
        y: NDArray[np.float64] = moved @ self.B + self.value
        return y[:, 0] if self.is_flat else y


def linear_map_of(ask: Callable[[Any], Any], rows: Any, what: str, advice: str = "") -> LinearMap:
    """Return the linear map that `ask` computes, checked on the rows and on some beyond them.

    The function is asked about the mean of the rows, and about points that differ from the mean in
    one column, by as much as any row does. There the differences between outputs are largest beside
    their rounding, and rows far from zero (Unix time, map coordinates) lose no digits that the
    estimator keeps. For sparse rows the origin takes the place of the mean.

    Parameters
    ----------
    ask : callable
        Takes (n, D) float64 rows, sparse if `rows` are, and returns (n,) or (n, M) outputs.
    rows : (N, D) array or sparse matrix
    what : str
        What errors call the answers.
    advice : str
        The end of the error if the map is not linear.

    Raises
    ------
    ReplacementError
        If the outputs are not those of a product with one matrix and a bias, if `ask` refuses the
        points, or if rounding hides whether the outputs are linear.
    """
    few = rows[:: -(-rows.shape[0] // _CHECKED)].astype(np.float64)
    with _refusing(what, "the sample rows"):
        answers = dense_array(ask(few))  # the user sees warnings about these rows
    if answers.dtype.kind not in "fiub" or answers.ndim not in (1, 2) or not answers.size:
        raise ReplacementError(
            f"{what} gives no matrix of numbers, so there is no product to compile"
        )
    n_features, n_outputs = rows.shape[1], answers.size // few.shape[0]
    centre, steps = _centre_and_steps(rows)
    B: NDArray[np.float64] = np.empty((n_features, n_outputs))
    at_once = max(1, _ASKED // (n_outputs if is_sparse(rows) else n_features))
    for first in range(0, n_features, at_once):
        columns = np.arange(first, min(first + at_once, n_features))
        points, taken = _points(few, centre, steps, columns)
        y = _asked(ask, points, what).astype(np.float64).reshape(len(columns) + 1, n_outputs)
        B[columns] = (y[:-1] - y[-1]) / taken[:, np.newaxis]
    value: NDArray[np.float64] = y[-1]
    flat = answers.reshape(-1, n_outputs).astype(np.float64)
    rounding = _ROUNDING * _unit(answers) * np.abs(flat).max(axis=0)
    spread = np.where(np.ptp(flat, axis=0) <= rounding, 0.0, flat.std(axis=0))
    found = LinearMap(B, centre, value, spread, answers.ndim == 1, few, answers)
    _check(found, ask, steps, what, advice)
    return found


def _check(
    found: LinearMap, ask: Callable[[Any], Any], steps: NDArray[np.float64], what: str, advice: str
) -> None:
    """Compare the linear map with the estimator's answers, within the rounding of both.

    An output is a sum of D products and some more operations, each rounded by a factor of up to
    1 ± u. Rounding errors of both signs add up like a random walk (Higham & Mary 2019). With T the
    sum of the terms' sizes, an answer is off by e = λ √(D + 8) u T or less; for λ = 8, fewer than
    one answer in 10¹⁴ is off by more. Each row of B was found from two answers and a step. A row
    that lies z such steps away multiplies its error by z. Together that is (2 + 2 |z|) e.
    """
    start = found.centre.astype(np.float64)
    beyond = _BEYOND * found.rows
    if not is_sparse(beyond):
        beyond += (1 - _BEYOND) * start
    unit = _unit(found.answers)
    remedy = "it is not a product with one matrix and a bias, which is all that can be compiled"
    remedy += advice
    scale = found.spread.max()
    sides = [(found.rows, found.answers, "")]
    if scale > 0:
        sides.append((beyond, _asked(ask, beyond, what), " of rows beyond the samples"))
    for rows, answers, place in sides:
        terms = abs(rows) @ np.abs(found.B) + np.abs(start) @ np.abs(found.B)
        terms += np.abs(found.value)
        away = _distances(rows, start, steps)[:, np.newaxis]
        bound = (2 + 2 * away) * _ROUNDING * np.sqrt(len(start) + 8) * unit * terms
        if bound.max() > _HIDDEN * scale > 0 and not place:
            raise ReplacementError(
                f"{what} varies by {scale:.3g} and is computed with rounding errors of up to "
                f"{bound.max():.3g}: subtract the mean of the rows before the estimator is fitted"
            )
        bound = bound + _NEGLIGIBLE * scale
        check_same(
            f"{what}{place}",
            answers,
            found.outputs(rows),
            bound[:, 0] if found.is_flat else bound,
            remedy,
        )


def _centre_and_steps(rows: Any) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the mean of the rows, of their dtype, and each column's largest distance from it."""
    centre: NDArray[Any] = np.zeros(rows.shape[1], rows.dtype)
    if not is_sparse(rows):
        centre = rows.mean(axis=0, dtype=np.float64).astype(rows.dtype)
    ends = [dense_array(rows.max(axis=0)).ravel(), dense_array(rows.min(axis=0)).ravel()]
    steps = np.abs(np.stack(ends).astype(np.float64) - centre).max(axis=0)
    lone = np.maximum(1.0, np.abs(centre.astype(np.float64)))  # for columns that do not vary
    return centre, np.where(steps > 1e-9 * lone, steps, lone)


def _points(
    few: Any, centre: NDArray[Any], steps: NDArray[np.float64], columns: NDArray[np.intp]
) -> tuple[Any, NDArray[np.float64]]:
    """Return the centre moved by a step in each of some columns, itself last, and the steps."""
    n, places = len(columns), np.arange(len(columns))
    if is_sparse(few):
        shape = (n + 1, few.shape[1])
        return type(few)((steps[columns], (places, columns)), shape=shape), steps[columns]
    start = centre.astype(np.float64)
    points = np.repeat(start[np.newaxis], n + 1, axis=0)
    points[places, columns] += steps[columns]
    return points, points[places, columns] - start[columns]  # the steps as rounding made them


def _distances(
    rows: Any, start: NDArray[np.float64], steps: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how many steps each row lies away from the start, in all columns together."""
    if is_sparse(rows):
        squares = rows.multiply(1 / steps).power(2).sum(axis=1)
        return np.sqrt(np.asarray(squares, np.float64).ravel())
    away: NDArray[np.float64] = np.linalg.norm((rows - start) / steps, axis=1)
    return away


def _asked(ask: Callable[[Any], Any], points: Any, what: str) -> NDArray[Any]:
    """Return the estimator's answers to made-up rows."""
    with _refusing(what, "rows about the mean of the samples"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # users did not give these rows
        answers = dense_array(ask(points))
    if answers.shape[:1] != points.shape[:1]:
        raise ReplacementError(f"{what} gives {len(answers)} answers to {points.shape[0]} rows")
    return answers


@contextmanager
def _refusing(what: str, rows: str) -> Iterator[None]:
    """Turn errors of an estimator that is asked about rows into one that says what they mean."""
    try:
        yield
    except REFUSALS as error:
        raise ReplacementError(
            f"{what} refuses {rows}, so that its matrix cannot be found: {error}"
        ) from error


def _unit(answers: NDArray[Any]) -> float:
    """Return the unit roundoff u of the computation that gave these numbers."""
    return float(np.finfo(np.result_type(answers.dtype, np.float32)).eps) / 2


def dense_array(answers: Any) -> NDArray[Any]:
    """Return an estimator's answers as an array, also if they are a frame or a sparse matrix."""
    return np.asarray(answers.toarray() if hasattr(answers, "toarray") else answers)
