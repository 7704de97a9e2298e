"""The plot and the table of the page on networks, from results files.

``python docs/_ext/networks_page.py`` writes docs/figures/networks.svg, and the table of
docs/networks.md between its two comments; a test tells when results have changed and these have
not. Each task has a panel of accuracy over multiply-adds, and one of points over dense by epochs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import plots
import svg

DOCS = Path(__file__).resolve().parent.parent
if str(DOCS.parent) not in sys.path:
    sys.path.insert(0, str(DOCS.parent))

from benchmarks.suites.networks import tables  # noqa: E402

RESULTS = DOCS.parent / "benchmarks" / "results"
PAGE, PLOT = DOCS / "networks.md", DOCS / "figures" / "networks.svg"
WIDE, HIGH = 166, 130
STYLE = plots.STYLE.replace(
    "</style>",
    "".join(
        f"  .trace.{name} {{ fill: none; stroke: var(--pic-{name}); stroke-width: 1.8; }}\n"
        for name in ("warm", "cold", "third")
    )
    + "</style>",
)
TASKS = {"fashion": "Fashion-MNIST", "files": "Pieces of files"}
FAMILIES = {
    "cold": ("dense-narrow", "dense", "dense-wide"),
    "warm": ("r16-random", "r24-random", "r32-random", "r49-random"),
    "third": ("r16-scheme", "r24-scheme", "r32-scheme"),
}
"""The lines of the upper panels, by colour."""
NAMES = {"cold": "dense", "warm": "tiles, random start", "third": "tiles, scheme"}
ALONE = {"low-rank": "low rank", "monarch": "Monarch", "two-of-four": "2:4"}
"""Methods that are single points, and what stands beside them."""
LEARNING = {"warm": "r24-random", "third": "r24-scheme"}
"""The lines of the lower panels, by colour."""
SHOWN = (
    "dense", "r16-random", "r16-scheme", "r24-random", "r24-scheme", "r24-strassen",
    "r24-polynomial", "r32-random", "r32-scheme", "r49-random", "r49-strassen", "dense-narrow",
    "dense-wide", "low-rank", "monarch", "two-of-four",
)  # fmt: skip
"""The rows of the page's table."""

Record = dict[str, Any]
Runs = dict[str, dict[str, list[Record]]]
"""Finished runs, by task and method."""


def stored() -> list[Record]:
    """Return the finished runs of all results files."""
    paths = sorted(RESULTS.glob("networks-*.json"))
    found = [task for path in paths for task in json.loads(path.read_text())["tasks"]]
    return [task for task in found if "method" in task]


def by_method(found: Sequence[Record]) -> Runs:
    """Return runs by task and method."""
    runs: Runs = {task: {} for task in TASKS}
    for run in found:
        runs[run["task"]].setdefault(run["method"], []).append(run)
    return runs


def accuracy(runs: Sequence[Record]) -> float:
    """Return the mean accuracy at the end, in points."""
    return 100 * mean(map(tables.last, runs))


def points(runs: Sequence[Record], dense: Sequence[Record]) -> str:
    """Return by how many points runs are better than dense ones of the same seeds, in the mean."""
    apart = tables.apart(runs, dense)
    return tables.signed([mean(apart)]) if apart else "–"


