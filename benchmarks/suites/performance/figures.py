"""The figures of the performance page: speed of whole operators, and where one call's time goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.harness.tables import Record
from benchmarks.rivals.eight_bit import ALONE, WHOLE
from benchmarks.suites.performance.cases import K64, OWN, READ_A

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SERIES: list[tuple[str, str, Callable[[str, str], bool]]] = [
    ("maddjit", "#0b6e4f", lambda name, _: name == OWN),
    ("maddjit K = 64", "#73c2a0", lambda name, _: name == K64),
    ("MADDNESS by hand, numba", "#b8a1d9", lambda _, kind: kind == "by hand"),
    ("best 8-bit product", "#e07a5f", lambda _, kind: kind == ALONE),
    ("best 8-bit product, quantising", "#f2b8a0", lambda _, kind: kind == WHOLE),
    ("best bfloat16 product", "#f2cc8f", lambda _, kind: kind == "bfloat16"),
    (
        "best float32 beside NumPy",
        "#8d99ae",
        lambda name, kind: kind == "float32" and not name.startswith("numpy"),
    ),
]
"""Label, colour, and which candidates it stands for, by name and kind."""


def figures(results: Record) -> dict[str, Any]:
    """Return the figures whose cases were measured."""
    found = {}
    for name, topic, draw in (("speed", "operator", _speed), ("split", "split", _split)):
        cases = [c for c in results["tasks"] if c["topic"] == topic and not c["hard"]]
        if cases:
            found[name] = draw(cases)
    return found


def _start(cases: Sequence[Record], height: float) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1 + height * len(cases)))
    axes = figure.add_subplot()
    axes.set_yticks(range(len(cases)), [case["title"] for case in cases])
    axes.set_ylim(len(cases) - 0.45, -0.55)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _best(case: Record, chosen: Callable[[str, str], bool]) -> list[float] | None:
    found = [one["speed"] for name, one in case["candidates"].items() if chosen(name, one["kind"])]
    return max(found, key=lambda quartiles: quartiles[1], default=None)


def _limit(case: Record) -> float | None:
    """Return the speed of the slower of one read of A and the best write of Y."""
    rates = {n: c["speed"][1] for n, c in case["candidates"].items() if c["kind"] == "limit"}
    if not rates:
        return None
    return min(rates[READ_A], max(rate for name, rate in rates.items() if name != READ_A))


def _speed(cases: list[Record]) -> Figure:
    """Draw how many times as fast as NumPy each series is, with the physical limit as a line."""
    figure, axes = _start(cases, 1.05)
    height = 0.8 / len(SERIES)
    for i, (label, colour, chosen) in enumerate(SERIES):
        found = [(y, _best(case, chosen)) for y, case in enumerate(cases)]
        known = [(y, quartiles) for y, quartiles in found if quartiles]
        if known:
            places = [y - 0.4 + (i + 0.5) * height for y, _ in known]
            low, median, high = np.array([quartiles for _, quartiles in known]).T
            bars = {"xerr": [median - low, high - median], "ecolor": "#444"}
            axes.barh(places, median, height, color=colour, label=label, **bars)
    limits = [(y, limit) for y, case in enumerate(cases) if (limit := _limit(case))]
    for i, (y, limit) in enumerate(limits):
        words = "limit: one read of A or one write of Y" if i == 0 else None
        axes.plot([limit, limit], [y - 0.45, y + 0.45], color="black", linestyle=":", label=words)
    axes.axvline(1, color="#444", linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("times as fast as numpy.matmul")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def _split(cases: list[Record]) -> Figure:
    """Draw nanoseconds a row as stacked bars; a part that came out negative counts as none."""
    figure, axes = _start(cases, 0.5)
    left = np.zeros(len(cases))
    colours = ("#8d99ae", "#0b6e4f", "#f2cc8f", "#e07a5f")
    for part, colour in zip(cases[0]["derived"], colours, strict=True):
        width = np.array([max(case["derived"][part][1], 0) for case in cases])
        axes.barh(range(len(cases)), width, 0.6, left=left, color=colour, label=part)
        left += width
    axes.set_xlabel("ns a row")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure
