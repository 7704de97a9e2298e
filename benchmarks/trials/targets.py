"""What was wished for before it was measured, and what was reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from layout import number, spread

from trials.analysis import (
    Level,
    Point,
    by_score,
    mean,
    nmse_ratios,
    points,
    time_ratios,
    within,
)
from trials.candidates import EIGHT_BIT, PAPER

Record = dict[str, Any]

LESS_NMSE = {"fashion-head": 0.45, "magika": 0.6, "ocr": 0.6}
LESS_TIME = {"fashion-head": 0.5, "magika": 0.5, "ocr": 0.5}
HEAD_ROWS, HEAD_COLUMNS, HEAD_8_BIT = 7.0, 60.0, 1.0
MAGIKA_AGREEMENT, MAGIKA_8_BIT = 0.95, 1.5
OCR_8_BIT = 2.0
NEAR = 0.003


@dataclass(frozen=True)
class Target:
    """A wish: at most, or at least, so much; `reached` is None where it was not measured."""

    key: str
    task: str
    text: str
    wished: float
    least: bool
    reached: float | None = None
    remark: str = ""

    @property
    def met(self) -> bool | None:
        """Whether it was reached."""
        if self.reached is None:
            return None
        return self.reached >= self.wished if self.least else self.reached <= self.wished

    def cells(self) -> list[str]:
        """Return a row of the table."""
        sign = "≥" if self.least else "≤"
        reached = "" if self.reached is None else f"{number(self.reached)} "
        words = {True: "met", False: "**missed**", None: "not reached"}[self.met]
        if self.reached is None and self.remark == NOT_MEASURED:
            words = "–"
        return [
            self.key,
            self.task,
            self.text,
            f"{sign} {self.wished:g}",
            f"{reached}{self.remark}".strip(),
            words,
        ]


NOT_MEASURED = "not measured"


def judge(tasks: Sequence[Record]) -> list[Target]:
    """Return all targets, judged by the tasks that were measured."""
    known = {task["name"]: task for task in tasks}
    found = [_nmse(known.get(name), name, wished) for name, wished in LESS_NMSE.items()]
    found += [_time(known.get(name), name, wished) for name, wished in LESS_TIME.items()]
    near = "within 0.3 points of exact"
    rows = f"{near}: × exact, both row-major"
    columns = f"{near}: column-major A × exact, the faster of both layouts"
    peer = f"{near}: × the fastest 8-bit product"
    files = f"agreement of at least {MAGIKA_AGREEMENT:.0%}: × the fastest 8-bit product"
    for key, name, text, wished, level, speed in (
        ("c", "fashion-head", rows, HEAD_ROWS, _near, _rows),
        ("c", "fashion-head", columns, HEAD_COLUMNS, _near, _columns),
        ("c", "fashion-head", peer, HEAD_8_BIT, _near, _eight_bit),
        ("d", "magika", files, MAGIKA_8_BIT, _agreeing, _eight_bit),
        ("e", "ocr", peer, OCR_8_BIT, _near, _eight_bit),
    ):
        target = Target(key, name, text, wished, True, remark=NOT_MEASURED)
        found.append(_best(target, known.get(name), level, speed))
    return found


def _nmse(task: Record | None, name: str, wished: float) -> Target:
    text = f"NMSE over that of {PAPER} (K = 16) at equal time, geometric mean"
    target = Target("a", name, text, wished, least=False, remark=NOT_MEASURED)
    own, peer = _sides(task)
    ratios = nmse_ratios(own, peer)
    if not ratios:
        return target
    alike = nmse_ratios([p for p in own if p.method == "maddjit K=16"], peer)
    remark = f"({number(min(ratios))}–{number(max(ratios))}"
    remark += f"; K = 16 alone {number(mean(alike))})" if alike else ")"
    return Target("a", name, text, wished, False, mean(ratios), remark)


def _time(task: Record | None, name: str, wished: float) -> Target:
    text = f"time over that of {PAPER} (K = 16) at a metric as good, geometric mean"
    target = Target("b", name, text, wished, least=False, remark=NOT_MEASURED)
    own, peer = _sides(task)
    if not task or not own or not peer:
        return target
    ratios = time_ratios(own, peer, by_score(task))
    reached = [ratio for ratio in ratios if ratio is not None]
    missing = len(ratios) - len(reached)
    remarks = [f"({number(min(reached))}–{number(max(reached))})"] if reached else []
    remarks += [f"{missing} of {len(ratios)} of its settings not reached"] if missing else []
    reached_mean = mean(reached) if reached else None
    return Target("b", name, text, wished, False, reached_mean, ", ".join(remarks))


def _sides(task: Record | None) -> tuple[list[Point], list[Point]]:
    found = points(task) if task else []
    return [p for p in found if p.own], [p for p in found if p.method == PAPER]


def _near(task: Record) -> Level:
    return within(task, NEAR)


def _agreeing(_: Record) -> Level:
    return Level(
        "agreement", lambda point: point.score is not None and point.score >= MAGIKA_AGREEMENT
    )


Speed = Callable[[Point], list[float]]


def _rows(point: Point) -> list[float]:
    speed: list[float] = point.record["speed"]
    return speed


def _columns(point: Point) -> list[float]:
    columns: Mapping[str, list[float]] = point.record["columns"]
    return min(columns.values(), key=lambda quartiles: quartiles[1])


def _eight_bit(point: Point) -> list[float]:
    over: Mapping[str, list[float]] = point.record["over"]
    ratios = [quartiles for name, quartiles in over.items() if name.startswith(EIGHT_BIT)]
    return min(ratios, key=lambda quartiles: quartiles[1], default=[])


def _best(
    target: Target, task: Record | None, level: Callable[[Record], Level], speed: Speed
) -> Target:
    """Judge a target by the setting that does best at it, of those that are good enough."""
    if task is None:
        return target
    own = [p for p in points(task) if p.own and speed(p)]
    good = [p for p in own if level(task).good(p)]
    if not good:
        remark = "no setting is good enough" if own else NOT_MEASURED
        return Target(target.key, target.task, target.text, target.wished, True, remark=remark)
    best = max(good, key=lambda point: speed(point)[1])
    median = speed(best)[1]
    remark = f"{spread(speed(best)).split(' ', 1)[1]}, {best.method}, C = {best.setting}"
    return Target(target.key, target.task, target.text, target.wished, True, median, remark)
