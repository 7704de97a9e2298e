"""Timing: candidates take turns in one process, ratios are taken round by round."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from timeit import Timer
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal[
    "maddjit", "float32", "bfloat16", "8-bit", "8-bit with quantising", "by hand", "limit", "part"
]
Quartiles = list[float]
"""Lower quartile, median, upper quartile."""

LEAST_SECONDS = 5e-3
"""A turn repeats its candidate for about this long at least."""


@dataclass(frozen=True)
class Candidate:
    """Something to time.

    `run` is a callable, or a statement about `names`, which spares a Python call. `outputs` returns
    what the last run computed, to compare it with the exact product.
    """

    name: str
    kind: Kind
    run: Callable[[], object] | str
    names: dict[str, Any] = field(default_factory=dict)
    outputs: Callable[[], NDArray[Any]] | None = None

    def timer(self) -> Timer:
        """Return a timer, which keeps the garbage collector away."""
        return Timer(self.run, globals=self.names)


@dataclass(frozen=True)
class Turns:
    """Seconds of one call of each candidate, for each round."""

    seconds: dict[str, NDArray[np.float64]]

    def ratio(self, of: str, to: str) -> Quartiles:
        """Return the time of one candidate over that of another, round by round."""
        return quartiles(self.seconds[of] / self.seconds[to])

    def fastest(self, names: Sequence[str]) -> str | None:
        """Return the one with the least median time."""
        known = [name for name in names if name in self.seconds]
        return min(known, key=lambda name: float(np.median(self.seconds[name])), default=None)


def take_turns(
    candidates: Sequence[Candidate],
    rounds: int,
    least_seconds: float = LEAST_SECONDS,
    uncounted: int = 0,
) -> Turns:
    """Time all candidates `rounds` times, in another random order each round.

    Each turn begins with some calls that are not counted: what a candidate keeps between calls is
    then in the caches, as far as it fits.
    """
    timers = {candidate.name: candidate.timer() for candidate in candidates}
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
    timer.timeit(1)
    repeats = 1
    while (seconds := timer.timeit(repeats)) < least_seconds:
        wanted = repeats * least_seconds / max(seconds, 1e-9)
        repeats = min(max(repeats + 1, math.ceil(wanted)), 100 * repeats)
    return repeats
