"""Find the matrix and the bias in an estimator by asking it, and prove that they are all of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.integrations.agreement import ReplacementError, check_same
from maddjit.integrations.sklearn_rows import as_dense

_ASKED = 1 << 22
"""Entries of the rows that an estimator is asked about at a time: 32 MiB."""
_CHECKED = 1000
"""Sample rows whose answers are compared, and as many again beyond the samples."""
_BEYOND = -2.0
"""Rows beyond the samples are their mirror images, twice as far from the mean."""
_ROUNDING = 8.0
"""How many times its standard deviation a sum of rounding errors may reach."""
_NEGLIGIBLE = 1e-6
"""Share of the outputs' spread that may differ in any case; look-ups lose 1000 times as much."""
_HIDDEN = 0.01
"""Share of the outputs' spread that rounding may reach before it hides what is linear."""
FAR = 1024.0
"""Ratio of the sums' sizes to the outputs' spread beyond which means are subtracted first.

Operators add in float32. Below this ratio its rounding, 2⁻²⁴, stays under 10⁻⁴ of the spread.
"""


@dataclass(frozen=True, eq=False)
class Product:
    """What an estimator computes: ``(rows − centre) @ B + value``.

    Attributes
    ----------
    B : (D, M) float64
    centre : (D,) array of the rows' dtype
        The mean of the sample rows.
    value : (M,) float64
        The outputs at the centre.
    spread : (M,) float64
        The standard deviation of each output over sample rows.
    is_flat : bool
        Whether the estimator's answers are (N,) instead of (N, 1).
    rows : (n, D) float64
        The sample rows that were compared.
    answers : array
        The estimator's own answers to them.
    """

    B: NDArray[np.float64]
    centre: NDArray[Any]
    value: NDArray[np.float64]
    spread: NDArray[np.float64]
    is_flat: bool
    rows: NDArray[np.float64]
    answers: NDArray[Any]

    @property
    def is_far(self) -> bool:
        """Whether the rows are so far from zero that float32 would lose their differences."""
        sizes = np.abs(self.centre.astype(np.float64)) @ np.abs(self.B)
        varies = self.spread > _NEGLIGIBLE * self.spread.max()
        return bool((sizes[varies] > FAR * self.spread[varies]).any())

    def is_far_up(self, ratio: float) -> bool:
        """Return whether outputs are more than `ratio` times their spread away from zero."""
        varies = self.spread > _NEGLIGIBLE * self.spread.max()
        return bool((np.abs(self.value)[varies] > ratio * self.spread[varies]).any())

    def outputs(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the exact product of rows, in the shape of the estimator's answers."""
        y: NDArray[np.float64] = (rows - self.centre) @ self.B + self.value
        return y[:, 0] if self.is_flat else y


def product_of(ask: Callable[[Any], Any], rows: Any, what: str) -> Product:
    """Return the product that `ask` computes, checked on the rows and on some beyond them.

    It is asked about the mean of the rows, and about points that differ from it in one column by as
    much as any row does. There, differences between outputs are largest beside their rounding, and
    rows far from zero (Unix time, map coordinates) lose no digits that the estimator keeps.

    Parameters
    ----------
    ask : callable
        Takes (n, D) float64 rows and returns (n,) or (n, M) outputs.
    rows : (N, D) array or sparse matrix
    what : str
        Names the answers in errors.

    Raises
    ------
    ReplacementError
        If the outputs are not those of a product with one matrix and a bias, or `ask` refuses the
        points, or rounding hides what the outputs are.
    """
    few = as_dense(rows[:: -(-rows.shape[0] // _CHECKED)]).astype(np.float64)
    answers = plain(ask(few))  # outside of all handlers: its errors and warnings are for the user
    if answers.dtype.kind not in "fiub" or answers.ndim not in (1, 2):
        raise ReplacementError(f"{what} gives no matrix of numbers, and no product to compile")
    n_features = rows.shape[1]
    centre, steps = _centre_and_steps(rows)
    start = centre.astype(np.float64)

    def outputs(points: NDArray[np.float64]) -> NDArray[np.float64]:
        y = plain(_asked(ask, points, what)).astype(np.float64)
        return y[:, np.newaxis] if y.ndim == 1 else y

    value = outputs(start[np.newaxis])[0]
    B: NDArray[np.float64] = np.empty((n_features, len(value)))
    at_once = max(1, _ASKED // n_features)
    for first in range(0, n_features, at_once):
        columns = np.arange(first, min(first + at_once, n_features))
        points = np.repeat(start[np.newaxis], len(columns), axis=0)
        points[np.arange(len(columns)), columns] += steps[columns]
        taken = points[np.arange(len(columns)), columns] - start[columns]  # exact or nearly so
        B[columns] = (outputs(points) - value) / taken[:, np.newaxis]
    spread = answers.reshape(len(few), -1).astype(np.float64).std(axis=0)
    found = Product(B, centre, value, spread, answers.ndim == 1, few, answers)
    _check(found, ask, steps, what)
    return found


def _check(
    found: Product, ask: Callable[[Any], Any], steps: NDArray[np.float64], what: str
) -> None:
    """Compare the product with the estimator's answers, within the rounding of both.

    An output is a sum of D products and some more operations, each rounded by a factor of up to
    1 ± u. Rounding errors of both signs add up like a random walk (Higham & Mary 2019): with T the
    sum of the terms' sizes, an answer is off by e = λ √(D + 8) u T or less, and λ = 8 is exceeded
    by none of 10¹⁴. Each row of B was found from two answers and a step, and a row that lies z
    such steps away multiplies that by z: together (2 + 2 |z|) e.
    """
    start = found.centre.astype(np.float64)
    beyond = start + _BEYOND * (found.rows - start)
    unit = np.finfo(np.result_type(found.answers.dtype, np.float32)).eps / 2
    remedy = "it is not a product with one matrix and a bias, which is all that can be compiled"
    scale = found.spread.max()
    sides = [(found.rows, found.answers, "")]
    if scale > 0:
        told = plain(_asked(ask, beyond, what))
        sides.append((beyond, told, " of rows beyond the samples"))
    for rows, answers, place in sides:
        terms = np.abs(rows) @ np.abs(found.B) + np.abs(start) @ np.abs(found.B)
        terms += np.abs(found.value)
        away = np.linalg.norm((rows - start) / steps, axis=1)[:, np.newaxis]
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
    n_rows = rows.shape[0]
    mean = np.asarray(rows.sum(axis=0, dtype=np.float64)).ravel() / n_rows
    centre: NDArray[Any] = mean.astype(rows.dtype)
    ends = [plain(rows.max(axis=0)).ravel(), plain(rows.min(axis=0)).ravel()]
    steps = np.abs(np.stack(ends).astype(np.float64) - centre).max(axis=0)
    lone = np.maximum(1.0, np.abs(centre.astype(np.float64)))  # of columns that do not vary
    return centre, np.where(steps > 1e-9 * lone, steps, lone)


def _asked(ask: Callable[[Any], Any], points: NDArray[np.float64], what: str) -> Any:
    """Return the estimator's answers to made-up rows."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are the user's for rows of theirs alone
            return ask(points)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ReplacementError(
            f"{what} refuses rows about the mean of the samples, so that its matrix cannot be "
            f"found: {error}"
        ) from error


def plain(answers: Any) -> NDArray[Any]:
    """Return an array of whatever an estimator returns: frames and sparse matrices too."""
    return np.asarray(answers.toarray() if hasattr(answers, "toarray") else answers)
