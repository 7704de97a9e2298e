"""Does coverage hold: random splits of rows that are alike, and rows that are not."""

from __future__ import annotations

import warnings
from math import ceil, sqrt
from typing import Any

import numpy as np
from scipy.stats import betabinom
from tasks import Task

import maddjit
from winning import own
from winning.own import Floats, Record, Truth
from winning.subjects import Limits, Parts

ASKED = (0.99, 0.999)
_LEAST_ROWS = 1000
_CHANGES = (0.0, 0.25, 0.5, 1.0)
"""Noise added, in standard deviations of each column."""


def check(
    task: Task, model: maddjit.MaddnessModel, parts: Parts, limits: Limits, n_rows: int
) -> Record:
    """Return what was observed in random splits, and on rows with noise.

    Of rows to calibrate with and test rows together, so many are divided anew, half and half, so
    that both are alike. The model is not fitted again.
    """
    pool = np.concatenate([parts.calibrate, parts.test])
    pool = pool[np.random.default_rng(0).permutation(len(pool))[:n_rows]]
    found = [_split(task, model, pool, seed) for seed in range(limits.splits)]
    return {
        "splits": [_summary(asked, found) for asked in ASKED if asked in found[0]],
        "changed": _changed(task, model, parts, limits),
    }


def _split(
    task: Task, model: maddjit.MaddnessModel, pool: Floats, seed: int
) -> dict[float, tuple[float, list[float], float]]:
    """Return, for each coverage, what is observed, the interval it falls in, its deviation."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pool))
    first, second = (pool[np.sort(part)] for part in np.array_split(order, 2))
    again = maddjit.calibrate(model, first, task.B, k=task.k, random_state=seed)
    truth = Truth.of(second, task.B, own.bias_of(task), task.k)
    found = {}
    for asked in ASKED:
        try:
            op = own.operator(again, task.k, asked)
        except maddjit.CoverageError:
            continue
        assert again.short_list is not None
        observed = float(truth.covered(op.settle(second)).mean())
        found[asked] = (observed, *_sampling(asked, again.short_list.n_rows, len(second)))
    return found


def _sampling(asked: float, n_calibrated: int, n_test: int) -> tuple[list[float], float]:
    """Return where 95 % of observations fall, and their standard deviation.

    Of rows that are alike and margins without ties, as many test rows are covered as a
    beta-binomial distribution says.
    """
    needed = ceil((n_calibrated + 1) * asked * (1 - 1e-12))
    spread = betabinom(n_test, needed, n_calibrated + 1 - needed)
    low, high = spread.ppf([0.025, 0.975]) / n_test
    return [float(low), float(high)], float(spread.std()) / n_test


def _summary(asked: float, found: list[dict[float, Any]]) -> Record:
    """Return the splits' observations; given the rows, splits are independent of one another."""
    observed = [split[asked][0] for split in found]
    intervals = [split[asked][1] for split in found]
    deviation = found[0][asked][2]
    mean = float(np.mean(observed))
    return {
        "asked": asked,
        "observed": [round(value, 6) for value in observed],
        "interval": intervals[0],
        "below": sum(o < low for o, (low, _) in zip(observed, intervals, strict=True)),
        "mean": round(mean, 6),
        "least_mean": round(asked - 1.96 * deviation / sqrt(len(observed)), 6),
    }


def _changed(
    task: Task, model: maddjit.MaddnessModel, parts: Parts, limits: Limits
) -> list[Record]:
    """Add noise to test rows, and see coverage, lists, and whether `monitor` warns.

    Where a task has its own rows to calibrate with, also see what training rows would have done.
    """
    asked = ASKED[0]
    op = own.operator(model, task.k, asked)
    rng = np.random.default_rng(0)
    rows = parts.test[rng.permutation(len(parts.test))[:3000]]
    spread, floor = rows.std(axis=0), 0 if rows.min() >= 0 else -np.inf
    found = [_watched(task, op, "rows of calibration", parts.calibrate[:3000], asked)]
    if task.A_calibrate is not None and len(parts.rest) >= _LEAST_ROWS:
        other = parts.rest[: limits.calibration_rows]
        again = maddjit.calibrate(model, other, task.B, k=task.k)
        name = "test rows, calibrated with training rows"
        found.append(_watched(task, own.operator(again, task.k, asked), name, rows, asked))
    for noise in _CHANGES:
        changed = rows + noise * spread * rng.standard_normal(rows.shape, np.float32)
        changed = np.maximum(changed, np.float32(floor)).astype(np.float32)
        name = f"test rows and noise of {noise:g} deviations" if noise else "test rows"
        found.append(_watched(task, op, name, changed, asked))
    return found


def _watched(task: Task, op: Any, name: str, rows: Floats, asked: float) -> Record:
    truth = Truth.of(rows, task.B, own.bias_of(task), task.k)
    op.reset()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        settled = op.settle(rows)
        told = op.monitor()
    return {
        "rows": name,
        "n_rows": len(rows),
        "asked": asked,
        "observed": round(float(truth.covered(settled).mean()), 6),
        "mean_length": round(told.mean, 4),
        "expected_length": round(told.expected, 4),
        "warned": any(issubclass(w.category, maddjit.DriftWarning) for w in caught),
    }
