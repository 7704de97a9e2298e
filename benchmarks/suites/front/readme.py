"""What the README shows of the stored figures: the plot, the table and the first sentence's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from benchmarks.harness.levels import called
from benchmarks.harness.machine import ROOT
from benchmarks.harness.page import read_results
from benchmarks.harness.tables import Record, table
from benchmarks.suites.front.suite import SUITE

PLOT, README = ROOT / "docs" / "front.svg", ROOT / "README.md"
START, END = "<!-- results -->\n", "<!-- /results -->"

FAMILIES = {
    "look-ups": ("look-ups,\n8 to 64 an output", "#0b6e4f", (0.985, 0.70)),
    "look-ups and rank": ("look-ups and low rank", "#1d6fb8", (0.985, 0.535)),
    "low rank": ("low rank,\n64 to 8 of 512", "#9a5b00", (0.335, 0.62)),
    "8 bits": ("8 bits", "#b3263e", (0.335, 0.145)),
}
"""What the plot calls each kind of way, its colour, and where in the panel its name ends."""
SHOWN = {
    ("hidden", "exact: numpy.matmul"): "`numpy.matmul`",
    ("hidden", "8 bits"): "8 bits",
    ("hidden", "low rank: 16 of 512"): "low rank, 16 of 512",
    ("hidden", "look-ups: 16 + rank 8"): "**16 look-ups an output, and rank 8**",
    ("hidden", "look-ups: 32 an output"): "**32 look-ups an output**",
    ("head", "8 bits"): "8 bits",
    ("head", "look-ups: 16 an output"): "**16 look-ups an output**",
    ("winner", "8 bits"): "8 bits and argmax",
    ("winner", "exact winners: 99.9% promised"): "**exact for 99.9 % of rows**",
}
"""The rows of the README's table, and their names there. "8 bits" is the fastest of them."""
FIRST = ("hidden", "look-ups: 32 an output")
"""The way that the README's second sentence is about."""


def machines() -> list[list[Record]]:
    """Return the stored results of each machine, AVX2 first."""
    found: dict[tuple[str, str], list[Record]] = {}
    for results in sorted(read_results(SUITE), key=called, reverse=True):
        name = results["machine"]["cpu"], results["machine"]["llvm_cpu"]
        found.setdefault(name, []).append(results)
    return list(found.values())


def write() -> None:
    """Draw the plot and write the README's figures."""
    found = machines()
    draw(found, PLOT)
    README.write_text(with_figures(README.read_text(encoding="utf-8"), found[0]), encoding="utf-8")


def with_figures(text: str, of_machine: list[Record]) -> str:
    """Return the README with the table and the first sentence's figures of a machine."""
    before, after = text.partition(START)[0], text.partition(END)[2]
    text = f"{before}{START}{shown(of_machine)}\n{END}{after}"
    rows = {called(results): _chosen(results, *FIRST)[0] for results in of_machine}
    for name, row in rows.items():
        figure = rf"\d+( times\s(?:as fast as `numpy.matmul` )?with\s{name})"
        text = re.sub(figure, rf"{row['speed'][1]:.0f}\1", text, count=1)
    right = min(row["right"] for row in rows.values())
    return re.sub(r"(names )[\d.]+", rf"\g<1>{100 * right:.1f}", text, count=1)


def shown(of_machine: list[Record]) -> str:
    """Return the README's table: some ways, with the medians of a machine's levels."""
    titles = {task["name"]: task["title"] for task in of_machine[0]["tasks"]}
    lines, before = [], ""
    for (layer, name), words in SHOWN.items():
        found = [_chosen(results, layer, name) for results in of_machine]
        errors = [rows[0]["nmse"] for rows in found if rows[0]["nmse"] is not None]
        right = min(rows[0]["right"] for rows in found)
        told = [_error(max(errors)) if errors else "–", f"{100 * right:.1f} %"]
        lines.append(["" if layer == before else titles[layer], words, *told, *map(_speeds, found)])
        before = layer
    head = ["layer", "way", "error", "images right", *map(called, of_machine)]
    return table(head, lines).replace(
        "| --- " * len(head), "| --- | --- " + "| ---: " * len(head[2:])
    )


