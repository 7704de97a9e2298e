"""What an approximate operator gives for the same rows in other batches and another order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tasks import Task

from tiling.ways import Floats, Record

_FEW = 8


def batched(outputs: Callable[[Floats], Floats], rows: Floats, n_rows: int) -> Floats:
    """Return the outputs of all rows, given some at a time."""
    starts = range(0, len(rows), n_rows)
    parts = [outputs(np.array(rows[start : start + n_rows])) for start in starts]
    return np.concatenate(parts)


def others(op: Any, task: Task, bias: Floats, n_rows: int) -> list[Record]:
    """Judge the same rows in other orders and in calls of other sizes."""
    truth = task.A_test.astype(np.float64) @ task.B + bias
    spread = ((truth - truth.mean(axis=0)) ** 2).sum()

    def judged(name: str, order: NDArray[np.intp], size: int) -> Record:
        given = np.empty(truth.shape, np.float32)
        given[order] = batched(op, task.A_test[order], size)
        error = ((given - truth) ** 2).sum() / spread
        return {
            "rows": name,
            "error": float(f"{error:.4g}"),
            "score": round(task.score(given), 6),
        }

    as_they_come = np.arange(len(truth))
    at_random = np.random.default_rng(1).permutation(len(truth))
    return [
        judged(f"as they come, {n_rows} a call", as_they_come, n_rows),
        judged(f"in random order, {n_rows} a call", at_random, n_rows),
        judged(f"sorted by their largest output, {n_rows} a call", _sorted(truth), n_rows),
        judged(f"as they come, {_FEW} a call", as_they_come, _FEW),
        judged("one a call", as_they_come, 1),
    ]


def _sorted(truth: NDArray[np.float64]) -> NDArray[np.intp]:
    """Put like rows side by side: by which output is the largest, then by how large it is."""
    winners = truth.argmax(axis=1)
    return np.lexsort((truth.max(axis=1), winners))


def hit_by_nan(op: Any, rows: Floats) -> int:
    """Return how many other rows a row of NaN spoils."""
    spoilt = np.array(rows)
    spoilt[len(rows) // 2] = np.nan
    return int(np.isnan(op(spoilt)).any(axis=1).sum()) - 1
