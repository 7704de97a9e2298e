"""From results to the page of exact winners; nothing is measured here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from layout import heading, number, origin, paragraph, reasons, spread, table
from report import write_between

from winning import wishes
from winning.rivals import ALONE, CHOOSING, FLAT, INDEX, WHOLE

Record = dict[str, Any]

TITLE = "# Exact winners"
_KINDS = ("float32", ALONE, CHOOSING, WHOLE, INDEX)


def write_page(results: Record, page: Path) -> None:
    """Write the generated part into the page."""
    write_between(page, TITLE, lambda: render(results))


def render(results: Record) -> str:
    """Return the generated part of the page."""
    tasks = results["tasks"]
    blocks = [_origin(results), _wishes(tasks)]
    for task in tasks:
        blocks += _task(task)
    return "\n\n".join([*blocks, _coverage(tasks), *_changed(tasks)])


def _origin(results: Record) -> str:
    lines = [
        origin(results),
        "Operators of one size take turns with all rivals in one process, in one thread on one "
        "processor, in another random order each round. Ratios are taken round by round: medians "
        f"of {results['limits']['rounds']} rounds, with the quartiles in brackets. A is row-major "
        "float32 unless a rival is given it in 8 bits. Rivals write into memory that is there and "
        "are spared the bias; ours adds it and returns fresh indices.",
        *reasons(results),
    ]
    return "\n\n".join(paragraph(line) for line in lines)


def _wishes(tasks: list[Record]) -> str:
    words = (
        "What was wished for before anything was measured. Of the settings that are good enough on "
        "the test rows the fastest counts, against the fastest rival of its kind."
    )
    rows = wishes.rows(tasks)
    return f"{heading('Targets')}\n\n{paragraph(words)}\n\n{table(wishes.HEAD, rows)}"


def _task(task: Record) -> list[str]:
    rows, exact = task["rows"], task["exact"]
    told = ", ".join(f"{name} {percent(value)}" for name, value in exact.items())
    lines = (
        f"{task['source']}. {rows['fit']} rows to learn from, {rows['calibrate']} to calibrate "
        f"with, {rows['test']} to test on; {task['timed_rows']} rows a call are timed."
        + (f" Exact winners: {told}." if told else "")
    )
    blocks = [heading(task["title"]), paragraph(lines), _rivals(task), _losses(task)]
    blocks += ["Settings that no other beats in both agreement and speed:", _runs(task)]
    return [block for block in blocks if block] + [paragraph(line) for line in reasons(task)]


def _rivals(task: Record) -> str:
    is_shared = task["k"] > 1
    head = ["rival", "what it does", "ns a row", "× float32", *(["recall"] if is_shared else [])]
    rows = []
    for name, record in task["rivals"].items():
        if "ns_per_row" in record:
            cells = [name, record["kind"], spread(record["ns_per_row"]), spread(record["speed"])]
            found = percent(record["recall"]) if "recall" in record else ""
            rows.append([*cells, found] if is_shared else cells)
    return table(head, sorted(rows, key=lambda cells: _KINDS.index(cells[1])))


def _losses(task: Record) -> str:
    """Say how good 8 bits are, and where they are the better choice."""
    found = task.get("eight_bit", {})
    if not found:
        return ""
    told = "; ".join(
        f"{name.removeprefix('8-bit, ')} {percent(record['recall'])}"
        + "".join(f", {metric} {percent(v)}" for metric, v in record["metrics"].items())
        for name, record in found.items()
    )
    best = max(record["recall"] for record in found.values())
    words = [f"Winners that 8-bit products name, quantising A and each output by itself: {told}."]
    peer = wishes.fastest(task, lambda _, record: record["kind"] == WHOLE)
    own = wishes.good(task, best)
    if peer and own:
        fastest = max(own, key=lambda run: float(run["over"][peer][1]))
        ratio = fastest["over"][peer]
        verb = "faster" if ratio[1] >= 1 else "**slower**"
        words.append(
            f"The fastest of ours that is as good is {verb}: {spread(ratio)} × {peer}, "
            f"with {wishes.name(fastest)}."
        )
    elif peer:
        words.append("**None of ours is as good.**")
    return paragraph(" ".join(words))


def frontier(runs: list[Record]) -> list[Record]:
    """Return the runs that no other beats in both recall and time, the fastest first."""
    kept: list[Record] = []
    for run in sorted(runs, key=lambda run: (run["ns_per_row"][1], -run["recall"])):
        if not kept or run["recall"] > kept[-1]["recall"]:
            kept.append(run)
    return kept


def _runs(task: Record) -> str:
    peers = {
        "× float32": _fastest(task, "float32"),
        "× 8-bit product alone": _fastest(task, ALONE),
        "× 8-bit with arg-max, quantising A": _fastest(task, WHOLE),
        f"× {FLAT}": FLAT if FLAT in task["rivals"] else None,
    }
    shown = {words: peer for words, peer in peers.items() if peer}
    metrics = list(task["exact"])
    quality = "agreement" if task["k"] == 1 else "recall"
    head = ["maddjit", quality, *metrics, "list: mean, 99 %, most", "ns a row", *shown]
    rows = [
        [
            wishes.name(run),
            percent(run["recall"]),
            *(percent(run["metrics"][name]) for name in metrics),
            ", ".join(number(value) for value in run["lengths"]) if "lengths" in run else "",
            spread(run["ns_per_row"]),
            *(spread(run["over"][peer]) for peer in shown.values()),
        ]
        for run in frontier(task["runs"])
    ]
    return table(head, rows)


def _fastest(task: Record, kind: str) -> str | None:
    return wishes.fastest(task, lambda _, record: record["kind"] == kind)


def _coverage(tasks: list[Record]) -> str:
    words = (
        "Rows to calibrate with and test rows are put together and divided anew at random, half "
        "and half, so that both are alike; the model stays. Observed is the share of rows all of "
        "whose winners were named. The interval holds 95 % of single splits, and the mean of all "
        "should not be below the last column more than once in forty times."
    )
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
        for task in tasks
        for split in task.get("coverage", {}).get("splits", ())
    ]
    head = ["task", "size", "asked", "mean", "observed", "interval", "splits below", "least mean"]
    return "\n\n".join([heading("Coverage in random splits"), paragraph(words), table(head, rows)])


def _changed(tasks: list[Record]) -> list[str]:
    words = (
        "Coverage is for rows like those of calibration. Of others, more winners are missed. Lists "
        "often get longer then, which `op.monitor()` warns of if it is half as much again, but "
        "not always: where it says nothing below, a loss, if there is one, goes unnoticed."
    )
    rows = [
        [
            task["name"],
            record["rows"],
            f"{record['asked']:g}",
            f"{record['observed']:.4f}",
            f"{number(record['mean_length'])} ({number(record['expected_length'])})",
            "warns" if record["warned"] else "",
        ]
        for task in tasks
        for record in task.get("coverage", {}).get("changed", ())
    ]
    head = ["task", "rows", "asked", "observed", "mean list (expected)", "`monitor`"]
    return [heading("Other rows than those of calibration"), paragraph(words), table(head, rows)]


def percent(value: float) -> str:
    """Return a share in per cent."""
    return f"{100 * value:.2f} %"
