"""The product that a fit approximates: the rows to learn from, and the rows to judge by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.checks import as_bias, as_training_matrix

LEAST_TO_SPLIT = 20
"""Rows that must be there to keep some back."""


@dataclass(frozen=True, eq=False)
class Task:
    """``A @ B + bias`` on rows to learn from and on rows to judge by.

    Attributes
    ----------
    train : (N, D) float32 or float64
        The rows to learn from; sequences of rows have an axis in front of these.
    B : (D, M) float32 or float64
    bias : (M,) float32 or float64
    judged : (N', D) float32 or float64
        The rows to judge by: those that are kept back, else some of the rows to learn from.
    product : (N', M) float64
        Their exact product with B, without the bias.
    places : (N',) intp
        Where the rows to judge by stand in what the caller gave, sequence after sequence.
    held_out : bool
        Whether they are kept back from learning.
    """

    train: NDArray[Any]
    B: NDArray[Any]
    bias: NDArray[Any]
    judged: NDArray[Any]
    product: NDArray[np.float64]
    places: NDArray[np.intp]
    held_out: bool

    @classmethod
    def of(
        cls,
        rows: NDArray[Any],
        B: NDArray[Any],
        bias: NDArray[Any],
        validation: float | ArrayLike,
        random_state: int,
        max_judged: int | None = None,
    ) -> Task:
        """Return the task of checked arrays; without rows kept back, training rows are judged.

        `max_judged` is how many training rows that are, at most.

        Raises
        ------
        ValueError, TypeError
            If `validation` is neither a share nor rows like the others.
        """
        train, held, places = split(rows, validation, random_state)
        judged = train[:max_judged] if held is None else held
        product: NDArray[np.float64] = judged.astype(np.float64) @ B
        return cls(train, B, bias, judged, product, places, held is not None)

    @property
    def exact(self) -> NDArray[np.float64]:
        """The exact outputs of the rows to judge by, bias included, (N', M)."""
        outputs: NDArray[np.float64] = self.product + self.bias
        return outputs


def training_arrays(
    A_train: ArrayLike, B: ArrayLike, bias: ArrayLike | None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return A_train (N, D), B (D, M) and the bias (M,), zeros if there is none, all checked.

    Raises
    ------
    ValueError, TypeError
        If an array does not hold finite real numbers, or shapes do not fit.
    """
    rows, right = as_training_matrix("A_train", A_train), as_training_matrix("B", B)
    _check_columns(rows, right)
    return rows, right, as_bias(bias, right.shape[1])


def training_rows(A_train: ArrayLike, B: NDArray[Any], ndim: int = 2) -> NDArray[Any]:
    """Return A_train of `ndim` axes, checked, as rows that B can be multiplied with.

    Raises
    ------
    ValueError, TypeError
        If it does not hold finite real numbers, or has not as many columns as B has rows.
    """
    rows = as_training_matrix("A_train", A_train, ndim)
    _check_columns(rows, B)
    return rows


def _check_columns(rows: NDArray[Any], B: NDArray[Any]) -> None:
    """Refuse rows that B cannot be multiplied with."""
    if rows.shape[-1] != len(B):
        raise ValueError(
            f"A_train has {rows.shape[-1]} columns but B has {len(B)} rows; they must agree"
        )


def split(
    rows: NDArray[Any], validation: float | ArrayLike, random_state: int
) -> tuple[NDArray[Any], NDArray[Any] | None, NDArray[np.intp]]:
    """Return the rows to learn from, the rows kept back if there are any, and their indices.

    Without rows kept back the indices are those of all rows.

    Raises
    ------
    ValueError, TypeError
        If `validation` is neither a share nor rows like the others.
    """
    if np.ndim(validation) == 0:
        share = float(validation)  # type: ignore[arg-type]
        if not 0 <= share < 1:
            raise ValueError(f"validation must be a share from 0 to below 1 or rows, not {share}")
        n_held = int(share * len(rows)) if len(rows) >= LEAST_TO_SPLIT else 0
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
