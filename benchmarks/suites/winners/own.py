"""Models of maddjit: fitted, calibrated, compiled, and judged by the exact winners."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import maddjit
from benchmarks.harness.tables import Record
from benchmarks.suites.winners.subjects import Floats, Parts
from benchmarks.tasks import Task
from benchmarks.tasks.scores import recall, top
from maddjit.operators.watching import rounding

Winners = NDArray[np.int64]

_CHUNK_OUTPUTS = 8_000_000
"""Outputs that are held at a time."""


@dataclass(frozen=True)
class Truth:
    """The exact winners of rows, (N, k), and a lower bound of the least of their outputs."""

    winners: Winners
    least: Floats

    @classmethod
    def of(cls, task: Task, rows: Floats) -> Truth:
        """Compute them by float32 products, some rows at a time.

        Another order of additions may round by more: the bounds are those of maddjit's audits.
        """
        winners, least = [], []
        bias = bias_of(task)
        sizes = np.abs(task.B), np.abs(bias)
        for part in chunks(rows, task.B.shape[1]):
            outputs = part @ task.B + bias
            winners.append(top(outputs, task.k))
            outputs -= rounding(np.abs(part) @ sizes[0] + sizes[1], len(task.B))
            least.append(np.partition(outputs, -task.k, axis=1)[:, -task.k])
        return cls(np.concatenate(winners), np.concatenate(least))

    def covered(self, settled: Any) -> NDArray[np.bool_]:
        """Tell for each row whether all winners were named, or outputs as large."""
        as_large: NDArray[np.bool_] = settled.outputs.min(axis=1) >= self.least
        return as_large

    def share(self, settled: Any) -> float:
        """Return the share of covered rows."""
        return round(float(self.covered(settled).mean()), 6)


def chunks(rows: Floats, n_outputs: int) -> Iterator[Floats]:
    """Yield rows, as many at a time as have not too many outputs."""
    step = max(1, min(1000, _CHUNK_OUTPUTS // n_outputs))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def named(task: Task, answer: Any) -> Winners:
    """Return the winners that `answer` names for the test rows, some rows at a time."""
    return np.concatenate([answer(part) for part in chunks(task.A_test, task.B.shape[1])])


def bias_of(task: Task) -> Floats:
    """Return the task's bias, or zeros."""
    return np.zeros(task.B.shape[1], np.float32) if task.bias is None else task.bias


def calibrated(
    task: Task, parts: Parts, size: tuple[int, int], options: Mapping[str, Any]
) -> maddjit.MaddnessModel:
    """Fit and calibrate a model of a size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", maddjit.AccuracyWarning)  # short lists make it good
        model = maddjit.fit(parts.fit, task.B, *size, bias=task.bias, **options)
    return maddjit.calibrate(model, parts.calibrate, task.B, k=task.k)


def operator(model: maddjit.MaddnessModel, k: int, coverage: float) -> maddjit.WinnerOperator:
    """Compile the exact winners, or the k best."""
    if k == 1:
        return maddjit.compile(model, result="argmax", coverage=coverage)
    return maddjit.compile(model, result="topk", k=k, coverage=coverage)


def judged(task: Task, found: Winners, truth: Truth) -> Record:
    """Return the recall of winners named for the test rows, and the task's own metric."""
    best = found.reshape(len(truth.winners), -1)
    return {
        "recall": round(recall(best, truth.winners), 6),
        "metrics": {name: round(f(best[:, 0]), 6) for name, f in task.by_winners.items()},
    }


def runs(
    task: Task,
    model: maddjit.MaddnessModel,
    label: str,
    coverages: tuple[float, ...],
    truth: Truth,
    left_out: dict[str, str],
) -> dict[str, tuple[Any, Record]]:
    """Compile a calibrated model for all coverages, and its tables alone; judge them by name."""
    plain = maddjit.compile(model)
    alone = plain.argmax if task.k == 1 else lambda A: plain.topk(A, task.k)
    record = {"label": label, "coverage": None} | judged(task, named(task, alone), truth)
    found = {f"{label}, tables alone": (alone, record)}
    for coverage in coverages:
        try:
            op = operator(model, task.k, coverage)
        except maddjit.CoverageError as error:
            left_out[f"{label}, coverage {coverage:g}"] = str(error).split(":")[0]
            continue
        settled = op.settle(task.A_test)
        lengths = settled.lengths
        tail = float(np.quantile(lengths, 0.99, method="higher"))
        record = {
            "label": label,
            "coverage": coverage,
            "observed": truth.share(settled),
            "lengths": [round(float(lengths.mean()), 4), tail, float(lengths.max())],
        }
        record |= judged(task, settled.indices, truth)
        found[f"{label}, coverage {coverage:g}"] = op, record
    return found
