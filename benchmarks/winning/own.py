"""Models of maddjit for a subject: fitted, calibrated, compiled, and judged on rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tasks import Task
from tasks.scores import recall, top

import maddjit
from maddjit.operators.watching import rounding

Record = dict[str, Any]
Floats = NDArray[np.float32]
Winners = NDArray[np.int64]

_CHUNK_OUTPUTS = 8_000_000
"""Outputs that are held at a time."""


@dataclass(frozen=True)
class Truth:
    """The exact winners of rows, (N, k), and what the least of their outputs is at least."""

    winners: Winners
    least: Floats

    @classmethod
    def of(cls, rows: Floats, B: Floats, bias: Floats, k: int) -> Truth:
        """Compute them by float32 products, some rows at a time.

        Another order of additions may round by more: the bounds are those of `maddjit`'s audits.
        """
        winners, least = [], []
        B_sizes, bias_sizes = np.abs(B), np.abs(bias)
        for part in chunks(rows, B.shape[1]):
            outputs = part @ B + bias
            winners.append(top(outputs, k))
            outputs -= rounding(np.abs(part) @ B_sizes + bias_sizes, len(B))
            least.append(np.partition(outputs, -k, axis=1)[:, -k])
        return cls(np.concatenate(winners), np.concatenate(least))

    def covered(self, settled: Any) -> NDArray[np.bool_]:
        """Tell for each row whether all winners were named, or outputs as large."""
        as_large: NDArray[np.bool_] = settled.outputs.min(axis=1) >= self.least
        return as_large


def chunks(rows: Floats, n_outputs: int) -> Iterator[Floats]:
    """Yield rows, as many at a time as have not too many outputs."""
    step = max(1, min(1000, _CHUNK_OUTPUTS // n_outputs))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def bias_of(task: Task) -> Floats:
    """Return the task's bias, or zeros."""
    return np.zeros(task.B.shape[1], np.float32) if task.bias is None else task.bias


def variants(k: int, is_checked: bool) -> list[Mapping[str, Any]]:
    """Return options of `maddjit.fit` to try: tables for the winner, if only one is asked for."""
    if k > 1:
        return [{}]
    return [{}, {"objective": "argmax"}] if is_checked else [{"objective": "argmax"}]


def fitted(
    task: Task, rows: Floats, size: tuple[int, int], options: Mapping[str, Any]
) -> maddjit.MaddnessModel:
    """Fit a model of a size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", maddjit.AccuracyWarning)  # short lists make it good
        return maddjit.fit(rows, task.B, *size, bias=task.bias, **options)


def operator(model: maddjit.MaddnessModel, k: int, coverage: float) -> maddjit.WinnerOperator:
    """Compile the exact winners, or the k best."""
    if k == 1:
        return maddjit.compile(model, result="argmax", coverage=coverage)
    return maddjit.compile(model, result="topk", k=k, coverage=coverage)


def judged(task: Task, named: Winners, truth: Truth) -> Record:
    """Return what is right of the winners named for the test rows, and the task's own metric."""
    best = named.reshape(len(truth.winners), -1)
    return {
        "recall": round(recall(best, truth.winners), 6),
        "metrics": {name: round(f(best[:, 0]), 6) for name, f in task.by_winners.items()},
    }


@dataclass(frozen=True)
class Run:
    """A compiled way to name winners, with what is known of it."""

    name: str
    record: Record
    call: Any


def runs(
    task: Task,
    model: maddjit.MaddnessModel,
    label: str,
    coverages: tuple[float, ...],
    truth: Truth,
    left_out: dict[str, str],
) -> list[Run]:
    """Compile a calibrated model for all coverages, and its tables alone; judge them."""
    k = task.k
    head = {"C": model.n_codebooks, "K": model.n_prototypes, "label": label}
    plain = maddjit.compile(model)
    alone = plain.argmax if k == 1 else lambda A: plain.topk(A, k)
    named = np.concatenate([alone(part) for part in chunks(task.A_test, task.B.shape[1])])
    found = [
        Run(
            f"{label}, tables alone",
            head | {"coverage": None} | judged(task, named, truth),
            alone,
        )
    ]
    for coverage in coverages:
        start = perf_counter()
        try:
            op = operator(model, k, coverage)
        except maddjit.CoverageError as error:
            left_out[f"{label}, coverage {coverage:g}"] = str(error).split(":")[0]
            continue
        seconds = perf_counter() - start
        settled = op.settle(task.A_test)
        assert model.short_list is not None
        record = head | {
            "coverage": coverage,
            "observed": round(float(truth.covered(settled).mean()), 6),
            "lengths": lengths(settled.lengths),
            "expected_lengths": list(model.short_list.expected_lengths(coverage)),
            "margin": model.short_list.margin(coverage),
            "sum_bits": op.plan.sum_bits,
            "compile_seconds": round(seconds, 2),
        }
        record.update(judged(task, settled.indices, truth))
        found.append(Run(f"{label}, coverage {coverage:g}", record, op))
    return found


def lengths(values: NDArray[np.int64]) -> list[float]:
    """Return mean, 99 % and maximum."""
    tail = float(np.quantile(values, 0.99, method="higher"))
    return [round(float(values.mean()), 4), tail, float(values.max())]
