"""Frontiers, the fastest setting that is good enough, and errors at equal time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trials.candidates import EIGHT_BIT, is_own, is_paper

Record = dict[str, Any]

_SPEEDS = 33
"""At so many speeds errors are compared."""


@dataclass(frozen=True)
class Point:
    """A setting of a method: its error, its score, and how many times as fast as exact it is."""

    method: str
    setting: int
    nmse: float
    score: float | None
    speed: float
    record: Record = field(default_factory=dict, compare=False, repr=False)

    @property
    def own(self) -> bool:
        """Whether it is a variant of maddjit's."""
        return is_own(self.method)

    @property
    def other(self) -> bool:
        """Whether it is neither maddjit's nor the paper's own method, which maddjit compiles."""
        return not self.own and not is_paper(self.method)

    @property
    def eight_bit(self) -> bool:
        """Whether it is an 8-bit product."""
        return self.method.startswith(EIGHT_BIT)


Error = Callable[[Point], float]


def points(task: Record) -> list[Point]:
    """Return all runs of a task, medians alone."""
    return [
        Point(
            run["method"],
            run["setting"],
            run["nmse"][1],
            run["score"][1] if run["score"] else None,
            run["speed"][1],
            run,
        )
        for run in task["runs"]
    ]


def by_nmse(point: Point) -> float:
    """Return the error by which frontiers are taken first."""
    return point.nmse


def by_score(task: Record) -> Error:
    """Return the error that a task's own metric means: less is better, infinite if not taken."""
    sign = -1 if task["higher_is_better"] else 1
    return lambda point: math.inf if point.score is None else sign * point.score


def frontier(found: Iterable[Point], error: Error) -> list[Point]:
    """Return the points than which none is both faster and better, the fastest first.

    Of equal ones the first stays; points without an error never do.
    """
    kept: list[Point] = []
    for point in sorted(found, key=lambda p: (-p.speed, error(p))):
        if error(point) < (error(kept[-1]) if kept else math.inf):
            kept.append(point)
    return kept


def frontiers(found: Sequence[Point], error: Error) -> dict[str, list[Point]]:
    """Return each method's own frontier."""
    methods = dict.fromkeys(point.method for point in found)
    return {name: frontier((p for p in found if p.method == name), error) for name in methods}


def shown(task: Record) -> list[Point]:
    """Return the points on their method's frontier by NMSE or by score, the fastest first."""
    found = points(task)
    kept = [
        point
        for error in (by_nmse, by_score(task))
        for line in frontiers(found, error).values()
        for point in line
    ]
    return sorted(dict.fromkeys(kept), key=lambda point: -point.speed)


def fastest(found: Iterable[Point], good: Callable[[Point], bool]) -> Point | None:
    """Return the fastest point that is good enough."""
    return max(filter(good, found), key=lambda point: point.speed, default=None)


@dataclass(frozen=True)
class Level:
    """A quality that is asked for."""

    words: str
    good: Callable[[Point], bool]


def within(task: Record, loss: float) -> Level:
    """Return the level of a score at most so far from the exact one."""
    error = by_score(task)
    exact = task["exact"]["score"] * (-1 if task["higher_is_better"] else 1)
    most = exact + loss + 1e-5  # scores are kept to five digits
    return Level(f"within {100 * loss:g} points", lambda point: error(point) <= most)


def at_most(nmse: float) -> Level:
    """Return the level of an NMSE."""
    return Level(f"NMSE {nmse:g}", lambda point: point.nmse <= nmse)


def levels(task: Record) -> list[Level]:
    """Return the qualities at which a task's methods are compared."""
    scores = [] if task["metric"] == "NMSE" else [within(task, loss) for loss in (0.005, 0.003)]
    return [*scores, *(at_most(nmse) for nmse in (0.01, 0.03, 0.1))]


def nmse_at(line: Sequence[Point], speed: float) -> float | None:
    """Return a frontier's NMSE at a speed: log NMSE is linear in log time between settings.

    None where the speed is outside the frontier, or its NMSE is 0.
    """
    line = sorted(line, key=lambda point: point.speed)
    if not line or not line[0].speed <= speed <= line[-1].speed:
        return None
    if any(point.nmse <= 0 for point in line):
        return None
    speeds, errors = (np.log([getattr(p, name) for p in line]) for name in ("speed", "nmse"))
    return float(np.exp(np.interp(np.log(speed), speeds, errors)))


def nmse_ratios(own: Sequence[Point], peer: Sequence[Point]) -> list[float]:
    """Return our NMSE over the peer's in as much time, at speeds evenly spread in log time.

    Ours is the least between the settings of any of our methods, and of those that are faster.
    They span the peer's speeds as far as we are as fast.
    """
    mine = [frontier(own, by_nmse), *frontiers(own, by_nmse).values()]
    other = frontier(peer, by_nmse)
    if not mine[0] or not other:
        return []
    least, most = other[-1].speed, min(line[0].speed for line in (mine[0], other))
    ratios = []
    for speed in np.geomspace(least, most, _SPEEDS).clip(least, most) if least <= most else ():
        errors = [error for line in mine if (error := nmse_at(line, speed)) is not None]
        errors += [point.nmse for point in own if point.speed >= speed]
        reference = nmse_at(other, speed)
        if reference is not None:
            ratios.append(min(errors) / reference)
    return ratios


def time_ratios(own: Sequence[Point], peer: Sequence[Point], error: Error) -> list[float | None]:
    """Return our time over that of each of the peer's frontier at a score as good as its own.

    None where no setting of ours is as good.
    """
    ratios = []
    for point in frontier(peer, error):
        best = fastest(own, lambda mine, p=point: error(mine) <= error(p))  # type: ignore[misc]
        ratios.append(point.speed / best.speed if best else None)
    return ratios


def mean(ratios: Sequence[float]) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.mean(np.log(ratios))))
