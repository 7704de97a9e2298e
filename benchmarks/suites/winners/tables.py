"""The tables of the page of exact winners."""

from __future__ import annotations

from benchmarks.harness.suite import Section
from benchmarks.harness.tables import (
    Record,
    number,
    paragraph,
    percent,
    reasons,
    scores,
    spread,
    table,
)
from benchmarks.rivals.winners import ALONE, CHOOSING, FLAT, INDEX, WHOLE

_KINDS = ("float32", ALONE, CHOOSING, WHOLE, INDEX)


def fastest_rival(task: Record, kinds: tuple[str, ...]) -> str | None:
    """Return the timed rival of some kinds or names that took least time."""
    times = {
        name: float(rival["ns_per_row"][1])
        for name, rival in task["rivals"].items()
        if "ns_per_row" in rival and (rival["kind"] in kinds or name in kinds)
    }
    return min(times, key=lambda name: times[name], default=None)


def fastest_run(task: Record, recall: float, rival: str) -> Record | None:
    """Return the run of at least some recall that is fastest against a rival."""
    good = [run for run in task["runs"] if run["recall"] >= recall]
    return max(good, key=lambda run: float(run["over"][rival][1]), default=None)


def run_name(run: Record) -> str:
    """Return the name of a run."""
    coverage = run["coverage"]
    return f"{run['label']}, " + ("tables alone" if coverage is None else f"coverage {coverage:g}")


def _tasks(results: Record) -> dict[str, list[str]]:
    """Return what is known of each task: its rivals, 8-bit products, and our best settings."""
    found = {}
    for task in results["tasks"]:
        rows = task["rows"]
        words = (
            f"{task['source']}. {rows['fit']} rows to learn from, {rows['calibrate']} to calibrate "
            f"with, {rows['test']} to test on; {task['timed_rows']} rows a call are timed."
        )
        if task["exact"]:
            words += f" Exact winners: {scores(task['exact'])}."
        found[task["title"]] = [
            paragraph(words),
            _rivals(task),
            _eight_bit(task),
            "Settings that no other beats in both agreement and speed:",
            _runs(task),
            *reasons(task),
        ]
    return found


def _rivals(task: Record) -> str:
    has_recall = task["k"] > 1
    head = ["rival", "what it does", "ns a row", "× float32", *(["recall"] if has_recall else [])]
    rows = []
    for name, rival in task["rivals"].items():
        if "ns_per_row" in rival:
            cells = [name, rival["kind"], spread(rival["ns_per_row"]), spread(rival["speed"])]
            told = percent(rival["recall"]) if "recall" in rival else ""
            rows.append([*cells, told] if has_recall else cells)
    return table(head, sorted(rows, key=lambda cells: _KINDS.index(cells[1])))


def _eight_bit(task: Record) -> str:
    """Say how good 8 bits are, and where they are the better choice."""
    found = task.get("eight_bit", {})
    if not found:
        return ""
    told = "; ".join(
        f"{name.removeprefix('8-bit, ')} "
        + ", ".join(filter(None, (percent(one["recall"]), scores(one["metrics"]))))
        for name, one in found.items()
    )
    words = f"8-bit products that quantise A and each output by itself name these winners: {told}."
    if rival := fastest_rival(task, (WHOLE,)):
        if best := fastest_run(task, max(one["recall"] for one in found.values()), rival):
            ratio = best["over"][rival]
            verb = "faster" if ratio[1] >= 1 else "**slower**"
            words += f" Our fastest setting that is as good is {verb}: {spread(ratio)} × {rival}, "
            words += f"with {run_name(best)}."
        else:
            words += " **None of our settings is as good.**"
    return paragraph(words)


def frontier(runs: list[Record]) -> list[Record]:
    """Return the runs that no other beats in both recall and time, the fastest first."""
    kept: list[Record] = []
    for run in sorted(runs, key=lambda run: (run["ns_per_row"][1], -run["recall"])):
        if not kept or run["recall"] > kept[-1]["recall"]:
            kept.append(run)
    return kept


def _runs(task: Record) -> str:
    rivals = {
        "× float32": fastest_rival(task, ("float32",)),
        "× 8-bit product alone": fastest_rival(task, (ALONE,)),
        "× 8-bit with arg-max, quantising A": fastest_rival(task, (WHOLE,)),
        f"× {FLAT}": fastest_rival(task, (FLAT,)),
    }
    shown = {words: rival for words, rival in rivals.items() if rival}
    metrics = list(task["exact"])
    quality = "agreement" if task["k"] == 1 else "recall"
    head = ["maddjit", quality, *metrics, "list: mean, 99 %, most", "ns a row", *shown]
    rows = [
        [
            run_name(run),
            percent(run["recall"]),
            *(percent(run["metrics"][name]) for name in metrics),
            ", ".join(number(value) for value in run.get("lengths", ())),
            spread(run["ns_per_row"]),
            *(spread(run["over"][rival]) for rival in shown.values()),
        ]
        for run in frontier(task["runs"])
    ]
    return table(head, rows)


def _coverage(results: Record) -> dict[str, list[str]]:
    rows = [
        [
            task["name"],
            task["coverage"]["label"],
            f"{split['asked']:g}",
            f"{split['mean']:.5f}",
            " ".join(f"{value:.4f}" for value in split["observed"]),
            "–".join(f"{value:.4f}" for value in split["interval"]),
            f"{split['below']} of {len(split['observed'])}",
            f"{split['least_mean']:.5f}",
        ]
        for task in results["tasks"]
        for split in task.get("coverage", {}).get("splits", ())
    ]
    head = ["task", "size", "asked", "mean", "observed", "interval", "splits below", "least mean"]
    return {"": [table(head, rows)]}


def _changed(results: Record) -> dict[str, list[str]]:
    rows = [
        [
            task["name"],
            one["rows"],
            f"{one['asked']:g}",
            f"{one['observed']:.4f}",
            f"{number(one['mean_length'])} ({number(one['expected_length'])})",
            "warns" if one["warned"] else "",
        ]
        for task in results["tasks"]
        for one in task.get("coverage", {}).get("changed", ())
    ]
    head = ["task", "rows", "asked", "observed", "mean list (expected)", "`monitor`"]
    return {"": [table(head, rows)]}


SECTIONS: dict[str, Section] = {"tasks": _tasks, "coverage": _coverage, "changed": _changed}
