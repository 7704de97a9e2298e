"""The picture: accuracy against speed, a panel for each table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from first_minute.table import Table

COLOURS = {
    "exact": "black",
    "8 bits": "tab:orange",
    "low rank": "tab:green",
    "look-ups": "tab:blue",
    "look-ups and rank": "tab:purple",
    "exact winners": "tab:red",
}


def draw(tables: Sequence[Table], title: str, path: Path) -> bool:
    """Write the picture. Return False, and write nothing, if matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return False
    figure = Figure(figsize=(4.6 * len(tables), 5), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    lines = {}
    for axes, table in zip(figure.subplots(1, len(tables), sharey=True), tables, strict=True):
        best = table.best()
        lines["beaten by none"] = axes.step(
            [1, *(row.speed for row in best)],
            [100 * row.right for row in (best[0], *best)],
            color="grey",
            linewidth=6,
            alpha=0.25,
        )[0]
        for family, colour in COLOURS.items():
            rows = [row for row in table.rows if row.family == family]
            points = [row.speed for row in rows], [100 * row.right for row in rows]
            if rows:
                lines[family] = axes.plot(*points, "o-", color=colour)[0]
            for i, (row, *point) in enumerate(zip(rows, *points, strict=True)):
                # Labels alternate between two sides, so that neighbours do not overlap.
                place, side = ((-5, -13), "right") if i % 2 else ((5, 5), "left")
                axes.annotate(row.size, point, place, textcoords="offset points", ha=side)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(x=0.15, y=0.1)
        axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
        axes.set_title(table.title, fontsize="medium")
        axes.set_xlabel("times as fast as NumPy")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("images named right, %")
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=len(lines))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return True
