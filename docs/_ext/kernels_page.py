"""The plot and the table of the page on kernels, from results files.

``python docs/_ext/kernels_page.py`` writes docs/figures/kernels.svg, and the table of
docs/kernels.md between its two comments; a test tells when results have changed and these have not.
The plot has a panel for each operator: time per row over the number of rows, at each level.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import log2
from pathlib import Path
from typing import Any

import plots
import svg

DOCS = Path(__file__).resolve().parent.parent
RESULTS = DOCS.parent / "benchmarks" / "results"
PAGE, PLOT = DOCS / "kernels.md", DOCS / "figures" / "kernels.svg"
WIDE, HIGH, BELOW = 166, 62, 128
"""The width and the height of a panel, and from a panel to the one below."""
STEP = 1.05
"""A time per row of more than so many times that of half as many rows is marked."""
LEVELS = {"x86-64-v3": ("AVX2", "warm"), "x86-64-v4-vbmi": ("AVX-512", "cold")}
"""The levels that are shown, by their names in results, and their colours."""
STYLE = plots.STYLE.replace(
    "</style>",
    "  .trace.warm { fill: none; stroke: var(--pic-warm); stroke-width: 1.8; }\n"
    "  .trace.cold { fill: none; stroke: var(--pic-cold); stroke-width: 1.8; }\n</style>",
)
_FASTER = "× numpy.matmul"
SHOWN = {
    "Sums by columns, 10016 × 512 × 100, 16 look-ups, 8 bits": (
        "10016 × 512 × 100, C = 16, 8 bits",
        _FASTER,
    ),
    "the same in 16 bits": ("10016 × 512 × 100, C = 16, 16 bits", _FASTER),
    "the same, averages": ("10016 × 512 × 100, C = 16, averages", _FASTER),
    "the same, 64 look-ups, 8 bits": ("10016 × 512 × 100, C = 64, 8 bits", _FASTER),
    "the same, of 992 rows": ("992 × 512 × 100, C = 16, 8 bits", _FASTER),
    "the same, 1000 outputs": ("10016 × 512 × 1000, C = 16, 8 bits", _FASTER),
    "Row-major outputs, 1000 × 512 × 100": ("1000 × 512 × 100, C = 16, 8 bits", _FASTER),
    "10000 × 512 × 1000": ("10000 × 512 × 1000, C = 16, 8 bits", _FASTER),
    "16 × 384 × 30522, 64 look-ups": (
        "16 × 384 × 30522, C = 64, other rows each call",
        _FASTER,
    ),
    "Tiles, exact, 1024 × 1024 × 1024": (
        "1024 × 1024 × 1024, tiles: the best exact scheme",
        _FASTER,
    ),
}
"""The rows of the page's table: its words, and the case and the unit in results."""

Record = dict[str, Any]


def stored() -> list[Record]:
    """Return the results of the levels that are shown, AVX2 first."""
    found = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("kernels-*.json"))]
    shown = [results for results in found if results["machine"]["level"] in LEVELS]
    return sorted(shown, key=lambda results: list(LEVELS).index(results["machine"]["level"]))


def table(found: Sequence[Record]) -> str:
    """Return the page's table: medians, a column for each level of each machine."""
    heads = [
        f"{LEVELS[results['machine']['level']][0]}, {results['machine']['llvm_cpu']}"
        for results in found
    ]
    lines = [["× `numpy.matmul`", *heads], ["---", *["---:"] * len(found)]]
    for words, key in SHOWN.items():
        rows = [
            {(row["case"], row["unit"]): row for task in results["tasks"] for row in task["rows"]}
            for results in ({"tasks": [t for t in r["tasks"] if "rows" in t]} for r in found)
        ]
        lines.append([words, *(f"{of[key]['value'][1]:.3g}" if key in of else "" for of in rows)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def time(ns: float) -> str:
    """Return a time per row in ns or µs."""
    return f"{ns:.3g} ns" if ns < 999.5 else f"{ns / 1000:.3g} µs"


def panel(title: str, traces: Sequence[tuple[str, list[Record]]], left: float, top: float) -> str:
    """Draw time per row over N, relative to the slowest at N = 1; both axes are logarithmic."""
    most = max(point["ns"][1] for _, points in traces for point in points)
    low = min(log2(point["ns"][1] / most) for _, points in traces for point in points)

    def place(point: Record) -> tuple[float, float]:
        y = top + 37 + HIGH * log2(point["ns"][1] / most) / (low or -1)
        return left + 4 + (WIDE - 8) * log2(point["N"]) / 12, y

    parts = [svg.text(left, top, title.replace("sums by columns", "columns"), class_="small start")]
    parts.append(svg.rect(left, top + 33, WIDE, HIGH + 8, rx=3, class_="lane"))
    for at, (colour, points) in enumerate(traces):
        first, last = points[0], points[-1]
        words = f"{time(first['ns'][1])} → {time(last['ns'][1])}"
        parts.append(svg.text(left, top + 14 + 13 * at, words, class_=f"small {colour} start"))
        parts.append(svg.path(map(place, points), class_=f"trace {colour}"))
        parts += [
            svg.circle(*place(point), 3.5, class_="ink", fill="none")
            for point in points
            if (point["step"] or 0) > STEP
        ]
    return "\n".join(parts)


def draw(found: Sequence[Record]) -> str:
    """Return the plot as SVG that can stand alone; each level is shown of its first machine."""
    of_level = {LEVELS[r["machine"]["level"]]: r for r in reversed(found)}
    titles = [task["title"] for task in found[0]["tasks"] if "points" in task]
    title = "Time per row over the number of rows of a call"
    parts = [svg.text(0, 11, title, class_="strong start")]
    for at, (name, colour) in enumerate(sorted(of_level, reverse=True)):
        parts.append(svg.circle(5 + 76 * at, 28, 5, class_=colour))
        parts.append(svg.text(15 + 76 * at, 32, name, class_="small start"))
    parts.append(svg.circle(162, 28, 3.5, class_="ink", fill="none"))
    parts.append(svg.text(171, 32, f"> {STEP} × half as many rows", class_="small start"))
    said = []
    for at, shape in enumerate(titles):
        traces = [
            (colour, task["points"])
            for (_, colour), results in sorted(of_level.items(), reverse=True)
            for task in results["tasks"]
            if task["title"] == shape
        ]
        left, top = (360 - WIDE) * (at % 2), 56 + BELOW * (at // 2)
        parts.append(panel(shape, traces, left, top))
        ends = (f"{time(p[0]['ns'][1])} to {time(p[-1]['ns'][1])}" for _, p in traces)
        said.append(f"{shape}: {', '.join(ends)}")
    bottom = 56 + BELOW * ((len(titles) + 1) // 2)
    words = "Across: 1, 2, 4 … 4096 rows. Panels differ in scale."
    parts.append(svg.text(0, bottom, words, class_="small start"))
    made = svg.drawing("plot-kernels", 360, bottom + 8, title, "; ".join(said) + ".", *parts)
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
