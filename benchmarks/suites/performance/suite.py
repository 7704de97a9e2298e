"""The suite of performance: operators against everything that makes the same product."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.harness.suite import Suite
from benchmarks.harness.tables import Record
from benchmarks.suites.performance import operators, tables
from benchmarks.suites.performance.cases import CASES, SMALL, Case


@dataclass(frozen=True)
class Limits:
    """What bounds the work. Rivals other than NumPy are looked for if `optional`."""

    rounds: int = 15
    optional: bool = True


def measure(case: Case, limits: Limits) -> Record:
    """Measure one case."""
    left_out: dict[str, str] = {}
    run = operators.threads if case.topic == "threads" else operators.measure
    return {
        "topic": case.topic,
        "title": case.title,
        "shape": list(case.shape),
        "n_codebooks": case.n_codebooks,
        "hard": case.hard,
        **run(case, limits.rounds, limits.optional, left_out),
        "left_out": left_out,
    }


SUITE = Suite(
    "performance",
    CASES,
    SMALL,
    Limits(),
    {"rounds": 3, "optional": False},
    measure,
    tables.SECTIONS,
)
