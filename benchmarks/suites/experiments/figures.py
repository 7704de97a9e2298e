"""The figures of the experiments: metric and NMSE against speed, one for each task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.harness.tables import Record
from benchmarks.suites.experiments.analysis import by_nmse, by_score, frontiers, speed
from benchmarks.suites.experiments.methods import is_own

COLOURS = {
    "maddjit": ("#74c69d", "#40916c", "#95d5b2", "#1b4332", "#081c15", "#52b788"),
    "8-bit": ("#c1121f", "#e5383b", "#f28482"),
    "bfloat16": ("#7f1d1d",),
    "MADDNESS": ("#5a189a", "#9d4edd", "#7b2cbf", "#c77dff"),
    "codebooks": ("#0077b6", "#00a6c8"),
    "rank": ("#bc6c25", "#dd9a4a", "#8a5a00", "#e9b872"),
    "width": ("#495057", "#868e96", "#6c757d", "#adb5bd"),
}
"""The colours of each family of methods: by the start of a name, or of a setting's words."""
MARKERS = "os^D*Pv<>X"
LEAST_NMSE, MOST_NMSE, LEAST_SPEED = 1e-6, 3.0, 0.05
LOST, MORE_ERRORS = 0.2, 0.6
"""An accuracy lower by so much than the exact one, or an error rate higher, is not drawn."""


def figures(results: Record) -> dict[str, Any]:
    """Return a figure of each task that has runs."""
    return {task["name"]: _figure(task) for task in results["tasks"] if task["runs"]}


def _figure(task: Record) -> Any:
    """Draw both plots side by side with one legend. A metric that is the NMSE is drawn once."""
    from matplotlib.figure import Figure

    both = task["metric"] != "NMSE"
    figure = Figure(figsize=(10 if both else 5.5, 4.8))
    axes = figure.subplots(1, 2 if both else 1, squeeze=False)[0]
    styles = _styles(task)
    if both:
        _metric(axes[0], task, styles)
    _nmse(axes[-1], task, styles)
    drawn: dict[str, Any] = {}
    for one in axes:  # what is off one plot may be on the other
        drawn |= {line.get_label(): line for line in one.get_lines()}
    shown = {name: drawn[name] for name in styles if name in drawn}
    figure.tight_layout()
    axes[-1].legend(
        shown.values(),
        shown.keys(),
        loc="center left",
        bbox_to_anchor=(1.02, 0.5),
        frameon=False,
        fontsize=8,
    )
    return figure


def _styles(task: Record) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each method, family by family, ours first."""
    families = {run["method"]: _family(run) for run in task["runs"]}
    styles = {}
    for family, colours in COLOURS.items():
        for i, name in enumerate(name for name, known in families.items() if known == family):
            styles[name] = colours[i % len(colours)], MARKERS[i % len(MARKERS)]
    return styles


def _family(run: Record) -> str:
    words = run["method"], run["words"]
    return next((family for family in COLOURS if words[0].startswith(family)), "") or next(
        (family for family in COLOURS if words[1].startswith(family)), "width"
    )


def _metric(axes: Any, task: Record, styles: dict[str, tuple[str, str]]) -> None:
    from matplotlib.ticker import PercentFormatter

    exact, higher = task["exact"]["score"], task["higher_is_better"]
    edge = exact - LOST if higher else exact + MORE_ERRORS
    lines = frontiers(task["runs"], by_score(task))

    def is_on(value: float) -> bool:
        return value >= edge if higher else value <= edge

    _lines(axes, lines, styles, lambda run: run["score"][1], is_on)
    axes.axhline(exact, color="#444", linewidth=0.8, linestyle=":")
    room = 0.03 * abs(exact - edge)
    axes.set_ylim(*((edge - room, exact + room) if higher else (edge + room, exact - room)))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel(task["metric"])
    axes.set_title(f"{task['metric']}; dotted: exact", fontsize=9)


def _nmse(axes: Any, task: Record, styles: dict[str, tuple[str, str]]) -> None:
    lines = frontiers(task["runs"], by_nmse)
    _lines(axes, lines, styles, by_nmse, lambda value: LEAST_NMSE <= value <= MOST_NMSE)
    axes.set_yscale("log")
    axes.invert_yaxis()
    axes.set_ylabel("NMSE (better upwards)")
    axes.set_title("normalised squared error", fontsize=9)


def _lines(
    axes: Any,
    lines: dict[str, list[Record]],
    styles: dict[str, tuple[str, str]],
    height: Callable[[Record], float],
    is_on: Callable[[float], bool],
) -> None:
    """Draw each method's frontier as far as it is on the plot, ours thick and in front."""
    from matplotlib.ticker import LogLocator, NullFormatter

    for name, (colour, marker) in styles.items():
        line = [
            (speed(run), height(run))
            for run in lines.get(name, ())
            if speed(run) >= LEAST_SPEED and is_on(height(run))
        ]
        if line:
            look = {"linewidth": 1, "markersize": 5, "alpha": 0.85, "zorder": 2}
            if is_own(name):
                look = {"linewidth": 2.2, "markersize": 6, "zorder": 3}
            axes.plot(*zip(*line, strict=True), color=colour, marker=marker, label=name, **look)
    axes.axvline(1, color="#444", linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("times as fast as numpy.matmul")
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
