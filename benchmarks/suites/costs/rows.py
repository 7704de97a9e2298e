"""Time a row of many rows for many shapes, beside what the planner's cost model says.

    python -m benchmarks.suites.costs.rows [LEVEL …]

For each level and shape there is a line: model and measured nanoseconds, and their ratio. A has
rows for a few hundred microseconds; calls of all shapes take turns.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

import maddjit
from benchmarks.suites.costs.models import random_model
from maddjit.compiler.maddness.planner import make_plan
from maddjit.compiler.maddness.row_costs import row_nanoseconds
from maddjit.compiler.signature import Signature
from maddjit.models.core import LowRankCore

SHAPES = (
    (512, 10, 16, 16, 0, "C"),
    (512, 100, 16, 16, 0, "C"),
    (512, 1000, 16, 16, 0, "C"),
    (512, 100, 64, 16, 0, "C"),
    (512, 1000, 16, 64, 0, "C"),
    (120, 6625, 8, 16, 0, "C"),
    (384, 30522, 64, 16, 0, "C"),
    (512, 8192, 16, 64, 0, "C"),
    (512, 1000, 16, 16, 8, "C"),
    (512, 10, 8, 16, 0, "F"),
    (512, 100, 16, 16, 0, "F"),
    (512, 1000, 64, 16, 0, "F"),
    (512, 100, 16, 64, 0, "F"),
    (512, 100, 16, 16, 8, "F"),
)
"""D, M, C, K, the rank of a core, and the order of A and Y."""
_SECONDS = 20.0
"""How long all models are timed at one level."""
_BYTES = 24 * 2**20
"""Bytes of A or Y, at most."""


def compiled(shape: tuple[Any, ...], level: str) -> maddjit.CompiledOperator:
    """Return the operator of a shape."""
    D, M, C, K, rank, order = shape
    model = random_model(D, M, C, K)
    if rank:
        rng = np.random.default_rng(2)
        U = rng.standard_normal((D, rank)).astype(np.float32)
        V = rng.standard_normal((rank, M)).astype(np.float32)
        model = replace(model, core=LowRankCore(U, V))
    return maddjit.compile(model, level, order=order, threads=1)


def modelled(op: maddjit.CompiledOperator) -> float:
    """Return the model's nanoseconds a row, if A and Y have the same order."""
    order = "F" if op.plan.signature.order == "F" else "C"
    plan = make_plan(op.model, op.target, Signature(order=order, out_order=order))
    return row_nanoseconds(
        op.model,
        plan.sums,
        plan.target,
        plan.signature,
        plan.row_block,
        plan.encode,
        plan.scan,
        plan.columns,
        plan.core,
    )


def measured(ops: list[maddjit.CompiledOperator]) -> list[float]:
    """Return the nanoseconds a row of operators that take turns."""
    rng, jobs = np.random.default_rng(1), []
    for op in ops:
        D, M, order = op.model.n_features, op.model.n_outputs, op.plan.signature.order
        n_rows = min(8192, _BYTES // (4 * max(D, M)) // 64 * 64)
        A = np.asarray(rng.standard_normal((n_rows, D), dtype=np.float32), order=order)
        out = np.zeros((n_rows, M), np.float32, order=order)
        jobs.append((op, A, out))
    taken: list[list[float]] = [[] for _ in jobs]
    stop = perf_counter() + _SECONDS
    while perf_counter() < stop:
        for i in rng.permutation(len(jobs)).tolist():
            op, A, out = jobs[i]
            start = perf_counter()
            op(A, out=out)
            taken[i].append((perf_counter() - start) / len(A))
    return [1e9 * float(np.quantile(times, 0.35)) for times in taken]


def main(levels: list[str]) -> None:
    """Print the lines of each level."""
    for level in levels or ["x86-64-v3", "host"]:
        ops = [compiled(shape, level) for shape in SHAPES]
        for shape, op, time in zip(SHAPES, ops, measured(ops), strict=True):
            model = modelled(op)
            print(
                f"{op.target.name} (D, M, C, K, rank, order) = {shape}: "
                f"{model:.0f} ns by the model, {time:.0f} measured, {model / time:.2f}"
            )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(sys.argv[1:])
