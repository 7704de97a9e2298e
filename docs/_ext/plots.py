"""The plot of each measurement page, drawn from the table that stands below it.

``python docs/_ext/plots.py`` writes docs/figures/*.svg; a test tells when a table has changed and
its plot has not. A column is drawn if `PLOTS` gives it a colour. A cell is a number, a range
(``21–28``), or empty.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import log2
from pathlib import Path

import svg

DOCS = Path(__file__).resolve().parent.parent
WIDTH = 360
STYLE = """<style>
  svg { font-family: system-ui, sans-serif; color: #1f2328; background: #ffffff;
        --pic-paper: #ffffff;
        --pic-warm: #c2571a; --pic-cold: #2b6cb0; --pic-third: #2f855a; --pic-faint: #b9bec6; }
  @media (prefers-color-scheme: dark) { svg { color: #e6edf3; background: #15181c;
        --pic-paper: #15181c;
        --pic-warm: #f6a35c; --pic-cold: #6fb1f0; --pic-third: #68d391; --pic-faint: #59616e; } }
  text { font-size: 12px; fill: currentColor; text-anchor: middle; }
  text.small { font-size: 10.5px; } text.strong { font-weight: 600; }
  text.halo { paint-order: stroke; stroke: var(--pic-paper); stroke-width: 4px; }
  text.start { text-anchor: start; } text.end { text-anchor: end; }
  .warm { fill: var(--pic-warm); } .cold { fill: var(--pic-cold); }
  .third { fill: var(--pic-third); } .hair { stroke: var(--pic-faint); }
  .ink { stroke: currentColor; stroke-width: 1.2; }
</style>"""
"""Colours where a figure stands alone; inside a page, those of the page replace them."""


@dataclass(frozen=True)
class Plot:
    """How the table of a page is drawn.

    Attributes
    ----------
    title : str
    unit : str
        What 1 is on the axis.
    columns : dict of str to str
        The heading of each column that is drawn, and its colour.
    """

    title: str
    unit: str
    columns: dict[str, str]


PLOTS = {
    "performance": Plot(
        "How many times as fast as numpy.matmul",
        "numpy.matmul",
        {"maddjit": "warm", "8 bits, from float32": "cold", "8 bits, A in 8 bits": "third"},
    ),
    "experiments": Plot(
        "How many times as fast as the exact product, at the quality named",
        "exact",
        {"maddjit": "warm", "MADDNESS": "third", "the fastest other": "cold"},
    ),
    "winners": Plot(
        "How many times as fast as numpy.matmul and arg-max",
        "numpy.matmul",
        {"maddjit": "warm", "8 bits, from float32": "cold", "8 bits, A in 8 bits": "third"},
    ),
    "tiles": Plot(
        "How many times as fast as numpy.matmul",
        "numpy.matmul",
        {"1024 × 1024 × 1024": "warm", "64 × 2048 × 2048": "third"},
    ),
    "service": Plot(
        "How many times as fast as the library's own way",
        "its own way",
        {"1000 rows": "warm", "1 row": "cold"},
    ),
}


def table(page: str) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the rows of the first table behind the page's plot."""
    behind = page[page.index("](figures/") :]
    lines = [line for line in behind.split("\n") if line.startswith("|")]
    length = next(
        (i for i, line in enumerate(behind[behind.index("|") :].split("\n")) if line[:1] != "|"),
        len(lines),
    )
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines[:length]]
    return cells[0], cells[2:]


def numbers(cell: str) -> list[float]:
    """Return the numbers of a cell: one, two for a range, or none."""
    plain = re.fullmatch(r"(\d*\.?\d+)(?:–(\d*\.?\d+))?", cell.replace("*", ""))
    return [float(part) for part in plain.groups() if part] if plain else []


def draw(name: str, page: str) -> str:
    """Return the plot of a page as SVG that can stand alone."""
    plot = PLOTS[name]
    headings, rows = table(page)
    drawn = [(headings.index(column), colour) for column, colour in plot.columns.items()]
    every = [v for row in rows for place, _ in drawn for v in numbers(row[place])]
    low, high = log2(min(*every, 1)) - 0.15, log2(max(every)) + 0.15

    def x(value: float) -> float:
        return 8 + (WIDTH - 16) * (log2(value) - low) / (high - low)

    top, step = 54, 34
    bottom = top + step * len(rows) - 4
    parts = [svg.text(0, 11, plot.title, class_="strong start")]
    at = 6.0
    for column, colour in plot.columns.items():
        parts.append(svg.circle(at, 28, 4.5, class_=colour))
        parts.append(svg.text(at + 9, 32, column, class_="small start"))
        at += 26 + 6.2 * len(column)
    ticks = [2.0**k for k in range(-3, 9) if low <= k <= high]
    for tick in ticks:
        parts.append(
            svg.line(
                x(tick),
                top - 10,
                x(tick),
                bottom,
                class_="ink" if tick == 1 else "hair",
                stroke_dasharray="" if tick == 1 else "2 3",
            )
        )
        parts.append(svg.text(x(tick), bottom + 13, f"{tick:g}", class_="small"))
    words = f"1 = {plot.unit}"
    parts.append(svg.text(0, bottom + 28, words, class_="small start"))
    for i, row in enumerate(rows):
        y = top + i * step
        words = row[0].replace("*", "").replace("`", "")
        parts.append(svg.text(0, y + 2, words, class_="small start halo"))
        parts.append(svg.line(0, y + 15, WIDTH, y + 15, class_="hair", stroke_opacity="0.5"))
        marks = [(numbers(row[place]), colour) for place, colour in drawn]
        for ends, colour in sorted((m for m in marks if m[0]), key=lambda mark: -len(mark[0])):
            left, right = x(ends[0]), x(ends[-1])
            parts.append(svg.rect(left - 4.5, y + 10.5, right - left + 9, 9, rx=4.5, class_=colour))
    desc = "; ".join(
        f"{row[0]}: " + ", ".join(f"{headings[p]} {row[p]}" for p, _ in drawn if numbers(row[p]))
        for row in rows
    ).replace("*", "")
    made = svg.drawing(f"plot-{name}", WIDTH, bottom + 34, plot.title, desc + ".", *parts)
    return made.replace("</desc>\n", f"</desc>\n{STYLE}\n") + "\n"


def main() -> None:
    """Write all plots."""
    (DOCS / "figures").mkdir(exist_ok=True)
    for name in PLOTS:
        page = (DOCS / f"{name}.md").read_text(encoding="utf-8")
        (DOCS / "figures" / f"{name}.svg").write_text(draw(name, page), encoding="utf-8")


if __name__ == "__main__":
    main()
