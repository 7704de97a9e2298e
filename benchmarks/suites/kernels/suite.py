"""The suite of kernels: every kind of call beside a peer, and time per row over rows a call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.harness.suite import Suite
from benchmarks.harness.tables import Record
from benchmarks.suites.kernels import cases, steps, tables
from benchmarks.suites.kernels.cases import NONE
from benchmarks.suites.kernels.steps import SHAPES, Shape

Measure = Callable[["Limits"], list[Record]]


@dataclass(frozen=True)
class Limits:
    """What bounds the work: rounds, the least seconds of a turn, the most rows of a call."""

    rounds: int = 15
    turn: float = 0.004
    rows: int = steps.MOST_ROWS


CASES: dict[str, list[Measure]] = {
    "sums by columns": [
        partial(
            cases.columns,
            N=10016,
            M=100,
            kinds={
                (16, "8 bits"): ("≥ 75", "≥ 92"),
                (16, "16 bits"): ("≥ 42", ""),
                (16, "averages"): ("≥ 65", ""),
                (32, "8 bits"): ("≥ 30", "≥ 46"),
                (64, "8 bits"): ("≥ 14", "≥ 22"),
            },
        ),
        *(
            partial(cases.columns, N=N, M=M, kinds={(16, "8 bits"): NONE})
            for N, M in ((992, 100), (992, 10), (10016, 1000))
        ),
        partial(cases.bytes_, N=10016, M=100),
        partial(cases.encoding, N=10016, wishes={16: ("≤ 1.1", "≤ 1.1"), 32: NONE, 64: NONE}),
    ],
    "row-major outputs": [
        partial(
            cases.row_major,
            shapes={
                (1000, 512, 100): ("≥ 20", "≥ 28"),
                (10000, 512, 100): ("≥ 13", "≥ 18"),
                (256, 512, 1000): ("≥ 30", "≥ 55"),
                (10000, 512, 1000): ("≥ 24", "≥ 32"),
            },
        ),
        partial(cases.prototypes, N=10016, M=100),
    ],
    "few rows": [cases.wide],
    "one call": [cases.calls],
    "tiles": [
        partial(
            cases.tiles,
            shapes={
                (1024, 1024, 1024): (("≥ 1.03", "≥ 1.05"), ("≥ 1.14", "≥ 1.22")),
                (2048, 2048, 2048): (("≥ 1.03", "≥ 1.05"), ("≥ 1.14", "≥ 1.22")),
                (64, 2048, 2048): (NONE, ("≥ 1.25", "≥ 1.6")),
            },
        )
    ],
}

SMALL: dict[str, list[Measure]] = {
    "sums by columns": [
        partial(cases.columns, N=64, M=10, D=32, kinds={(4, "8 bits"): ("≥ 1", "≥ 1")}),
        partial(cases.bytes_, N=64, M=10, D=64),
        partial(cases.encoding, N=64, wishes={4: NONE}, D=32),
    ],
    "row-major outputs": [
        partial(cases.row_major, shapes={(64, 32, 10): NONE}),
        partial(cases.prototypes, N=64, M=10, D=32),
    ],
    "few rows": [partial(cases.wide, D=32, M=1000, C=4)],
    "one call": [cases.calls],
    "tiles": [partial(cases.tiles, shapes={(8, 32, 32): (NONE, NONE)})],
}


def measure(subject: list[Measure] | Shape, limits: Limits) -> Record:
    """Measure the cases of a table, or one shape over the number of rows."""
    if isinstance(subject, Shape):
        return steps.measure(subject, limits)
    return {"title": "", "rows": [row for case in subject for row in case(limits)]}


SUITE = Suite(
    "kernels",
    {**CASES, **{shape.title: shape for shape in SHAPES}},
    {**SMALL, **{shape.title: shape for shape in SHAPES[:1]}},
    Limits(),
    {"rounds": 3, "turn": 0.0005, "rows": 8},
    measure,
    {},
    across=tables.ACROSS,
)
