"""From results to the page of everyday costs; nothing is measured here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from layout import heading, number, origin, paragraph, reasons, spread, table
from report import write_between

from serving.start import FULL, PARTS

Record = dict[str, Any]
TITLE = "# Everyday costs"
MOST_MS = 20
"""To a ready operator with a full cache."""


def write_page(results: Record, page: Path) -> None:
    """Write the generated part into the page."""
    write_between(page, TITLE, lambda: render(results))


def render(results: Record) -> str:
    """Return the generated part of the page."""
    words = (
        "Ways of one table take turns, in another random order each round: medians of "
        f"{results['limits']['rounds']} rounds, with the quartiles in brackets. A turn of calls "
        "repeats its call for 5 ms at least; outputs are fresh memory."
    )
    blocks = [paragraph(line) for line in (origin(results), words, *reasons(results))]
    starts = [task for task in results["tasks"] if task["kind"] == "start"]
    if starts:
        blocks += [heading("A process that begins"), *map(_start, starts)]
    for task in results["tasks"]:
        if task["kind"] == "calls":
            blocks += _calls(task)
    return "\n\n".join(blocks)


def _start(task: Record) -> str:
    D, M = task["shape"]
    ready = task["ways"][FULL]["parts"]["compile"]
    words = (
        f"{D} × {M}, {task['n_codebooks']} codebooks, {task['cached_bytes'] / 1024:.0f} KB in the "
        f"cache; milliseconds. *compile* is from a loaded model to a ready operator: with a full "
        f"cache {MOST_MS} ms at most were wished for, {number(ready[1])} are reached"
        + (", met." if ready[1] <= MOST_MS else ", **missed**.")
    )
    rows = [
        [kind]
        + [spread(way["parts"][part]) if way["parts"] else "" for part in PARTS]
        + [spread(way["whole"]), spread(way["beyond"]) if way["parts"] else ""]
        for kind, way in task["ways"].items()
    ]
    head = ["", *PARTS, "whole process", "beyond NumPy alone"]
    return f"{paragraph(words)}\n\n{table(head, rows)}"


def _calls(task: Record) -> list[str]:
    (D, M), ways = task["shape"], task["ways"]
    sizes = list(next(iter(ways.values()))["calls"])
    words = f"{D} × {M}, {task['n_codebooks']} codebooks. {task['text']}"
    rows = [
        [f"**{name}**" if way["kind"] == "maddjit" else name, f"{way['nmse']:.2g}"]
        + [spread(way["calls"][n][figure]) for n in sizes for figure in ("us", "speed")]
        for name, way in ways.items()
    ]
    head = ["", "NMSE"]
    for n in sizes:
        head += [f"{n} row{'' if n == '1' else 's'}, µs", "× as fast"]
    lines = [words, *reasons(task)]
    return [heading(task["title"]), *map(paragraph, lines), table(head, rows)]
