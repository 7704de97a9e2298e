"""Timing: candidates take turns in one process, and ratios are taken round by round."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from timeit import Timer
from typing import Any

import numpy as np
from numpy.typing import NDArray

Quartiles = list[float]
"""Lower quartile, median, upper quartile."""

LEAST_SECONDS = 5e-3
"""A turn repeats its candidate for at least about this long."""


@dataclass(frozen=True)
class Candidate:
    """One thing to time.

    `kind` groups candidates in tables: "maddjit", "float32", "8-bit" and so on. `run` is a callable
    or, to spare a Python call, a statement about `names`. `outputs` returns what the last run
    computed, so that it can be compared with the exact product before anything is timed. `answer`
    computes the same for any rows, where that is to be judged.
    """

    name: str
    kind: str
    run: Callable[[], object] | str
    names: dict[str, Any] = field(default_factory=dict)
    outputs: Callable[[], NDArray[Any]] | None = None
    answer: Callable[[NDArray[Any]], NDArray[Any]] | None = None

    def timer(self, clock: Callable[[], float] = perf_counter) -> Timer:
        """Return a timer. It keeps the garbage collector off."""
        return Timer(self.run, timer=clock, globals=self.names)

    def run_once(self) -> None:
        """Run the candidate once, untimed."""
        self.timer().timeit(1)


@dataclass(frozen=True)
class Turns:
    """Seconds of one call of each candidate, for each round."""

    seconds: dict[str, NDArray[np.float64]]

    def ratio(self, of: str, to: str) -> Quartiles:
        """Return the time of candidate `of` over that of `to`, round by round."""
        return quartiles(self.seconds[of] / self.seconds[to])

    def per(self, name: str, rows: int = 1, unit: float = 1e9) -> Quartiles:
        """Return the time of a call in parts of a second, nanoseconds by default, per row."""
        return quartiles(self.seconds[name] * unit / rows)


def take_turns(
    candidates: Sequence[Candidate],
    rounds: int,
    least_seconds: float = LEAST_SECONDS,
    uncounted: int = 0,
    clock: Callable[[], float] = perf_counter,
) -> Turns:
    """Time all candidates `rounds` times, in another random order each round.

    Each turn begins with `uncounted` calls that are not timed: what the candidate keeps between
    calls is then in the caches, as far as it fits.
    """
    timers = {candidate.name: candidate.timer(clock) for candidate in candidates}
    assert len(timers) == len(candidates), "two candidates have the same name"
    repeats = {name: _repeats(timer, least_seconds) for name, timer in timers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in timers}
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        for name in rng.permutation(list(timers)):
            if uncounted:
                timers[name].timeit(uncounted)
            seconds[name].append(timers[name].timeit(repeats[name]) / repeats[name])
    return Turns({name: np.array(times) for name, times in seconds.items()})


def quartiles(values: NDArray[np.float64] | Sequence[float]) -> Quartiles:
    """Return lower quartile, median and upper quartile, to four digits."""
    return [float(f"{value:.4g}") for value in np.percentile(values, [25, 50, 75])]


def _repeats(timer: Timer, least_seconds: float) -> int:
    """Return how many calls take `least_seconds`."""
    timer.timeit(1)
    repeats = 1
    while (seconds := timer.timeit(repeats)) < least_seconds:
        wanted = repeats * least_seconds / max(seconds, 1e-9)
        repeats = min(max(repeats + 1, math.ceil(wanted)), 100 * repeats)
    return repeats
