"""The tables of the experiments page."""

from __future__ import annotations

from benchmarks.harness.suite import Section
from benchmarks.harness.tables import (
    Record,
    bold,
    number,
    paragraph,
    percent,
    reasons,
    spread,
    table,
)
from benchmarks.suites.experiments.analysis import compared, over, shown


def _claims(results: Record) -> dict[str, list[str]]:
    """Return the fastest settings of each task at several qualities."""
    kinds = ("maddjit", "MADDNESS", "other")
    head = [cell for kind in kinds for cell in (f"fastest {kind}", "× exact")]
    return {
        task["title"]: [
            table(
                ["quality", *head, "maddjit × other"],
                [
                    [
                        words,
                        *(cell for run in (own, paper, other) for cell in _named(run)),
                        number(over(own, other)) if own and other else "–",
                    ]
                    for words, (own, paper, other) in compared(task).items()
                ],
            )
        ]
        for task in results["tasks"]
    }


def _named(run: Record | None) -> tuple[str, str]:
    if run is None:
        return "none", "–"
    setting = {"codebooks": f", C = {run['setting']}", "": ""}
    words = setting.get(run["words"], f", width = {run['setting']}")
    return run["method"] + words, spread(run["speed"])


def _tasks(results: Record) -> dict[str, list[str]]:
    """Return what is known of each task, its figure and its runs."""
    found = {}
    for task in results["tasks"]:
        exact = task["exact"]
        told = ", ".join(
            f"{name} {_score(task, name, value)}"
            for name, value in {task["metric"]: exact["score"], **exact["extra"]}.items()
        )
        words = f"{task['source']}. Learned from {task['train_rows']} rows at most. Exact: {told}"
        if "ns_per_row" in exact:
            words += (
                f"; {spread(exact['ns_per_row'])} ns a row for {task['timed_rows']} rows, "
                f"{spread(exact['columns'])} × with a column-major A"
            )
        figure = results["figures"].get(task["name"])
        drawn = f"![{task['title']}]({figure})" if figure else ""
        found[task["title"]] = [paragraph(f"{words}."), drawn, _runs(task), *reasons(task)]
    return found


def _score(task: Record, name: str, value: float) -> str:
    """Return a metric: an NMSE as such, all others in per cent."""
    return number(value) if name == task["metric"] == "NMSE" else percent(value)


def _runs(task: Record) -> str:
    extra = list(task["exact"]["extra"])
    metrics = [] if task["metric"] == "NMSE" else [task["metric"]]
    head = ["method", "setting", "NMSE", *metrics, *extra, "× exact", "× exact, column-major A"]
    rows = []
    for run in shown(task):
        known = {name: values[1] for name, values in run["extra"].items()}
        known |= {task["metric"]: run["score"][1]} if run["score"] else {}
        least, median, largest = run["nmse"]
        seeds = f" ({number(least)}–{number(largest)})" if least < largest else ""
        rows.append(
            [
                bold(run["method"], run["own"]),
                str(run["setting"]) if run["words"] else "",
                number(median) + seeds,
                *(
                    _score(task, name, known[name]) if name in known else "–"
                    for name in (*metrics, *extra)
                ),
                spread(run["speed"]),
                spread(run["columns"]["speed"]) if "columns" in run else "",
            ]
        )
    return table(head, rows)


SECTIONS: dict[str, Section] = {"claims": _claims, "tasks": _tasks}
