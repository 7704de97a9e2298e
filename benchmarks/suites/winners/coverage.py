"""Does coverage hold? Random splits of rows that are alike, and rows that are not."""

from __future__ import annotations

import warnings
from math import ceil, sqrt
from typing import Any

import numpy as np
from scipy.stats import betabinom

import maddjit
from benchmarks.harness.tables import Record
from benchmarks.suites.winners import own
from benchmarks.suites.winners.own import Truth
from benchmarks.suites.winners.subjects import Floats, Parts, Subject
from benchmarks.tasks import Task

ASKED = (0.99, 0.999)
_LEAST_ROWS, _MOST_ROWS = 1000, 3000
_NOISE = (0.0, 0.25, 0.5, 1.0)
"""Noise added to rows, in standard deviations of each column."""


def check(
    task: Task, model: maddjit.MaddnessModel, parts: Parts, subject: Subject, n_splits: int
) -> Record:
    """Return what was observed in random splits, and on rows with noise.

    Some of the rows to calibrate with and the test rows together are divided anew, half and
    half, so that both halves are alike. The model is not fitted again.
    """
    pool = np.concatenate([parts.calibrate, parts.test])
    pool = pool[np.random.default_rng(0).permutation(len(pool))[: subject.split_rows]]
    found = [_split(task, model, pool, seed) for seed in range(n_splits)]
    return {
        "splits": [_summary(asked, found) for asked in ASKED if asked in found[0]],
        "changed": _changed(task, model, parts, subject),
    }


def _split(
    task: Task, model: maddjit.MaddnessModel, pool: Floats, seed: int
) -> dict[float, tuple[float, list[float], float]]:
    """Return, for each coverage, what is observed, the interval it falls in, its deviation."""
    order = np.random.default_rng(seed).permutation(len(pool))
    first, second = (pool[np.sort(part)] for part in np.array_split(order, 2))
    again = maddjit.calibrate(model, first, task.B, k=task.k, random_state=seed)
    truth = Truth.of(task, second)
    found = {}
    for asked in ASKED:
        try:
            op = own.operator(again, task.k, asked)
        except maddjit.CoverageError:
            continue
        assert again.short_list is not None
        sampled = sampling(asked, again.short_list.n_rows, len(second))
        found[asked] = (truth.share(op.settle(second)), *sampled)
    return found


def sampling(asked: float, n_calibrated: int, n_test: int) -> tuple[list[float], float]:
    """Return the interval that holds 95 % of observations, and their standard deviation.

    If rows are alike and margins have no ties, the number of covered test rows has a beta-binomial
    distribution.
    """
    needed = ceil((n_calibrated + 1) * asked * (1 - 1e-12))
    spread = betabinom(n_test, needed, n_calibrated + 1 - needed)
    low, high = spread.ppf([0.025, 0.975]) / n_test
    return [float(low), float(high)], float(spread.std()) / n_test


def _summary(asked: float, found: list[dict[float, Any]]) -> Record:
    """Return the splits' observations; given the rows, splits are independent of one another."""
    observed, intervals, deviations = zip(*(split[asked] for split in found), strict=True)
    below = sum(o < low for o, (low, _) in zip(observed, intervals, strict=True))
    return {
        "asked": asked,
        "observed": list(observed),
        "interval": intervals[0],
        "below": below,
        "mean": round(float(np.mean(observed)), 6),
        "least_mean": round(asked - 1.96 * deviations[0] / sqrt(len(observed)), 6),
    }


def _changed(
    task: Task, model: maddjit.MaddnessModel, parts: Parts, subject: Subject
) -> list[Record]:
    """Add noise to test rows, and see coverage, lists, and whether `monitor` warns.

    Where a task has its own rows to calibrate with, also see what training rows would have done.
    """
    op = own.operator(model, task.k, ASKED[0])
    rng = np.random.default_rng(0)
    rows = parts.test[rng.permutation(len(parts.test))[:_MOST_ROWS]]
    spread, floor = rows.std(axis=0), 0 if rows.min() >= 0 else -np.inf
    found = [_watched(task, op, "rows of calibration", parts.calibrate[:_MOST_ROWS])]
    if task.A_calibrate is not None and len(parts.rest) >= _LEAST_ROWS:
        other = parts.rest[: subject.calibration_rows]
        again = own.operator(maddjit.calibrate(model, other, task.B, k=task.k), task.k, ASKED[0])
        found.append(_watched(task, again, "test rows, calibrated with training rows", rows))
    for noise in _NOISE:
        changed = rows + noise * spread * rng.standard_normal(rows.shape, np.float32)
        changed = np.maximum(changed, np.float32(floor)).astype(np.float32)
        name = f"test rows and noise of {noise:g} deviations" if noise else "test rows"
        found.append(_watched(task, op, name, changed))
    return found


def _watched(task: Task, op: Any, name: str, rows: Floats) -> Record:
    op.reset()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        settled = op.settle(rows)
        told = op.monitor()
    return {
        "rows": name,
        "n_rows": len(rows),
        "asked": ASKED[0],
        "observed": Truth.of(task, rows).share(settled),
        "mean_length": round(told.mean, 4),
        "expected_length": round(told.expected, 4),
        "warned": any(issubclass(w.category, maddjit.DriftWarning) for w in caught),
    }
