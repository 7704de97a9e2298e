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
    "MADDNESS": ("#5a189a", "#9d4edd"),
    "codebooks": ("#0077b6",),
    "rank": ("#bc6c25", "#dd9a4a", "#8a5a00", "#e9b872"),
    "": ("#495057", "#868e96", "#adb5bd"),
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
    from matplotlib.ticker import PercentFormatter

    both = task["metric"] != "NMSE"
    figure = Figure(figsize=(10 if both else 5.5, 4.8))
    *others, last = figure.subplots(1, 2 if both else 1, squeeze=False)[0]
    styles = _styles(task)
    for axes in others:
        exact, sign = task["exact"]["score"], 1 if task["higher_is_better"] else -1
        edge = exact - sign * (LOST if sign > 0 else MORE_ERRORS)
        _lines(axes, task, styles, by_score(task), lambda run: run["score"][1], (edge, exact))
        axes.axhline(exact, color="#444", linewidth=0.8, linestyle=":")
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set(ylabel=task["metric"], title=f"{task['metric']}; dotted: exact")
        axes.set_ylim(edge - 0.03 * (exact - edge), exact + 0.03 * (exact - edge))
    _lines(last, task, styles, by_nmse, by_nmse, (LEAST_NMSE, MOST_NMSE))
    last.set(yscale="log", ylabel="NMSE (better upwards)", title="normalised squared error")
    last.invert_yaxis()
    drawn = {line.get_label(): line for axes in (*others, last) for line in axes.get_lines()}
    shown = {name: drawn[name] for name in styles if name in drawn}
    figure.tight_layout()
    look = {"loc": "center left", "bbox_to_anchor": (1.02, 0.5), "frameon": False, "fontsize": 8}
    last.legend(shown.values(), shown.keys(), **look)
    return figure


def _styles(task: Record) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each method, family by family, ours first."""
    families: dict[str, list[str]] = {family: [] for family in COLOURS}
    for name, words in {run["method"]: run["words"] for run in task["runs"]}.items():
        known = [f for text in (name, words) for f in COLOURS if f and text.startswith(f)]
        families[known[0] if known else ""].append(name)
    return {
        name: (COLOURS[family][i % len(COLOURS[family])], MARKERS[i % len(MARKERS)])
        for family, names in families.items()
        for i, name in enumerate(names)
    }


def _lines(
    axes: Any,
    task: Record,
    styles: dict[str, tuple[str, str]],
    error: Callable[[Record], float],
    height: Callable[[Record], float],
    ends: tuple[float, float],
) -> None:
    """Draw each method's frontier as far as it is on the plot, ours thick and in front."""
    from matplotlib.ticker import LogLocator, NullFormatter

    lines = frontiers(task["runs"], error)
    for name, (colour, marker) in styles.items():
        points = [(speed(run), height(run)) for run in lines[name]]
        line = [(x, y) for x, y in points if x >= LEAST_SPEED and min(ends) <= y <= max(ends)]
        if line:
            look = {"linewidth": 1, "markersize": 5, "alpha": 0.85, "zorder": 2}
            if is_own(name):
                look = {"linewidth": 2.2, "markersize": 6, "zorder": 3}
            axes.plot(*zip(*line, strict=True), color=colour, marker=marker, label=name, **look)
    axes.axvline(1, color="#444", linewidth=0.8)
    axes.set(xscale="log", xlabel="times as fast as numpy.matmul")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
