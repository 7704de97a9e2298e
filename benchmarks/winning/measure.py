"""One subject: fit sizes, calibrate, compile for coverages, judge, and time beside all rivals."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Mapping
from time import perf_counter
from typing import Any

import numpy as np
from measuring import Candidate, quartiles, take_turns
from tasks import Task
from tasks.scores import recall

import maddjit
from winning import coverage, own, rivals
from winning.own import Record, Run, Truth
from winning.subjects import Limits, Parts, Subject, divided


def measure(subject: Subject, limits: Limits) -> Record:
    """Return a subject's record: own runs, rivals, coverage; what was left out or failed."""
    task = subject.load()
    parts = divided(task, subject, limits)
    bias = own.bias_of(task)
    truth = Truth.of(task.A_test, task.B, bias, task.k)
    left_out: dict[str, str] = {}
    failed: dict[str, str] = {}
    n_timed = min(subject.timed_rows, limits.timed_rows, len(task.A_test))
    timed = np.array(task.A_test[:n_timed])  # a copy: torch wants to write
    others = rivals.rivals(timed, np.array(task.B), task.k, limits.optional, left_out)
    record: Record = {
        "name": task.name,
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
        "timed_rows": n_timed,
        "rivals": {
            other.candidate.name: {"kind": other.kind} | _judged(other, task, truth)
            for other in others
        },
        "runs": [],
        "left_out": left_out,
        "failed": failed,
    }
    if limits.optional:
        answers = rivals.eight_bit_answers(np.array(task.B), bias, task.k, left_out)
        record["eight_bit"] = {
            name: own.judged(
                task,
                np.concatenate([answer(part) for part in own.chunks(task.A_test, task.B.shape[1])]),
                truth,
            )
            for name, answer in answers.items()
        }
    ways = [
        (size, options)
        for size in subject.sizes[: limits.sizes]
        for options in own.variants(task.k, size == subject.checked)
    ]
    for size, options in ways:
        label = _label(size, options)
        start = perf_counter()
        try:
            model, seconds = _calibrated(task, parts, size, options)
            group = own.runs(task, model, label, subject.coverages, truth, left_out)
            _time(group, others, timed, limits.rounds, record)
            record["runs"] += [run.record | seconds for run in group]
            group.clear()  # its code takes hundreds of megabytes where there are many outputs
            print(f"    {label}: {perf_counter() - start:.1f} s", flush=True)
            if size == subject.checked and not options:
                n_rows = min(subject.split_rows, limits.split_rows)
                record["coverage"] = {
                    "label": label,
                    **coverage.check(task, model, parts, limits, n_rows),
                }
                print(f"    with coverage: {perf_counter() - start:.1f} s", flush=True)
        except Exception as error:  # the other sizes are worth having
            traceback.print_exc()
            failed[label] = f"{type(error).__name__}: {error}".splitlines()[0]
        gc.collect()
    return record


def _calibrated(
    task: Task, parts: Parts, size: tuple[int, int], options: Mapping[str, Any]
) -> tuple[maddjit.MaddnessModel, Record]:
    start = perf_counter()
    model = own.fitted(task, parts.fit, size, options)
    middle = perf_counter()
    model = maddjit.calibrate(model, parts.calibrate, task.B, k=task.k)
    seconds = {"fit_seconds": middle - start, "calibrate_seconds": perf_counter() - middle}
    assert model.report is not None
    told = {name: round(value, 1) for name, value in seconds.items()}
    return model, told | {"nmse": float(f"{model.report.nmse:.3g}")}


def _label(size: tuple[int, int], options: Mapping[str, Any]) -> str:
    further = "".join(f", {value}" for value in options.values())
    return f"C = {size[0]}, K = {size[1]}{further}"


def _judged(other: rivals.Rival, task: Task, truth: Truth) -> Record:
    """Return the share of winners that an index finds."""
    if other.answer is None:
        return {}
    parts = own.chunks(task.A_test, task.B.shape[1])
    named = np.concatenate([other.answer(part) for part in parts])
    return {"recall": round(recall(named, truth.winners), 6)}


def _time(
    group: list[Run],
    others: list[rivals.Rival],
    timed: own.Floats,
    rounds: int,
    record: Record,
) -> None:
    """Time a size's operators in turns with all rivals; note ratios in the records."""
    candidates = [other.candidate for other in others]
    candidates += [
        Candidate(run.name, "maddjit", "f(A)", {"f": run.call, "A": timed}) for run in group
    ]
    turns = take_turns(candidates, rounds)
    for run in group:
        run.record["ns_per_row"] = quartiles(turns.seconds[run.name] * 1e9 / len(timed))
        run.record["over"] = {
            other.candidate.name: turns.ratio(other.candidate.name, run.name) for other in others
        }
    for other in others:
        name = other.candidate.name
        told = record["rivals"][name]
        if "ns_per_row" not in told:
            told["ns_per_row"] = quartiles(turns.seconds[name] * 1e9 / len(timed))
            told["speed"] = turns.ratio(rivals.EXACT, name)