def _chosen(results: Record, layer: str, name: str) -> list[Record]:
    """Return the fastest row of that name or family, and those for other instruction sets."""
    rows = next(task["rows"] for task in results["tasks"] if task["name"] == layer)
    found = [row for row in rows if name in (row["name"], row["family"])]
    others = [row for row in found if row["size"].startswith("with ")]
    plain = [row for row in found if row not in others]
    return [max(plain, key=lambda row: row["speed"][1]), *others]


def _speeds(rows: list[Record]) -> str:
    first, *others = rows
    more = "".join(f" ({_number(row['speed'][1])} {row['size']})" for row in others)
    return _number(first["speed"][1]) + more


def _number(speed: float) -> str:
    return "1" if speed == 1 else f"{speed:.1f}" if speed < 9.95 else f"{speed:.0f}"


def _error(nmse: float) -> str:
    return f"{nmse:.1g}" if nmse >= 1e-4 else f"{nmse:.5f}" if nmse else "0"


def draw(found: list[list[Record]], path: Path) -> None:
    """Draw the hidden layer: a panel for each machine, a kind of marker for each level."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "maddjit", "font.size": 12, "axes.linewidth": 0.8}):
        figure = Figure(figsize=(5.6, 5.2 * len(found)), layout="constrained", facecolor="white")
        panels = figure.subplots(len(found), 1, squeeze=False)[:, 0]
        for axes, of_machine in zip(panels, found, strict=True):
            _panel(axes, of_machine)
        figure.savefig(path, metadata={"Date": None, "Creator": None})


def _panel(axes: Any, of_machine: list[Record]) -> None:
    for results in of_machine:
        is_avx2 = called(results) == "AVX2"
        dashes = (0, (4, 2)) if is_avx2 else "-"
        axes.plot([], [], "o", label=called(results), **_look("#444444", is_avx2, dashes))
        hidden = next(task for task in results["tasks"] if task["name"] == "hidden")
        for family, (_, colour, _) in FAMILIES.items():
            rows = [row for row in hidden["rows"] if row["family"] == family]
            rows.sort(key=lambda row: row["nmse"])
            low, speed, high = zip(*(row["speed"] for row in rows), strict=True)
            errors = [row["nmse"] for row in rows]
            axes.hlines(errors, low, high, color=colour, linewidth=4, alpha=0.35)
            lines = "none" if family == "8 bits" else dashes  # not sizes of one way
            axes.plot(speed, errors, "o", **_look(colour, is_avx2, lines))
    for name, colour, place in FAMILIES.values():
        axes.text(*place, name, color=colour, ha="right", va="center", transform=axes.transAxes)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([1, 2, 4, 8, 16, 32], ["1", "2", "4", "8", "16", "32"])
    axes.set_yticks([1e-4, 1e-3, 1e-2, 1e-1], [".0001", ".001", ".01", ".1"])
    axes.minorticks_off()
    axes.set_xlim(0.9, 45)
    axes.set_ylim(1.2e-5, 0.3)
    axes.axvline(1, color="#444444", linewidth=1, linestyle=":")
    axes.annotate("NumPy", (1, 0.16), (4, 0), textcoords="offset points", color="#444444")
    axes.grid(color="#e4e4e4", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    axes.set_xlabel("times as fast as numpy.matmul (faster to the right)")
    axes.set_ylabel("error, NMSE (better below)")


def _look(colour: str, is_avx2: bool, lines: Any) -> dict[str, Any]:
    """Return how a level's points look: filled for AVX-512, empty for AVX2."""
    return {
        "color": colour,
        "markerfacecolor": "white" if is_avx2 else colour,
        "markersize": 6.5,
        "linestyle": lines,
        "linewidth": 1.4,
    }