def table(found: Sequence[Record]) -> str:
    """Return the table of the page as Markdown."""
    runs = by_method(found)
    lines = [
        ["layers of the blocks", "parameters, k", "multiply-adds, M", *TASKS.values()],
        ["---", *["---:"] * 4],
    ]
    for method in SHOWN:
        of_tasks = [of_task.get(method, []) for of_task in runs.values()]
        some = next((own for own in of_tasks if own), None)
        cells = ["–", "–"]
        if some:
            cells = [f"{some[0]['parameters'] / 1e3:.0f}", f"{tables.total(some[0]) / 1e6:.1f}"]
        for own, of_task in zip(of_tasks, runs.values(), strict=True):
            is_dense = method == "dense" and bool(own)
            over = points(own, of_task.get("dense", []))
            cells.append(f"{accuracy(own):.2f} %" if is_dense else over)
        lines.append([tables.words(method).partition(", the")[0], *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _axis(value: float) -> str:
    return f"{value:.1f}".replace("-", "−")


class Panel:
    """A panel with two linear axes, at a place of the plot."""

    def __init__(
        self, left: float, top: float, across: Sequence[float], up: Sequence[float]
    ) -> None:
        self.left, self.top = left, top
        margin = 0.08 * (max(up) - min(up))
        self.low, self.high = min(up) - margin, max(up) + margin
        self.most = max(across)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point is drawn."""
        height = (self.high - y) / ((self.high - self.low) or 1)
        return self.left + 8 + (WIDE - 46) * x / self.most, self.top + 8 + (HIGH - 16) * height

    def frame(self, title: str) -> list[str]:
        """Draw what stands around the points."""
        parts = [svg.text(self.left, self.top - 6, title, class_="small start")]
        parts.append(svg.rect(self.left, self.top, WIDE, HIGH, rx=3, class_="lane"))
        for value in (self.low, self.high):
            y = self.at(0, value)[1]
            parts.append(svg.text(self.left + WIDE - 3, y + 4, _axis(value), class_="small end"))
        return parts


def work_panel(runs: dict[str, list[Record]], title: str, left: float, top: float) -> list[str]:
    """Draw accuracy over multiply-adds."""
    drawn = [m for family in FAMILIES.values() for m in family] + list(ALONE)
    there = {m: (tables.total(runs[m][0]) / 1e6, accuracy(runs[m])) for m in drawn if m in runs}
    if not there:
        return []
    panel = Panel(left, top, [x for x, _ in there.values()], [y for _, y in there.values()])
    parts = panel.frame(f"{title}, %")
    for colour, family in FAMILIES.items():
        line = [panel.at(*there[m]) for m in family if m in there]
        parts.append(svg.path(line, class_=f"trace {colour}")) if line else None
        for m in (m for m in family if m in there):
            x, y = panel.at(*there[m])
            parts.append(svg.circle(x, y, 3.5, class_=colour))
            if m.startswith("r"):
                rank = m[1:].partition("-")[0]
                below = y - 6 if colour == "warm" else y + 14
                parts.append(svg.text(x, below, rank, class_=f"small {colour}"))
    for m, name in ALONE.items():
        if m in there:
            x, y = panel.at(*there[m])
            parts.append(svg.circle(x, y, 3, class_="ink", fill="none"))
            parts.append(svg.text(x - 6, y + 4, name, class_="small end"))
    end = f"0 to {panel.most:.1f} M multiply-adds"
    parts.append(svg.text(left, top + HIGH + 13, end, class_="small start"))
    return parts


def learning_panel(runs: dict[str, list[Record]], title: str, left: float, top: float) -> list[str]:
    """Draw by how many points tiles are better than dense layers after each epoch."""
    lines = {}
    dense = {run["seed"]: run["accuracy"] for run in runs.get("dense", ())}
    for colour, method in LEARNING.items():
        if some := [run for run in runs.get(method, ()) if run["seed"] in dense]:
            beside = zip(*(run["accuracy"] for run in some), strict=False)
            of_dense = zip(*(dense[run["seed"]] for run in some), strict=False)
            both = zip(beside, of_dense, strict=False)
            lines[colour] = [100 * (mean(own) - mean(other)) for own, other in both]
    if not lines:
        return []
    n_epochs = max(map(len, lines.values()))
    panel = Panel(left, top, [n_epochs], [0.0, *(y for line in lines.values() for y in line)])
    parts = panel.frame(f"{title.split()[0]}: points over dense")
    (x, zero), (end, _) = panel.at(0, 0), panel.at(n_epochs, 0)
    parts.append(svg.line(x, zero, end, zero, class_="hair"))
    for colour, line in lines.items():
        places = [panel.at(i + 1, y) for i, y in enumerate(line)]
        parts.append(svg.path(places, class_=f"trace {colour}"))
    words = f"epochs 1 to {n_epochs}, r = 24"
    parts.append(svg.text(left, top + HIGH + 13, words, class_="small start"))
    return parts


def draw(found: Sequence[Record]) -> str:
    """Return the plot as SVG that can stand alone."""
    runs = by_method(found)
    title = "Accuracy over multiply-adds and over epochs"
    parts, at = [svg.text(0, 11, title, class_="strong start")], 5
    for colour, name in NAMES.items():
        parts.append(svg.circle(at, 28, 5, class_=colour))
        parts.append(svg.text(at + 10, 32, name, class_="small start"))
        at += 34 + 6 * len(name)
    for i, (task, name) in enumerate(TASKS.items()):
        left = (360 - WIDE) * i
        parts += work_panel(runs[task], name, left, 58)
        parts += learning_panel(runs[task], name, left, 58 + HIGH + 40)
    said = [
        f"{name}: "
        + ", ".join(
            f"{tables.words(m)} {accuracy(runs[task][m]):.1f}" for m in SHOWN if m in runs[task]
        )
        for task, name in TASKS.items()
    ]
    bottom = 58 + 2 * (HIGH + 40) - 20
    made = svg.drawing("plot-networks", 360, bottom, title, "; ".join(said) + ".", *parts)
    return made.replace("</desc>\n", f"</desc>\n{STYLE}\n") + "\n"


def with_table(page: str, found: Sequence[Record]) -> str:
    """Return the page with the table of some results."""
    return plots.with_figures(page, table(found))


def main() -> None:
    """Write the plot and the table."""
    found = stored()
    PLOT.write_text(draw(found), encoding="utf-8")
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main()
