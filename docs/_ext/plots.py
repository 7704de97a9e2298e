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
WIDTH, TOP, STEP = 360, 58, 38
"""The width of a plot, where its first row begins, and from a row to the next."""
STYLE = """<style>
  svg { font-family: system-ui, sans-serif; color: #1f2328; background: #ffffff;
        --pic-paper: #ffffff;
        --pic-warm: #c2571a; --pic-cold: #2b6cb0; --pic-third: #2f855a; --pic-faint: #b9bec6; }
  @media (prefers-color-scheme: dark) { svg { color: #e6edf3; background: #15181c;
        --pic-paper: #15181c;
        --pic-warm: #f6a35c; --pic-cold: #6fb1f0; --pic-third: #68d391; --pic-faint: #59616e; } }
  text { font-size: 12px; fill: currentColor; text-anchor: middle; }
  text.small { font-size: 10.5px; } text.strong { font-weight: 600; }
  text.start { text-anchor: start; } text.end { text-anchor: end; }
  .warm { fill: var(--pic-warm); } .cold { fill: var(--pic-cold); }
  .third { fill: var(--pic-third); } .hair { stroke: var(--pic-faint); }
  .lane { fill: var(--pic-faint); fill-opacity: .22; }
  .gap { stroke: var(--pic-paper); stroke-width: 1.5; }
  .ink { stroke: currentColor; stroke-width: 1.2; }
  text.warm { fill: var(--pic-warm); } text.cold { fill: var(--pic-cold); }
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
        "Times as fast as numpy.matmul",
        "numpy.matmul",
        {"AVX2": "warm", "AVX-512": "third", "fastest other, AVX-512": "cold"},
    ),
    "experiments": Plot(
        "Times as fast as the exact product",
        "numpy.matmul",
        {"maddjit": "warm", "MADDNESS": "third", "the fastest other": "cold"},
    ),
    "winners": Plot(
        "Times as fast as numpy.matmul and arg-max",
        "numpy.matmul",
        {"maddjit": "warm", "8 bits, from float32": "cold", "8 bits, A in 8 bits": "third"},
    ),
    "tiles": Plot(
        "Times as fast as numpy.matmul",
        "numpy.matmul",
        {"AVX2": "warm", "AVX-512": "third", "Zen 4": "cold"},
    ),
    "convolutions": Plot(
        "Times as fast as a convolution in 8 bits",
        "8 bits",
        {"AVX2": "warm", "AVX-512": "third", "AMX": "cold"},
    ),
    "service": Plot(
        "Times as fast as the library's own way",
        "its own way",
        {"AVX2": "warm", "AVX-512": "third", "1 row, AVX-512": "cold"},
    ),
}


def with_figures(page: str, made: str) -> str:
    """Return a page with a generated table between its two comments."""
    start, end = "<!-- figures -->", "<!-- /figures -->"
    before, after = page.partition(start)[0], page.partition(end)[2]
    return f"{before}{start}\n\n{made}\n\n{end}{after}"


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


def _legend(plot: Plot) -> list[str]:
    """Draw the colours of the columns, and their headings."""
    parts, at = [], 5.0
    for column, colour in plot.columns.items():
        parts.append(svg.circle(at, 28, 5, class_=colour))
        parts.append(svg.text(at + 10, 32, column, class_="small start"))
        at += 28 + sum(8 if letter.isupper() else 6 for letter in column)
    return parts


def draw(name: str, page: str) -> str:
    """Return the plot of a page as SVG that can stand alone."""
    plot = PLOTS[name]
    headings, rows = table(page)
    drawn = [(headings.index(column), colour) for column, colour in plot.columns.items()]
    every = [v for row in rows for place, _ in drawn for v in numbers(row[place])]
    low, high = log2(min(*every, 1)) - 0.3, log2(max(every)) + 0.3
    ticks = [k for k in range(-3, 9) if low + 0.15 < k < high - 0.15]

    def x(value: float) -> float:
        return WIDTH * (log2(value) - low) / (high - low)

    parts = [svg.text(0, 11, plot.title, class_="strong start"), *_legend(plot)]
    for i, row in enumerate(rows):
        y = TOP + i * STEP
        cells = [(numbers(row[place]), colour) for place, colour in drawn]
        bold = "strong " if row[0].startswith("**") else ""
        parts.append(svg.text(0, y, re.sub("[*`]", "", row[0]), class_=f"small {bold}start"))
        first = row[drawn[0][0]].replace("*", "")
        parts.append(svg.text(WIDTH, y, first, class_=f"small strong {drawn[0][1]} end"))
        parts.append(svg.rect(0, y + 5, WIDTH, 14, rx=3, class_="lane"))
        for tick in ticks:
            marked = "ink" if tick == 0 else "gap"
            parts.append(svg.line(x(2.0**tick), y + 5, x(2.0**tick), y + 19, class_=marked))
        ends = [end for cell, _ in cells for end in cell]
        if ends:
            parts.append(svg.line(x(min(ends)), y + 12, x(max(ends)), y + 12, class_="hair"))
        for cell, colour in sorted((c for c in cells if c[0]), key=lambda cell: -len(cell[0])):
            left, right = x(cell[0]), x(cell[-1])
            parts.append(svg.rect(left - 5, y + 7, right - left + 10, 10, rx=5, class_=colour))
    bottom = TOP + STEP * len(rows)
    for tick in ticks:
        marked = "small strong" if tick == 0 else "small"
        shown = f"{2.0**tick:g}".lstrip("0")
        parts.append(svg.text(x(2.0**tick), bottom + 2, shown, class_=marked))
    parts.append(svg.text(0, bottom + 18, f"1 = {plot.unit}", class_="small start"))
    desc = "; ".join(
        f"{row[0]}: " + ", ".join(f"{headings[p]} {row[p]}" for p, _ in drawn if numbers(row[p]))
        for row in rows
    )
    desc = re.sub("[*`]", "", desc)
    made = svg.drawing(f"plot-{name}", WIDTH, bottom + 24, plot.title, desc + ".", *parts)
    return made.replace("</desc>\n", f"</desc>\n{STYLE}\n") + "\n"


def main() -> None:
    """Write all plots."""
    (DOCS / "figures").mkdir(exist_ok=True)
    for name in PLOTS:
        page = (DOCS / f"{name}.md").read_text(encoding="utf-8")
        (DOCS / "figures" / f"{name}.svg").write_text(draw(name, page), encoding="utf-8")


if __name__ == "__main__":
    main()
