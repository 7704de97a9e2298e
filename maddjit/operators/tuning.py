"""The planner's choices, made by timing the few that are usually best, in turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np

from maddjit.compiler.signature import Choices

CANDIDATES = (
    Choices(),
    Choices(lines=True),
    Choices(lines=False),
    Choices(row_block=64),
    Choices(row_block=128),
    Choices(tile_bytes=16 * 1024),
    Choices(tile_bytes=64 * 1024),
)
"""What is tried: the rules, and what has been found better than them here and there."""
_ROUNDS = 7
_SECONDS = 2e-3
"""Of one turn."""


def fastest(runs: Sequence[Callable[[], object]]) -> tuple[int, list[float]]:
    """Time functions in turns; return the number of the fastest, and the seconds of each.

    Turns rather than one after the other: what else the machine does hits all alike.
    """
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(_ROUNDS):
        for run, own in zip(runs, seconds, strict=True):
            calls, start = 0, perf_counter()
            while (elapsed := perf_counter() - start) < _SECONDS or not calls:
                run()
                calls += 1
            own.append(elapsed / calls)
    medians = [float(np.median(own)) for own in seconds]
    return int(np.argmin(medians)), medians
