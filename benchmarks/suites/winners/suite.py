"""The suite of exact winners: fit sizes, calibrate, compile for coverages, judge, time."""

from __future__ import annotations

import gc
import traceback
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.harness.machine import first_line
from benchmarks.harness.suite import Suite
from benchmarks.harness.tables import Record
from benchmarks.harness.timing import Candidate, take_turns
from benchmarks.rivals import winners
from benchmarks.suites.winners import coverage, own, tables
from benchmarks.suites.winners.own import Truth
from benchmarks.suites.winners.subjects import SMALL, SUBJECTS, Floats, Limits, Subject, divided
from benchmarks.tasks.scores import recall


def measure(subject: Subject, limits: Limits) -> Record:
    """Return a subject's record: own runs, rivals, coverage; what was left out or failed."""
    task = subject.load()
    parts = divided(task, subject)
    truth = Truth.of(task, task.A_test)
    left_out, failed = dict[str, str](), dict[str, str]()
    timed = np.array(task.A_test[: subject.timed_rows])  # a copy: torch wants to write
    others = winners.rivals(timed, np.array(task.B), task.k, limits.optional, left_out)
    record: Record = {
        "title": task.title,
        "source": task.source,
        "shape": list(task.shape),
        "k": task.k,
        "metric": task.metric,
        "exact": {name: f(truth.winners[:, 0]) for name, f in task.by_winners.items()},
        "rows": {
            "fit": len(parts.fit),
            "calibrate": len(parts.calibrate),
            "test": len(truth.least),
        },
        "timed_rows": len(timed),
        "rivals": {other.name: {"kind": other.kind} for other in others},
        "runs": [],
        "left_out": left_out,
        "failed": failed,
    }
    for other in others:
        if other.answer:
            found = recall(own.named(task, other.answer), truth.winners)
            record["rivals"][other.name]["recall"] = round(found, 6)
    if limits.optional:
        answers = winners.eight_bit_answers(np.array(task.B), own.bias_of(task), task.k, left_out)
        named = {name: own.named(task, answer) for name, answer in answers.items()}
        record["eight_bit"] = {name: own.judged(task, best, truth) for name, best in named.items()}
    for size in subject.sizes:
        for options in _variants(task.k, size == subject.checked):
            label = ", ".join([f"C = {size[0]}", f"K = {size[1]}", *map(str, options.values())])
            start = perf_counter()
            try:
                model = own.calibrated(task, parts, size, options)
                group = own.runs(task, model, label, subject.coverages, truth, left_out)
                _time(group, others, timed, limits.rounds, record)
                record["runs"] += [run for _, run in group.values()]
                group.clear()  # its code takes hundreds of megabytes where outputs are many
                if size == subject.checked and not options:
                    checked = coverage.check(task, model, parts, subject, limits.splits)
                    record["coverage"] = {"label": label} | checked
            except Exception as error:  # the other sizes are worth having
                traceback.print_exc()
                failed[label] = first_line(error)
            print(f"    {label}: {perf_counter() - start:.1f} s", flush=True)
            gc.collect()
    return record


def _variants(k: int, is_checked: bool) -> list[dict[str, Any]]:
    """Return options of `maddjit.fit` to try: tables for the winner, if only one is asked for."""
    by_default = [{}] if k > 1 or is_checked else []
    return [*by_default, *([{"objective": "argmax"}] if k == 1 else [])]


def _time(
    group: dict[str, tuple[Any, Record]],
    others: list[Candidate],
    timed: Floats,
    rounds: int,
    record: Record,
) -> None:
    """Time a size's operators in turns with all rivals; note ratios in the records."""
    ours = [
        Candidate(name, "maddjit", "f(A)", {"f": call, "A": timed})
        for name, (call, _) in group.items()
    ]
    turns = take_turns([*others, *ours], rounds)
    names = [other.name for other in others]
    for own_name, (_, run) in group.items():
        run["ns_per_row"] = turns.per(own_name, len(timed))
        run["over"] = {name: turns.ratio(name, own_name) for name in names}
    for name in names:
        told = record["rivals"][name]
        if "ns_per_row" not in told:
            told["ns_per_row"] = turns.per(name, len(timed))
            told["speed"] = turns.ratio(winners.EXACT, name)


SUITE = Suite(
    "winners",
    SUBJECTS,
    SMALL,
    Limits(),
    {"rounds": 3, "splits": 3, "optional": False},
    measure,
    tables.SECTIONS,
)
