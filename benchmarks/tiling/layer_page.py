"""From a layer's record to its part of the page."""

from __future__ import annotations

import math

from layout import heading, number, paragraph, reasons, spread, table

from tiling.low_rank import BY_NUMPY, BY_PRECISION
from tiling.ways import Record

_OWN = ("exact", "rounded", "approximate")


def layer(task: Record) -> list[str]:
    """Return the blocks of a layer."""
    rows = task["rows"]
    exact = ", ".join(f"{name} {percent(value)}" for name, value in task["exact"].items())
    words = (
        f"{task['source']}. {rows['fit']} rows to fit to, {rows['test']} test rows; "
        f"{rows['timed']} rows a call are timed. Exact: {exact}. Error is the share of the "
        "outputs' variance that is lost on the test rows, before the ReLU. Outputs are float32 "
        "with bias and ReLU, in NumPy's and torch's bfloat16 layer too; 8-bit products quantise A "
        "but are spared bias and ReLU."
    )
    if task["rows"]["fit"] < 10 * task["shape"][1]:
        words += " There are few rows to fit to for so many columns."
    scores = list(task["exact"])
    head = ["layer by", "class", "error", *scores, "ns a row", "× numpy.matmul"]
    shown = [run for run in task["runs"] if not _is_low_rank(run)]
    blocks = [heading(task["title"]), paragraph(words)]
    blocks.append(table(head, [_row(run, scores) for run in shown]))
    blocks += _low_rank(task, scores)
    blocks += _batches(task)
    return blocks + [paragraph(line) for line in reasons(task)]


def _row(run: Record, scores: list[str]) -> list[str]:
    name = f"**{run['name']}**" if run["group"] in _OWN and "class" in run else run["name"]
    return [
        name,
        run["group"],
        f"{run['error']:.2g}",
        *(percent(run["scores"][metric]) for metric in scores),
        spread(run["ns_per_row"]),
        spread(run["speed"]),
    ]


def _is_low_rank(run: Record) -> bool:
    return run["group"] in (BY_NUMPY, *BY_PRECISION.values())


def _low_rank(task: Record, scores: list[str]) -> list[str]:
    runs = {run["name"]: run for run in task["runs"]}
    own = [run for run in runs.values() if run["group"] == "approximate"]
    if not own or not any(_is_low_rank(run) for run in runs.values()):
        return []
    words = (
        "Low rank at equal time: (A U) V with the directions in which the outputs of the fitted "
        "rows vary most, by two calls of `numpy.matmul` in float32 or by two plain compiled "
        "operators in the precision of the fitted one; the largest rank among those timed, in "
        "steps of 16, that takes no longer in the median of rounds. Beside them what "
        "`fit_strassen_tile` reports for equal multiplications, on rows that it kept back."
    )
    metric = scores[0]
    head = ["fitted", "error", metric]
    for by in ("NumPy", "maddjit"):
        head += [f"low rank by {by}: rank", "error", metric]
    head += ["equal multiplications: rank", "error"]
    rows = []
    for run in own:
        cells = [f"**{run['name']}**", f"{run['error']:.2g}", percent(run["scores"][metric])]
        for group in (BY_NUMPY, BY_PRECISION[run["precision"]]):
            other = runs.get(run["as_fast"].get(group, ""))
            cells += (
                [str(other["rank"]), f"{other['error']:.2g}", percent(other["scores"][metric])]
                if other
                else ["none", "", ""]
            )
        report = run["report"]
        rows.append([*cells, str(report["low_rank_rank"]), f"{report['low_rank']:.2g}"])
    seconds = ", ".join(
        f"{run['name']} {number(run['fit_seconds'])} s"
        for run in own
        if "bfloat16" not in run["name"]
    )
    return [paragraph(words), table(head, rows), paragraph(f"To fit took: {seconds}.")]


def _batches(task: Record) -> list[str]:
    known = [run for run in task["runs"] if "batches" in run]
    blocks = []
    if known:
        words = (
            "The same test rows in other batches and orders: error and "
            f"{task['metric']} of approximate operators."
        )
        head = ["rows", *(f"{run['name']}: {what}" for run in known for what in ("error", "score"))]
        head = [cell.replace("score", task["metric"]) for cell in head]
        rows = [
            [
                batch["rows"],
                *(
                    cell
                    for run in known
                    for cell in (
                        f"{run['batches'][i]['error']:.2g}",
                        percent(run["batches"][i]["score"]),
                    )
                ),
            ]
            for i, batch in enumerate(known[0]["batches"])
        ]
        blocks += [paragraph(words), table(head, rows)]
    hit: dict[int, list[str]] = {}
    for run in task["runs"]:
        if "hit_by_nan" in run:
            hit.setdefault(run["hit_by_nan"], []).append(run["name"])
    if hit:
        words = "How many other rows of a call are spoilt by one row of NaN:"
        rows = [[str(n), "; ".join(names)] for n, names in sorted(hit.items())]
        blocks += [paragraph(words), table(["rows", "by"], rows)]
    return blocks


def percent(value: float) -> str:
    """Return a share in per cent."""
    return f"{100 * value:.2f} %" if math.isfinite(value) else "–"
