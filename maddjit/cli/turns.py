"""Timing of calls that take turns, so that the machine's other work hits them alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from timeit import Timer

import numpy as np
from numpy.typing import NDArray

_TURN = 5e-3
"""The least duration of a turn, in seconds."""

TimedCall = Callable[[], object]
"""One way to compute something, called on what it already has."""


def take_turns(runs: Mapping[str, TimedCall], rounds: int) -> dict[str, NDArray[np.float64]]:
    """Return the seconds that a call of each way took in each round, (rounds,) by name.

    All ways take a turn in each round, in a new random order, so that the machine's other work
    hits them alike. A turn repeats its call for 5 ms or more.
    """
    timers = {name: Timer(run) for name, run in runs.items()}
    calls = {}
    for name, timer in timers.items():
        timer.timeit(1)
        calls[name] = max(1, ceil(_TURN / max(timer.timeit(1), 1e-7)))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        for name in rng.permutation(list(runs)).tolist():
            seconds[name].append(timers[name].timeit(calls[name]) / calls[name])
    return {name: np.array(own) for name, own in seconds.items()}
