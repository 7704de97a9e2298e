"""The paper's two claims: faster than exact, and than every other way, at equal quality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layout import number, spread

from trials.analysis import Level, Point, fastest, levels, points
from trials.timing import name

Record = dict[str, Any]

HEAD = [
    "quality",
    "fastest maddjit",
    "× exact",
    "fastest MADDNESS",
    "× exact",
    "fastest other",
    "× exact",
    "maddjit × other",
]


def compared(task: Record) -> list[tuple[Level, Point | None, Point | None, Point | None]]:
    """Return, for each level, the fastest of maddjit, of MADDNESS and of all others."""
    found = points(task)
    own = [p for p in found if p.own]
    other = [p for p in found if p.other]
    paper = [p for p in found if not p.own and not p.other]
    return [
        (level, fastest(own, level.good), fastest(paper, level.good), fastest(other, level.good))
        for level in levels(task)
    ]


def rows(task: Record) -> list[list[str]]:
    """Return a row of the table for each level."""
    return [
        [
            level.words,
            *_named(own),
            *_named(paper),
            *_named(other),
            number(over(own, other)) if own and other else "–",
        ]
        for level, own, paper, other in compared(task)
    ]


def over(own: Point, other: Point) -> float:
    """Return how many times as fast as the other ours is, by turns where both took turns."""
    turns = own.record.get("over", {}).get(name(other.record)) if other.record else None
    return float(turns[1]) if turns else own.speed / other.speed


def words(task: Record) -> str:
    """Say in plain words what the claims come to."""
    found = [(level.words, own, other) for level, own, _, other in compared(task)]
    unreached = [level for level, own, _ in found if own is None]
    known = [(level, own, other) for level, own, other in found if own]
    faster = [(level, own.speed) for level, own, _ in known if own.speed > 1]
    slower = [(level, own.speed) for level, own, _ in known if own.speed <= 1]
    wins: list[tuple[str, float]] = []
    losses: dict[str, list[tuple[str, float]]] = {}
    alone = []
    for level, own, other in known:
        if other is None:
            alone.append(level)
        elif (ratio := over(own, other)) > 1:
            wins.append((level, ratio))
        else:
            losses.setdefault(other.method, []).append((level, ratio))
    sentences = [
        _sentence("Faster than exact", faster),
        _sentence("No faster than exact", slower),
        _sentence("Faster than every other approximation", wins),
        *(_sentence(f"It loses to {method}", lost) for method, lost in losses.items()),
        f"Reached by no other approximation: {'; '.join(alone)}." if alone else "",
        f"Reached by no setting of maddjit: {'; '.join(unreached)}." if unreached else "",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _sentence(what: str, found: Sequence[tuple[str, float]]) -> str:
    parts = "; ".join(f"{level} {number(ratio)} ×" for level, ratio in found)
    return f"{what}: {parts}." if found else ""


def _named(point: Point | None) -> list[str]:
    if point is None:
        return ["none", "–"]
    name = point.method
    if point.record.get("words"):
        name += f", {'C' if point.record['words'] == 'codebooks' else 'width'} = {point.setting}"
    return [name, spread(point.record["speed"])]
