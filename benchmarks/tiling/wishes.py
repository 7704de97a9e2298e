"""What was wished for before it was measured, and what was reached."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from layout import number, spread

from tiling.ways import EXACT, Record, in_bfloat16

CUBES = ("512x512x512", "1024x1024x1024", "2048x2048x2048", "4096x4096x4096")
THIN = "64x2048x2048"
ROUNDING = 4.0
"""Times the rounding error of `numpy.matmul` in float32 that exact schemes may have."""

HEAD = ["what", "where", "wished", "reached", ""]
Found = tuple[str, bool | None]
"""What was reached in words, and whether that is enough; None if nothing was measured."""


@dataclass(frozen=True)
class Fast:
    """The fastest of some ways is so many times as fast as `numpy.matmul` at each shape.

    Of exact schemes in float32 only those count whose rounding error is within `ROUNDING`.
    """

    text: str
    ways: tuple[str, ...]
    shapes: tuple[str, ...]
    least: float

    def rows(self, tasks: Mapping[str, Record]) -> list[list[str]]:
        """Return a row for each shape."""
        return [
            _row(f"{self.text}, × numpy.matmul", name, f"≥ {self.least:g}", self._found(task))
            for name in self.shapes
            for task in [tasks.get(name)]
        ]

    def _found(self, task: Record | None) -> Found:
        ways = task["ways"] if task else {}
        known = {way: ways[way] for way in self.ways if way in ways}
        near = {way: r for way, r in known.items() if r.get("rounding", 0) <= ROUNDING}
        if not near:
            return ("none rounds so little", False) if known else ("not measured", None)
        best = max(near, key=lambda way: float(near[way]["speed"][1]))
        told = spread(near[best]["speed"])
        if len(self.ways) > 1:
            dropped = [way for way in known if way not in near]
            told += f": {best}" + (f"; rounding more: {', '.join(dropped)}" if dropped else "")
        return told, bool(near[best]["speed"][1] >= self.least)


@dataclass(frozen=True)
class Near:
    """An error that is at most so large; `value` takes a task's record, None if it has none."""

    text: str
    where: tuple[str, ...]
    most: float
    value: Callable[[Record], float | None]

    def rows(self, tasks: Mapping[str, Record]) -> list[list[str]]:
        """Return one row, for the largest error."""
        values = {name: self.value(tasks[name]) for name in self.where if name in tasks}
        known = {name: value for name, value in values.items() if value is not None}
        found: Found = ("not measured", None)
        where = ", ".join(known or self.where)
        if known:
            worst = max(known.values())
            found = number(worst), worst <= self.most
        return [_row(self.text, where, f"≤ {self.most:g}", found)]


def _row(text: str, where: str, wished: str, found: Found) -> list[str]:
    told, is_met = found
    where = where.replace("x", " × ") if where[0].isdigit() else where
    return [text, where, wished, told, {True: "met", False: "**missed**", None: "–"}[is_met]]


def _of_way(way: str, what: str) -> Callable[[Record], float | None]:
    return lambda task: task["ways"].get(way, {}).get(what)


def _of_run(name: str) -> Callable[[Record], float | None]:
    def root(task: Record) -> float | None:
        errors = [run["error"] for run in task["runs"] if run["name"] == name]
        return math.sqrt(errors[0]) if errors else None

    return root


_LARGE = CUBES[1]
WISHES: tuple[Fast | Near, ...] = (
    Fast("plain", ("plain",), CUBES[:3], 1.05),
    Fast("plain", ("plain",), (THIN,), 1.3),
    Fast("exact Strassen", EXACT, CUBES[:2], 1.22),
    Fast("exact Strassen", EXACT, CUBES[2:], 1.18),
    Fast("exact Strassen", EXACT, (THIN,), 1.6),
    Fast("bfloat16", (in_bfloat16("plain"),), CUBES, 2.1),
    Fast("bfloat16 + Strassen", (in_bfloat16("strassen"),), CUBES, 2.35),
    Fast("r = 24", ("r = 24",), (_LARGE,), 2.35),
    Fast("r = 16", ("r = 16",), (_LARGE,), 3.4),
    Fast("bfloat16 + r = 24", (in_bfloat16("r = 24"),), (_LARGE,), 3.9),
    *(
        Near(
            f"{way}: rounding, × that of numpy.matmul",
            CUBES,
            ROUNDING,
            _of_way(way, "rounding"),
        )
        for way in EXACT
    ),
    *(
        Near(
            f"r = {rank} on white data, root mean square error",
            CUBES[:3],
            most,
            _of_way(f"r = {rank}", "error"),
        )
        for rank, most in ((24, 0.72), (32, 0.565), (48, 0.065))
    ),
    *(
        Near(
            f"r = {rank} fitted, root mean square error on test rows",
            ("digits",),
            most,
            _of_run(f"r = {rank}"),
        )
        for rank, most in ((24, 0.06), (32, 0.03))
    ),
)


def rows(tasks: Sequence[Record]) -> list[list[str]]:
    """Return the rows of the table of wishes."""
    known = {task["name"]: task for task in tasks}
    return [row for wish in WISHES for row in wish.rows(known)]
