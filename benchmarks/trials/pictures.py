"""The plots of the experiments: metric and NMSE against speed, as SVG files."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter

from trials.analysis import Point, by_nmse, by_score, frontiers, points
from trials.candidates import is_own

Record = dict[str, Any]

STYLES = {
    "8-bit, onnxruntime": ("#c1121f", "s"),
    "8-bit, torch linear_dynamic": ("#e5383b", "D"),
    "8-bit, torch _int_mm": ("#f28482", "P"),
    "bfloat16": ("#7f1d1d", "X"),
    "MADDNESS": ("#5a189a", "o"),
    "MADDNESS-PQ": ("#9d4edd", "v"),
    "Bolt": ("#0077b6", "^"),
    "PQ": ("#00a6c8", "s"),
    "OPQ": ("#48a9e6", "D"),
    "A-weighted low rank": ("#bc6c25", "o"),
    "PCA": ("#dd9a4a", "s"),
    "SVD": ("#8a5a00", "^"),
    "SparsePCA": ("#e9b872", "v"),
    "FD-AMM": ("#d63384", "<"),
    "Co-occurring directions": ("#f08cba", ">"),
    "column sampling": ("#495057", "x"),
    "HashJL": ("#6c757d", "+"),
    "OSNAP": ("#868e96", "1"),
    "FastJL": ("#6c757d", "2"),
    "random Gaussian": ("#868e96", "3"),
    "orthogonal Gaussian": ("#495057", "4"),
    "Rademacher": ("#adb5bd", "|"),
}
"""A colour for each family, and a marker; ours are green."""
OWN_COLOURS = ("#74c69d", "#40916c", "#95d5b2", "#1b4332", "#081c15", "#52b788")
OWN_MARKERS = ("o", "s", "^", "D", "*", "P")
_UNKNOWN = ("#000000", ".")

LEAST_NMSE, MOST_NMSE = 1e-6, 3.0
LEAST_SPEED = 0.05
LOST, MORE_ERRORS = 0.2, 0.6
"""An accuracy lower by so much than the exact one, or an error rate higher, is not drawn."""


def draw(tasks: Sequence[Record], folder: Path) -> dict[str, Path]:
    """Write a picture of each task that has runs; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for task in tasks:
        if task["runs"]:
            drawn = StringIO()
            with mpl.rc_context({"svg.hashsalt": "maddjit", "font.size": 9}):
                picture(task).savefig(
                    drawn, format="svg", metadata={"Date": None}, bbox_inches="tight"
                )
            paths[task["name"]] = folder / f"{task['name']}.svg"
            paths[task["name"]].write_text(_shorter(drawn.getvalue()))
    return paths


def _shorter(svg: str) -> str:
    """Leave out indentation, and all but two decimals of coordinates: a third of the file."""
    return re.sub(r"(?<!scale\()(\d\.\d\d)\d{4}\b", r"\1", re.sub(r"\n +", "\n", svg))


def picture(task: Record) -> Figure:
    """Draw both plots side by side, one legend for both; a metric that is the NMSE only once."""
    both = task["metric"] != "NMSE"
    figure = Figure(figsize=(10 if both else 5.5, 4.8))
    axes = figure.subplots(1, 2 if both else 1, squeeze=False)[0]
    styles = _styles(task)
    if both:
        _metric(axes[0], task, styles)
    _nmse(axes[-1], task, styles)
    handles, labels = axes[-1].get_legend_handles_labels()
    if both:  # what is off one plot may be on the other
        for handle, label in zip(*axes[0].get_legend_handles_labels(), strict=True):
            if label not in labels:
                handles.append(handle)
                labels.append(label)
    order = sorted(range(len(labels)), key=lambda i: list(styles).index(labels[i]))
    figure.tight_layout()
    axes[-1].legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc="center left",
        bbox_to_anchor=(1.02, 0.5),
        frameon=False,
        fontsize=8,
    )
    return figure


def _styles(task: Record) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each method, ours first."""
    names = list(dict.fromkeys(run["method"] for run in task["runs"]))
    own = [name for name in names if is_own(name)]
    styles = {
        name: (OWN_COLOURS[i % len(OWN_COLOURS)], OWN_MARKERS[i % len(OWN_MARKERS)])
        for i, name in enumerate(own)
    }
    styles |= {name: style for name, style in STYLES.items() if name in names}
    return styles | {name: _UNKNOWN for name in names if name not in styles}


def _metric(axes: Axes, task: Record, styles: dict[str, tuple[str, str]]) -> None:
    exact, higher = task["exact"]["score"], task["higher_is_better"]
    edge = exact - LOST if higher else exact + MORE_ERRORS
    lines = frontiers(points(task), by_score(task))
    _lines(
        axes,
        lines,
        styles,
        lambda point: point.score or 0.0,
        lambda value: value >= edge if higher else value <= edge,
    )
    axes.axhline(exact, color="#444", linewidth=0.8, linestyle=":")
    room = 0.03 * abs(exact - edge)
    axes.set_ylim(*((edge - room, exact + room) if higher else (edge + room, exact - room)))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel(task["metric"])
    axes.set_title(f"{task['metric']}; dotted: exact", fontsize=9)


def _nmse(axes: Axes, task: Record, styles: dict[str, tuple[str, str]]) -> None:
    lines = frontiers(points(task), by_nmse)
    _lines(axes, lines, styles, by_nmse, lambda value: LEAST_NMSE <= value <= MOST_NMSE)
    axes.set_yscale("log")
    axes.invert_yaxis()
    axes.set_ylabel("NMSE (better upwards)")
    axes.set_title("normalised squared error", fontsize=9)


def _lines(
    axes: Axes,
    lines: dict[str, list[Point]],
    styles: dict[str, tuple[str, str]],
    height: Callable[[Point], float],
    visible: Callable[[float], bool],
) -> None:
    """Draw each method's frontier as far as it is on the plot, ours thick and in front."""
    for name, style in styles.items():
        line = [
            point
            for point in lines.get(name, [])
            if point.speed >= LEAST_SPEED and visible(height(point))
        ]
        if not line:
            continue
        colour, marker = style
        own = is_own(name)
        axes.plot(
            [point.speed for point in line],
            [height(point) for point in line],
            color=colour,
            marker=marker,
            markersize=8 if marker == "*" else 6 if own else 5,
            linewidth=2.2 if own else 1,
            alpha=1 if own else 0.85,
            zorder=3 if own else 2,
            label=name,
        )
    axes.axvline(1, color="#444", linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("times as fast as numpy.matmul")
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
