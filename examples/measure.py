"""Timing for the examples: two candidates take turns, and their ratio is taken turn by turn.

The clock is the CPU time of the calling thread, which other programs disturb less than wall time.
Where that clock is too coarse (on Windows), it is wall time.
"""

from __future__ import annotations

from collections.abc import Callable
from time import get_clock_info, perf_counter, thread_time

import numpy as np

clock = thread_time if get_clock_info("thread_time").resolution < 1e-5 else perf_counter


def speed_up(
    peer: Callable[[], object], own: Callable[[], object], rounds: int = 31, least: float = 2e-3
) -> tuple[float, float, float]:
    """Return how many times as fast as `peer` the call `own` is: quartile, median, quartile.

    Each turn repeats a candidate for at least `least` seconds.
    """
    repeats = [_repeats(candidate, least) for candidate in (peer, own)]
    ratios = []
    for _ in range(rounds):
        seconds = [_time(c, n) / n for c, n in zip((peer, own), repeats, strict=True)]
        ratios.append(seconds[0] / seconds[1])
    low, median, high = np.percentile(ratios, [25, 50, 75])
    return float(low), float(median), float(high)


def _time(candidate: Callable[[], object], repeats: int) -> float:
    start = clock()
    for _ in range(repeats):
        candidate()
    return clock() - start


def _repeats(candidate: Callable[[], object], least: float) -> int:
    candidate()
    repeats = 1
    while (seconds := _time(candidate, repeats)) < least:
        repeats = max(2 * repeats, int(repeats * least / max(seconds, 1e-9)))
    return repeats
