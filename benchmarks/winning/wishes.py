"""What was wished for before it was measured, and what was reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from layout import number, spread

from winning.rivals import ALONE, CHOOSING, EXACT, FLAT, REFINED, WHOLE

Record = dict[str, Any]

NEAR_CER = 0.0002
"""Character error rates that count as equal."""


@dataclass(frozen=True)
class Wish:
    """At least so many times as fast as the fastest of some rivals, with runs that are so good.

    `least` is 0 where nothing was wished and the ratio is shown beside the others.
    """

    task: str
    quality: str
    recall: float
    text: str
    against: Callable[[str, Record], bool]
    least: float
    metric: str = ""


def _named(name: str) -> Callable[[str, Record], bool]:
    return lambda rival, _: rival == name


def _kinds(*kinds: str) -> Callable[[str, Record], bool]:
    return lambda _, record: record["kind"] in kinds


def _refined(name: str, record: Record) -> bool:
    return name.startswith(REFINED) and record["recall"] >= 0.99


_CER = "character error rate"
WISHES = (
    Wish("fashion-head", "agreement ≥ 99.9 %", 0.999, "× float32", _named(EXACT), 8),
    Wish(
        "fashion-head",
        "agreement ≥ 99.9 %",
        0.999,
        "× the fastest 8-bit product",
        _kinds(ALONE, CHOOSING, WHOLE),
        1,
    ),
    Wish("magika", "agreement ≥ 99 %", 0.99, "× the 8-bit product alone", _kinds(ALONE), 3),
    Wish(
        "ocr",
        "agreement ≥ 99.9 %, character error rate within .02 points of exact",
        0.999,
        "× the 8-bit product alone",
        _kinds(ALONE),
        6,
        _CER,
    ),
    Wish(
        "ocr",
        "agreement ≥ 99.9 %, character error rate within .02 points of exact",
        0.999,
        "× the 8-bit product with its arg-max",
        _kinds(CHOOSING, WHOLE),
        10,
        _CER,
    ),
    Wish("minilm-tokens", "recall of ten ≥ 99 %", 0.99, f"× {FLAT}", _named(FLAT), 5),
    Wish("minilm-tokens", "recall of ten ≥ 99 %", 0.99, f"× {REFINED}, as good", _refined, 0),
)

HEAD = ["task", "quality", "what", "wished", "reached", ""]


def rows(tasks: Sequence[Record]) -> list[list[str]]:
    """Return a row of the table for each wish."""
    known = {task["name"]: task for task in tasks}
    found = [_judged(wish, known.get(wish.task)) for wish in WISHES]
    for task in tasks:
        for split in task.get("coverage", {}).get("splits", ()):
            found.append(_covered(task["name"], split))
    return found


def fastest(task: Record, against: Callable[[str, Record], bool]) -> str | None:
    """Return the rival with the least time of those that are meant."""
    known: Mapping[str, Record] = task["rivals"]
    meant = [name for name, record in known.items() if against(name, record)]
    timed = [name for name in meant if "ns_per_row" in known[name]]
    return min(timed, key=lambda name: float(known[name]["ns_per_row"][1]), default=None)


def good(task: Record, recall: float, metric: str = "") -> list[Record]:
    """Return the runs that are so good."""
    return [
        run
        for run in task["runs"]
        if run["recall"] >= recall
        and (not metric or abs(run["metrics"][metric] - task["exact"][metric]) <= NEAR_CER)
    ]


def _judged(wish: Wish, task: Record | None) -> list[str]:
    wished = f"≥ {wish.least:g}" if wish.least else "–"
    head = [wish.task, wish.quality, wish.text, wished]
    peer = fastest(task, wish.against) if task else None
    if task is None or peer is None:
        return [*head, "not measured", "–"]
    runs = good(task, wish.recall, wish.metric)
    if not runs:
        return [*head, "no setting is good enough", "**missed**"]
    best = max(runs, key=lambda run: float(run["over"][peer][1]))
    ratio = best["over"][peer]
    told = f"{spread(ratio)}: {name(best)}, over {peer}"
    met = "met" if ratio[1] >= wish.least else "**missed**"
    return [*head, told, met if wish.least else "–"]


def name(run: Record) -> str:
    """Return what a run is called."""
    coverage = run["coverage"]
    further = "tables alone" if coverage is None else f"coverage {coverage:g}"
    return f"{run['label']}, {further}"


def _covered(task: str, split: Record) -> list[str]:
    asked, mean = split["asked"], split["mean"]
    low, high = min(split["observed"]), max(split["observed"])
    n_splits = len(split["observed"])
    return [
        task,
        f"coverage {asked:g}",
        f"mean of {n_splits} random splits",
        f"≥ {number(split['least_mean'])}",
        f"{mean:.5f} ({low:.5f}–{high:.5f})",
        "met" if mean >= split["least_mean"] else "**missed**",
    ]
