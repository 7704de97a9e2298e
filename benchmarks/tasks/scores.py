"""Metrics: accuracy, similarity, NMSE, CTC decoding and character error rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Outputs = NDArray[np.float32]
Labels = NDArray[Any]


def accuracy(outputs: Outputs, labels: Labels) -> float:
    """Return the share of rows whose largest output is the one that `labels` names."""
    return float(np.mean(outputs.argmax(axis=1) == labels))


def top(outputs: Outputs, k: int) -> NDArray[np.int64]:
    """Return the indices of each row's k largest outputs, the largest first."""
    found = np.argpartition(outputs, -k, axis=1)[:, -k:]
    order = np.argsort(-np.take_along_axis(outputs, found, axis=1), axis=1)
    return np.take_along_axis(found, order, axis=1).astype(np.int64)


def recall(named: NDArray[np.integer[Any]], winners: NDArray[np.integer[Any]]) -> float:
    """Return the share of winners, (N, k), that are among those named, in any order."""
    return float(np.mean((winners[:, :, None] == named[:, None, :]).any(axis=2)))


def similarity(left: Outputs, right: Outputs) -> float:
    """Return the mean cosine of corresponding rows; a row of zeros has cosine 0."""
    dots = np.einsum("nm,nm->n", left, right, dtype=np.float64)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1).astype(np.float64)
    return float(np.mean(dots / np.where(lengths > 0, lengths, 1)))


def nmse(outputs: Outputs, exact: Outputs) -> float:
    """Return mean((Ŷ − Y)²) / var(Y) over all entries."""
    error = np.subtract(outputs, exact, dtype=np.float64)
    return float(np.mean(error**2) / np.var(exact, dtype=np.float64))


def ctc(steps: NDArray[np.integer[Any]], alphabet: Sequence[str]) -> str:
    """Read the winners of successive time steps: repeats are one letter, 0 is blank."""
    first = np.ones(len(steps), bool)
    first[1:] = steps[1:] != steps[:-1]
    return "".join(alphabet[step] for step in steps[first & (steps != 0)])


def edits(left: str, right: str) -> int:
    """Return the Levenshtein distance: insertions, deletions and replacements."""
    column = np.arange(len(right) + 1)
    letters = np.array(list(right))
    for row, letter in enumerate(left, start=1):
        # Without insertions first; then an insertion may follow any cheaper cell to the left.
        best = np.minimum(column[1:] + 1, column[:-1] + (letters != letter))
        best = np.concatenate(([row], best))
        offsets = np.arange(len(best))
        column = np.minimum.accumulate(best - offsets) + offsets
    return int(column[-1])


def character_error_rate(read: Sequence[str], written: Sequence[str]) -> float:
    """Return all edits between lines read and written, over the characters written."""
    pairs = zip(read, written, strict=True)
    return sum(edits(*pair) for pair in pairs) / sum(map(len, written))
