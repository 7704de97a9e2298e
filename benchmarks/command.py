"""The command line of benchmarks that measure subjects: all or some, into JSON and a page.

All is measured in this process, in one thread on one processor.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import machine

Record = dict[str, Any]
RESULTS = machine.ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Benchmark:
    """What is measured, and how.

    `limits` is a record of what bounds the work; of its fields `small` has those of ``--small``.
    `measure` takes a subject and the limits. A `tasks.Missing` that it raises leaves the subject
    out.
    """

    subjects: Mapping[str, Any]
    small_subjects: Mapping[str, Any]
    limits: Any
    small: Mapping[str, Any]
    measure: Callable[[Any, Any], Record]
    write_page: Callable[[Record, Path], None]


def parser(about: str | None, small: str) -> argparse.ArgumentParser:
    """Return the options that all have; further ones are named like the limits that they set."""
    made = argparse.ArgumentParser(description=about)
    made.add_argument("--small", action="store_true", help=small)
    made.add_argument("--only", metavar="NAME", nargs="+", help="some subjects only")
    made.add_argument("--rounds", type=int, help="rounds of timing at most")
    made.add_argument("--results", type=Path, help="where to write the JSON")
    made.add_argument("--page", type=Path, help="where to write the page, if not in docs")
    made.add_argument("--draw", type=Path, metavar="RESULTS", help="write the page of results")
    return made


def main(
    name: str,
    options: argparse.ArgumentParser,
    load: Callable[[argparse.Namespace, dict[str, str]], Benchmark],
) -> None:
    """Read the command line, measure, write ``docs/<name>.md``.

    `load` is called when libraries have been told to use one thread; it is given the options and
    notes what it leaves out.
    """
    chosen = options.parse_args()
    os.environ.update(machine.ENVIRONMENT)
    if not chosen.draw:
        machine.pin()
    left_out: dict[str, str] = {}
    benchmark = load(chosen, left_out)
    own_page = machine.ROOT / "docs" / f"{name}.md"
    if chosen.draw:
        benchmark.write_page(json.loads(chosen.draw.read_text()), chosen.page or own_page)
        return
    subjects = benchmark.small_subjects if chosen.small else benchmark.subjects
    if unknown := set(chosen.only or ()) - subjects.keys():
        options.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(subjects)}")
    if chosen.only:
        subjects = {name: subjects[name] for name in chosen.only}
    bounds = {field.name for field in fields(benchmark.limits)}
    given = {key: n for key, n in vars(chosen).items() if key in bounds and n is not None}
    limits = replace(benchmark.limits, **(benchmark.small if chosen.small else {}) | given)

    # A part of the measurements replaces what is committed only if it is told to.
    always = {"results", "page", "draw"}
    whole = not any(value for key, value in vars(chosen).items() if key not in always)
    results = machine.describe() | {
        "limits": asdict(limits),
        "left_out": left_out,
        "failed": {},
        "tasks": [],
    }
    file = f"{name}-{machine.file_name(results['machine'])}"
    path = chosen.results or (RESULTS / file if whole else None)
    page = chosen.page or (own_page if whole else None)
    _run(subjects, benchmark.measure, limits, results, path)
    sys.exit(_finish(results, path, page, benchmark.write_page))


def one_thread_in_torch() -> None:
    """Tell torch, where it is installed, to use one thread."""
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)


def save(results: Record, path: Path | None) -> None:
    """Write results as JSON, if there is a path."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def _run(
    subjects: Mapping[str, Any],
    measure: Callable[[Any, Any], Record],
    limits: Any,
    results: Record,
    path: Path | None,
) -> None:
    """Measure all subjects one after another, and save what is there after each."""
    from tasks import Missing
    from threadpoolctl import threadpool_limits

    if getattr(limits, "optional", True):
        one_thread_in_torch()
    for name, subject in subjects.items():
        start = perf_counter()
        print(f"{name} …", flush=True)
        try:
            with threadpool_limits(1):
                record = measure(subject, limits)
        except Missing as error:
            results["left_out"][name] = str(error)
        except Exception as error:  # the others are worth having; the exit status tells
            traceback.print_exc()
            results["failed"][name] = f"{type(error).__name__}: {error}".splitlines()[0]
        else:
            seconds = round(perf_counter() - start, 1)
            results["tasks"].append({"name": name} | record | {"seconds": seconds})
            save(results, path)
        print(f"{name}, {perf_counter() - start:.1f} s", flush=True)


def _finish(
    results: Record,
    path: Path | None,
    page: Path | None,
    write_page: Callable[[Record, Path], None],
) -> bool:
    """Save results and page, tell what was left out or failed; return whether anything failed."""
    save(results, path)
    for key, words in (("left_out", "left out"), ("failed", "failed")):
        for record in (results, *results["tasks"]):
            for name, reason in record[key].items():
                print(f"{words}: {record.get('name', '')} {name} ({reason})")
    if page:
        write_page(results, page)
    print("\n".join(f"written: {written}" for written in (path, page) if written))
    return bool(results["failed"]) or any(task["failed"] for task in results["tasks"])
