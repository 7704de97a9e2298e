"""The suite of the paper's experiments: every task, every method, its error and its time."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.harness.suite import Suite
from benchmarks.harness.tables import Record
from benchmarks.suites.experiments import figures, tables
from benchmarks.suites.experiments.methods import EIGHT_BIT, chosen
from benchmarks.suites.experiments.trial import Limits, Trial
from benchmarks.tasks import TASKS, Task
from benchmarks.tasks.made_up import digits_hidden, directions


def measure(load: Callable[[], Task], limits: Limits) -> Record:
    """Measure one task."""
    left_out: dict[str, str] = {}
    tried, eight_bit = chosen(limits.methods, left_out), chosen((EIGHT_BIT,), {})
    record = Trial(load(), limits).run(tried, eight_bit)
    record["left_out"] |= left_out
    return record


SUITE = Suite(
    "experiments",
    TASKS,
    {
        "digits": lambda: digits_hidden(32, 1200),
        "directions": lambda: directions(64, 24, 1000, 300),
    },
    Limits(),
    {"rounds": 3, "rows": 300, "train_rows": 1000, "settings": 2, "turn_seconds": 0},
    measure,
    tables.SECTIONS,
    figures.figures,
)
