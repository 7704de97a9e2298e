"""Rows of sequences to learn from, and rows to judge by that are no neighbours of the former."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.checks import as_array
from maddjit.learning.task import LEAST_TO_SPLIT, Task, training_rows


def training_sequences(A_train: ArrayLike, B: NDArray[Any]) -> NDArray[Any]:
    """Return A_train, (T, D) or (S, T, D), checked, as sequences (S, T, D).

    Raises
    ------
    ValueError, TypeError
        If it does not hold finite real numbers, has other axes, or not as many columns as B rows.
    """
    given = as_array("A_train", A_train)
    rows = training_rows(given, B, 3 if given.ndim == 3 else 2)
    return rows.reshape(-1, *rows.shape[-2:])


def split_sequences(
    sequences: NDArray[Any], share: float, random_state: int, n: int
) -> tuple[NDArray[Any], NDArray[Any] | None, NDArray[np.intp]]:
    """Return sequences to learn from, those kept back if there are any, and where these stood.

    Whole sequences are kept back, drawn at random. Where the share is less than one, as for a
    single sequence, each gives its last tiles of n rows.

    Returns
    -------
    train, held : (S, T, D)
    places : (·,) intp
        Indices of rows of all sequences, one after the other.

    Raises
    ------
    ValueError
        If `share` is not from 0 to below 1.
    """
    if not 0 <= share < 1:
        raise ValueError(f"validation must be a share from 0 to below 1, not {share}")
    S, T = sequences.shape[:2]
    places = np.arange(S * T).reshape(S, T)
    if S * T < LEAST_TO_SPLIT:
        return sequences, None, places.ravel()
    if n_held := int(share * S):
        order = np.random.default_rng(random_state).permutation(S)
        held, kept = np.sort(order[:n_held]), np.sort(order[n_held:])
        return sequences[kept], sequences[held], places[held].ravel()
    first = T - int(share * T / n) * n
    first += -first % n
    if not 0 < first < T:
        return sequences, None, places.ravel()
    return sequences[:, :first], sequences[:, first:], places[:, first:].ravel()


def task_of_sequences(
    sequences: NDArray[Any],
    B: NDArray[Any],
    bias: NDArray[Any],
    share: float,
    random_state: int,
    n: int,
) -> Task:
    """Return the task of sequences for tiles of n rows; see `split_sequences`."""
    train, held, places = split_sequences(sequences, share, random_state, n)
    judged = train if held is None else held
    product: NDArray[np.float64] = judged.astype(np.float64) @ B
    return Task(train, B, bias, judged, product, places, held is not None)
