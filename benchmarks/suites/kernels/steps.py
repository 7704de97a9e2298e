"""Time per row over the number of rows of a call: it should never rise."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import Any, Literal

import numpy as np

from benchmarks.harness.tables import Record
from benchmarks.harness.timing import Candidate
from benchmarks.suites.kernels.operators import INTEGERS, Sums, compiled, rows, timed

MOST_ROWS = 4096
MOST_BYTES = 128 << 20
"""A call whose outputs are more is not measured."""
STEP = 1.05
"""A time per row of more than so many times that of half as many rows is a step upwards."""


@dataclass(frozen=True)
class Shape:
    """An operator. `order` is that of A and of the outputs, which are sums if it is "F"."""

    D: int
    M: int
    C: int
    K: int = 16
    sums: Sums = "8 bits"
    order: Literal["C", "F"] = "C"

    @property
    def title(self) -> str:
        """The shape's name in tables."""
        words = [f"{self.D} × {self.M}, C = {self.C}"]
        words += [f"K = {self.K}"] if self.K != 16 else []
        words += ["sums by columns"] if self.order == "F" else []
        return ", ".join(words)


SHAPES = (
    Shape(64, 10, 16),
    Shape(512, 10, 16),
    Shape(512, 100, 16),
    Shape(512, 100, 16, order="F"),
    Shape(512, 100, 16, K=64),
    Shape(512, 1000, 16),
    Shape(4096, 1000, 16),
    Shape(512, 1000, 64, sums="16 bits"),
    Shape(1024, 1024, 64, sums="16 bits"),
    Shape(384, 30522, 64, sums="16 bits"),
)


def measure(shape: Shape, limits: Any) -> Record:
    """Time calls of 1, 2, 4 … rows in turns. All go through the same rows and the same outputs."""
    op = compiled(shape.D, shape.M, shape.C, shape.K, shape.sums)
    dtype: Any = INTEGERS[op.plan.sum_bits] if shape.order == "F" else np.float32
    row_bytes = shape.M * np.dtype(dtype).itemsize
    most = min(limits.rows, 1 << (MOST_BYTES // row_bytes).bit_length() - 1)
    A, Y = rows(most, shape.D), np.zeros((most, shape.M), dtype)
    call = op if shape.order == "C" else op.sums
    sizes = [1 << i for i in range(most.bit_length())]
    candidates = []
    for N in sizes:
        parts = zip(np.split(A, most // N), np.split(Y, most // N), strict=True)
        if shape.order == "C":
            pairs = list(parts)
        else:
            pairs = [(np.asfortranarray(a), np.zeros(y.shape, dtype, "F")) for a, y in parts]
        names = {"call": call, "next": next, "pairs": cycle(pairs)}
        candidates.append(Candidate(str(N), "maddjit", "call(*next(pairs))", names))
    turns = timed(candidates, limits)
    seconds = {N: turns.seconds[str(N)] / N for N in sizes}
    points = [
        {
            "N": N,
            "ns": turns.per(str(N), N),
            "step": float(np.median(seconds[N] / seconds[N // 2])) if N > 1 else None,
        }
        for N in sizes
    ]
    return {"title": shape.title, "points": points}
