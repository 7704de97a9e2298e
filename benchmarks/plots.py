"""The plots of the page, as SVG files that change only if the results do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import topics
from matplotlib.figure import Figure

Record = dict[str, Any]

SERIES: list[tuple[str, str, Callable[[str, str], bool]]] = [
    ("maddjit", "#0b6e4f", lambda name, _: name == topics.OWN),
    ("maddjit K = 64", "#73c2a0", lambda name, _: name == topics.K64),
    ("MADDNESS by hand, numba", "#b8a1d9", lambda _, kind: kind == "by hand"),
    ("best 8-bit product", "#e07a5f", lambda _, kind: kind == "8-bit"),
    ("best 8-bit product, quantising", "#f2b8a0", lambda _, kind: kind == "8-bit with quantising"),
    ("torch bfloat16, casting", "#f2cc8f", lambda _, kind: kind == "bfloat16"),
    ("best float32 beside NumPy", "#8d99ae", lambda name, kind: _other_float(name, kind)),
]


def draw(results: Record, folder: Path) -> dict[str, Path]:
    """Write a file for each plot that has cases; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, topic, plot in (("speed", "operator", _speed), ("split", "split", _split)):
        cases = [c for c in results["cases"] if c["topic"] == topic and not c["hard"]]
        if cases:
            paths[name] = folder / f"{name}.svg"
            with mpl.rc_context({"svg.hashsalt": "maddjit", "font.size": 9}):
                plot(cases).savefig(paths[name], metadata={"Date": None}, bbox_inches="tight")
    return paths


def _other_float(name: str, kind: str) -> bool:
    return kind == "float32" and not name.startswith("numpy")


def _best(case: Record, chosen: Callable[[str, str], bool]) -> list[float] | None:
    found = [
        one["times_as_fast"]
        for name, one in case["candidates"].items()
        if chosen(name, one["kind"])
    ]
    return max(found, key=lambda quartiles: quartiles[1], default=None)


def _limit(case: Record) -> float | None:
    """Return how many times as fast the slower of one read of A and the best write of Y is."""
    rates: dict[str, float] = {
        name: one["times_as_fast"][1]
        for name, one in case["candidates"].items()
        if one["kind"] == "limit"
    }
    if not rates:
        return None
    return min(rates["read A"], max(rate for name, rate in rates.items() if name != "read A"))


def _speed(cases: list[Record]) -> Figure:
    """Bars of how many times as fast as NumPy, with the physical limit as a line."""
    figure = Figure(figsize=(8, 1 + 1.05 * len(cases)))
    axes = figure.add_subplot()
    height = 0.8 / len(SERIES)
    for i, (label, colour, chosen) in enumerate(SERIES):
        found = [(y, _best(case, chosen)) for y, case in enumerate(cases)]
        known = [(y, quartiles) for y, quartiles in found if quartiles]
        if not known:
            continue
        places = [y - 0.4 + (i + 0.5) * height for y, _ in known]
        low, median, high = np.array([quartiles for _, quartiles in known]).T
        whiskers = [median - low, high - median]
        axes.barh(places, median, height, color=colour, label=label, xerr=whiskers, ecolor="#444")
    limits = [(y, limit) for y, case in enumerate(cases) if (limit := _limit(case))]
    for i, (y, limit) in enumerate(limits):
        words = "limit: one read of A or one write of Y" if i == 0 else None
        axes.plot([limit, limit], [y - 0.45, y + 0.45], color="black", linestyle=":", label=words)
    axes.axvline(1, color="#444", linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("times as fast as numpy.matmul")
    _finish(axes, [topics.title(case) for case in cases])
    return figure


def _split(cases: list[Record]) -> Figure:
    """Stacked bars of nanoseconds a row, a part that came out negative as none."""
    figure = Figure(figsize=(8, 1 + 0.5 * len(cases)))
    axes = figure.add_subplot()
    left = np.zeros(len(cases))
    colours = ("#8d99ae", "#0b6e4f", "#f2cc8f", "#e07a5f")
    for part, colour in zip(cases[0]["derived"], colours, strict=True):
        width = np.array([max(case["derived"][part][1], 0) for case in cases])
        axes.barh(range(len(cases)), width, 0.6, left=left, color=colour, label=part)
        left += width
    axes.set_xlabel("ns a row")
    _finish(axes, [topics.title(case) for case in cases])
    return figure


def _finish(axes: Any, labels: Iterable[str]) -> None:
    names = list(labels)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
