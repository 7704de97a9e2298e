"""Frontiers of runs, qualities to compare at, and the fastest run that is good enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from benchmarks.harness.tables import Record
from benchmarks.suites.experiments.methods import is_compiled, is_own, is_paper

Error = Callable[[Record], float]
"""Takes a run, returns what less is better of, infinite if it was not taken."""
Good = Callable[[Record], bool]
"""Tells whether a run has the quality that is asked for."""


def by_nmse(run: Record) -> float:
    """Return the median NMSE of a run."""
    return float(run["nmse"][1])


def by_score(task: Record) -> Error:
    """Return the error that the task's own metric means."""
    sign = -1 if task["higher_is_better"] else 1
    return lambda run: sign * run["score"][1] if run["score"] else math.inf


def speed(run: Record) -> float:
    """Return how many times as fast as exact a run is in the median."""
    return float(run["speed"][1])


def frontier(runs: Iterable[Record], error: Error) -> list[Record]:
    """Return the runs than which none is both faster and better, the fastest first.

    Of equal ones the first stays; runs without an error never do.
    """
    kept: list[Record] = []
    for run in sorted(runs, key=lambda run: (-speed(run), error(run))):
        if error(run) < (error(kept[-1]) if kept else math.inf):
            kept.append(run)
    return kept


def frontiers(runs: Sequence[Record], error: Error) -> dict[str, list[Record]]:
    """Return the frontier of each method."""
    methods = dict.fromkeys(run["method"] for run in runs)
    return {name: frontier((r for r in runs if r["method"] == name), error) for name in methods}


def shown(task: Record) -> list[Record]:
    """Return the runs on their method's frontier by NMSE or by score, the fastest first."""
    kept = {
        id(run): run
        for error in (by_nmse, by_score(task))
        for line in frontiers(task["runs"], error).values()
        for run in line
    }
    return sorted(kept.values(), key=lambda run: -speed(run))


def within(task: Record, loss: float) -> Good:
    """Tell whether a run's score is at most `loss` worse than the exact one."""
    error = by_score(task)
    exact = task["exact"]["score"] * (-1 if task["higher_is_better"] else 1)
    return lambda run: error(run) <= exact + loss + 1e-5  # scores are kept to five digits


def at_most(nmse: float) -> Good:
    """Tell whether a run's NMSE is small enough."""
    return lambda run: by_nmse(run) <= nmse


def levels(task: Record) -> dict[str, Good]:
    """Return the qualities at which a task's methods are compared."""
    losses = () if task["metric"] == "NMSE" else (0.005, 0.003)
    scores = {f"within {100 * loss:g} points": within(task, loss) for loss in losses}
    return scores | {f"NMSE {nmse:g}": at_most(nmse) for nmse in (0.01, 0.03, 0.1)}


def fastest(runs: Iterable[Record], good: Good) -> Record | None:
    """Return the fastest run that is good enough."""
    return max(filter(good, runs), key=speed, default=None)


def compared(task: Record) -> dict[str, list[Record | None]]:
    """Return for each level the fastest run of maddjit, of MADDNESS and of all others."""
    kinds = (is_own, is_paper, lambda name: not is_compiled(name))
    groups = [[run for run in task["runs"] if kind(run["method"])] for kind in kinds]
    return {
        words: [fastest(group, good) for group in groups] for words, good in levels(task).items()
    }


def name(run: Record) -> str:
    """Return the name of a run: its method, and its setting if it has any."""
    return f"{run['method']} {run['setting']}" if run["words"] else str(run["method"])


def over(own: Record, other: Record) -> float:
    """Return how many times as fast as `other` our run is, by turns where both took turns."""
    turns = own.get("over", {}).get(name(other))
    return float(turns[1]) if turns else speed(own) / speed(other)
