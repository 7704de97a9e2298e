"""Time a row over N for tables beyond near caches, and check where the cost model sees packing pay.

    python -m benchmarks.suites.costs [LEVEL …]

For each level and shape there is a line of times a row, then the two ways side by side: at the
number of rows from which a kernel packs tables, and at one row less, where it streams them. The
model expects equal times there. Random rows of random models; another row in each call. The time
of a row of many is checked by `benchmarks.suites.costs.rows`.
"""

from __future__ import annotations

import os
import sys
from time import perf_counter

import numpy as np

import maddjit
from benchmarks.suites.costs.models import random_model

SHAPES = ((384, 30522, 64, 16), (512, 4096, 64, 16), (512, 40000, 16, 16), (512, 8192, 16, 64))
"""D, M, C and K of each model."""
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_SECONDS = 4.0
"""How long one model is timed at one level."""


def microseconds(op: maddjit.CompiledOperator, rows: list[int]) -> dict[int, float]:
    """Return the time a row in calls of each number of rows, which take turns."""
    rng = np.random.default_rng(1)
    A = rng.standard_normal((2 * max(rows), op.model.n_features)).astype(np.float32)
    out = np.zeros((max(rows), op.model.n_outputs), np.float32)
    taken: dict[int, list[float]] = {n_rows: [] for n_rows in rows}
    stop = perf_counter() + _SECONDS
    while perf_counter() < stop:
        for n_rows in rng.permutation(rows).tolist():
            for _ in range(max(1, 32 // n_rows)):
                first = int(rng.integers(0, len(A) - n_rows))
                start = perf_counter()
                op(A[first : first + n_rows], out=out[:n_rows])
                taken[n_rows].append((perf_counter() - start) / n_rows)
    return {n_rows: 1e6 * float(np.quantile(times, 0.35)) for n_rows, times in taken.items()}


def main(levels: list[str]) -> None:
    """Print the lines of each level and shape."""
    for level in levels or ["x86-64-v3", "host"]:
        for shape in SHAPES:
            op = maddjit.compile(random_model(*shape), level, threads=1)
            streams = op.plan.scan and op.plan.scan.streams
            edge = streams.packed_rows if streams and streams.packed else 0
            edges = [edge - 1, edge] if 1 < edge <= op.plan.row_block else []
            times = microseconds(op, sorted({*ROWS, *edges}))
            line = "  ".join(f"{n_rows}: {times[n_rows]:.3g}" for n_rows in ROWS)
            print(f"{op.target.name} (D, M, C, K) = {shape}, µs a row over N: {line}")
            if edges:
                streamed, packed = (times[n_rows] for n_rows in edges)
                print(f"    from {edge} rows on packed: {packed:.3g} for {streamed:.3g} streamed")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(sys.argv[1:])
