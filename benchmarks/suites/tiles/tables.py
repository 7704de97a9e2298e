"""The tables of the tiles page."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.harness.suite import Section
from benchmarks.harness.tables import (
    Record,
    bold,
    number,
    paragraph,
    percent,
    reasons,
    scores,
    spread,
    table,
)
from benchmarks.rivals.candidates import NUMPY
from benchmarks.suites.tiles.layers import BY_NUMPY, LOW_RANK

_TOGETHER = 4
"""Shapes of one table."""


def _of_kind(results: Record, kind: str) -> list[Record]:
    return [task for task in results["tasks"] if task["kind"] == kind]


def _by_shape(cell: Callable[[Record], str]) -> Section:
    """Return the section of tables with a column for each shape and a row for each way."""

    def section(results: Record) -> dict[str, list[str]]:
        shapes = _of_kind(results, "shape")
        blocks = []
        for first in range(0, len(shapes), _TOGETHER):
            some = shapes[first : first + _TOGETHER]
            kinds = {name: way["kind"] for task in some for name, way in task["ways"].items()}
            rows = [
                [bold(name, kind == "maddjit")]
                + [cell(task["ways"][name]) if name in task["ways"] else "" for task in some]
                for name, kind in kinds.items()
            ]
            blocks.append(table(["", *(task["title"] for task in some)], rows))
        return {"": [*blocks, *(f"{t['title']}: {why}" for t in shapes for why in reasons(t))]}

    return section


def _speed(way: Record) -> str:
    """Return the speed of a way; of NumPy, with which all are compared, the microseconds."""
    return f"{spread(way['us'])} µs" if set(way["speed"]) == {1} else spread(way["speed"])


def _error(way: Record) -> str:
    times = f" ({number(way['rounding'])} ×)" if "rounding" in way else ""
    return f"{way['error']:.2g}{times}" if "error" in way else ""


def _operators(results: Record) -> dict[str, list[str]]:
    """Return what operators take beside their time, at 1024 × 1024 × 1024 or the first shape."""
    shapes = _of_kind(results, "shape")
    if not shapes:
        return {}
    task = next((known for known in shapes if set(known["shape"]) == {1024}), shapes[0])
    head = ["scheme", "class", "× fewer", "encode, decode", "B, KB", "workspace, KB"]
    rows = [
        [
            name,
            way["class"],
            number(way["saving"]),
            ", ".join(map(str, way["additions"])),
            number(way["packed_bytes"] / 1024),
            number(way["workspace_bytes"] / 1024),
            number(way["compile_ms"]),
        ]
        for name, way in task["ways"].items()
        if way["kind"] == "maddjit"
    ]
    return {"": [f"At {task['title']}:", table([*head, "compiled, ms"], rows)]}


def _layers(results: Record) -> dict[str, list[str]]:
    found = {}
    for task in _of_kind(results, "layer"):
        rows, metrics = task["rows"], list(task["exact"])
        words = (
            f"{task['source']}. {rows['fit']} rows to fit to, {rows['test']} test rows; "
            f"{rows['timed']} rows a call are timed. Exact: {scores(task['exact'])}."
        )
        if rows["fit"] < 10 * task["shape"][1]:
            words += " There are few rows to fit to for so many columns."
        shown = [run for run in task["runs"] if run["group"] not in (BY_NUMPY, *LOW_RANK.values())]
        cells = [
            [
                bold(run["name"], "class" in run),
                run["group"],
                f"{run['error']:.2g}",
                *(percent(run["scores"][metric]) for metric in metrics),
                spread(run["ns_per_row"]),
                spread(run["speed"]),
                number(run["fit_seconds"]) if "fit_seconds" in run else "",
            ]
            for run in shown
        ]
        head = ["layer by", "class", "error", *metrics, "ns a row", f"× {NUMPY}", "fitted, s"]
        found[task["title"]] = [
            paragraph(words),
            table(head, cells),
            _low_rank(task, metrics[0]),
            _batches(task),
            *reasons(task),
        ]
    return found


def _low_rank(task: Record, metric: str) -> str:
    """Return low-rank products at equal time, and at equal multiplications."""
    runs = {run["name"]: run for run in task["runs"]}
    head = ["fitted", "error", metric]
    for by in ("NumPy", "maddjit"):
        head += [f"low rank by {by}: rank", "error", metric]
    rows = []
    for run in runs.values():
        if run["group"] != "approximate":
            continue
        cells = [bold(run["name"], True), f"{run['error']:.2g}", percent(run["scores"][metric])]
        for group in (BY_NUMPY, LOW_RANK[run["precision"]]):
            other = runs.get(run["as_fast"].get(group, ""))
            cells += (
                [str(other["rank"]), f"{other['error']:.2g}", percent(other["scores"][metric])]
                if other
                else ["none", "", ""]
            )
        report = run["report"]
        rows.append([*cells, str(report["low_rank_rank"]), f"{report['low_rank']:.2g}"])
    return table([*head, "equal multiplications: rank", "error"], rows)


def _batches(task: Record) -> str:
    """Return errors in other batches and orders."""
    known = {run["name"]: run["batches"] for run in task["runs"] if "batches" in run}
    head = ["rows", *(f"{n}: {what}" for n in known for what in ("error", task["metric"]))]
    rows = []
    for batches in zip(*known.values(), strict=True):
        cells = [[f"{one['error']:.2g}", percent(one["score"])] for one in batches]
        rows.append([batches[0]["rows"], *(cell for pair in cells for cell in pair)])
    return table(head, rows)


SECTIONS: dict[str, Section] = {
    "speeds": _by_shape(_speed),
    "errors": _by_shape(_error),
    "operators": _operators,
    "layers": _layers,
}
