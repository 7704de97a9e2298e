"""The command line of a suite: measure all or some subjects, write JSON and the page."""

from __future__ import annotations

import argparse
import json
import os
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.harness import levels, machine
from benchmarks.harness.page import read_results, write_page
from benchmarks.harness.suite import RESULTS, Suite
from benchmarks.harness.tables import Record
from maddjit.compiler import llvm


def main(suite: Suite, arguments: Sequence[str]) -> int:
    """Measure or render a suite as the command line says; return the exit status."""
    parser = _parser(suite)
    options = parser.parse_args(arguments)
    page = options.page or RESULTS / f"{suite.name}.md"
    if options.render is not None:
        write_page(suite, read_results(suite, options.render), page)
        return 0
    subjects = suite.small if options.small else suite.subjects
    if options.only:
        chosen_ones = {some: _named(subjects, some) for some in options.only}
        if unknown := {some for some, found in chosen_ones.items() if not found}:
            known = ", ".join(subjects)
            parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {known}")
        subjects = {name: subjects[name] for found in chosen_ones.values() for name in found}
    names = {field.name for field in fields(suite.limits)}
    given = {name: n for name, n in vars(options).items() if name in names and n is not None}
    limits = replace(suite.limits, **(dict(suite.small_limits) if options.small else {}) | given)

    # A part of the measurements does not replace what is committed. Minutes change nothing of it.
    is_whole = not (options.small or options.only or given.keys() - {"minutes"})
    both = is_whole and not (options.here or suite.resumes)
    chosen = levels.levels(llvm.host(), os.environ) if both else []
    if len(chosen) > 1 and not (options.results or options.page):
        return max(levels.run(held, suite.name, "--here") for held in chosen)

    machine.pin()
    results: Record = machine.describe() | {
        "limits": asdict(limits),
        "left_out": {},
        "failed": {},
        "tasks": [],
    }
    path = options.results
    if path is None and is_whole:
        path = RESULTS / f"{suite.name}-{machine.file_name(results['machine'])}.json"
    if path and path.exists():  # what was wished for and reached is judged once
        results["wishes"] = json.loads(path.read_text()).get("wishes", [])
    if suite.resumes and path:
        _resume(results, path)
    _run(suite, subjects, limits, results, path)
    for key, words in (("left_out", "left out"), ("failed", "failed")):
        for record in (results, *results["tasks"]):
            for name, reason in record[key].items():
                print(f"{words}: {record.get('name', '')} {name} ({reason})")
    if options.page:
        write_page(suite, [results], page)
    elif is_whole and not options.results:
        write_page(suite, read_results(suite), page)
    return int(any(record["failed"] for record in (results, *results["tasks"])))


def _named(subjects: Mapping[str, Any], name: str) -> list[str]:
    """Return the subject of this name, or all whose names begin with it and a slash."""
    return [one for one in subjects if one == name or one.startswith(f"{name}/")]


def _resume(results: Record, path: Path) -> None:
    """Take over what a results file has by now: other processes may write to it as well."""
    if path.exists():
        earlier = json.loads(path.read_text())
        results["tasks"] = earlier["tasks"]
        names = {task["name"] for task in earlier["tasks"]}
        left_out = earlier["left_out"] | results["left_out"]
        results["left_out"] = {name: why for name, why in left_out.items() if name not in names}


def _write(results: Record, path: Path) -> None:
    """Write results in one step, so that nobody sees half of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}-{os.getpid()}.part")
    part.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    part.replace(path)


def _parser(suite: Suite) -> argparse.ArgumentParser:
    """Return the options that all suites have, and one for each limit."""
    made = argparse.ArgumentParser(prog=f"python -m benchmarks {suite.name}")
    made.add_argument("--small", action="store_true", help="made-up subjects: seconds")
    made.add_argument("--only", metavar="NAME", nargs="+", help="some subjects only")
    made.add_argument("--here", action="store_true", help="this process's level only")
    made.add_argument("--results", type=Path, help="where to write the JSON")
    made.add_argument("--page", type=Path, help="where to write the page")
    made.add_argument(
        "--render",
        type=Path,
        metavar="JSON",
        nargs="*",
        help="measure nothing; write the page of these results, or of all there are",
    )
    for field in fields(suite.limits):
        default = getattr(suite.limits, field.name)
        name = f"--{field.name.replace('_', '-')}"
        if isinstance(default, tuple):
            made.add_argument(name, nargs="+", metavar="NAME")
        elif not isinstance(default, bool):
            made.add_argument(name, type=type(default), help=f"by default {default}")
    return made


def _run(
    suite: Suite,
    subjects: Mapping[str, Any],
    limits: Any,
    results: Record,
    path: Path | None,
) -> None:
    """Measure all subjects one after another, and save what is there after each.

    A suite that resumes leaves out what the results have. It ends when the time is over, and at a
    keyboard interrupt.
    """
    from threadpoolctl import threadpool_limits

    if getattr(limits, "optional", True):
        with suppress(ImportError):
            import torch

            torch.set_num_threads(1)
    begun, longest = perf_counter(), 0.0
    for name, subject in subjects.items():
        start = perf_counter()
        if suite.resumes:
            if path:
                _resume(results, path)
            if name in {task["name"] for task in results["tasks"]}:
                continue
            if limits.minutes and start - begun + longest > 60 * limits.minutes:
                print(f"the time is over before {name}", flush=True)
                break
        print(f"{name} …", flush=True)
        found: list[Record] = []
        try:
            with threadpool_limits(1):
                record = suite.measure(subject, limits)
        except KeyboardInterrupt:
            if not suite.resumes:
                raise
            print(f"{name}: interrupted; what is finished is kept", flush=True)
            break
        except machine.Missing as error:
            results["left_out"][name] = str(error)
        except Exception as error:  # the others are worth having; the exit status tells
            traceback.print_exc()
            results["failed"][name] = machine.first_line(error)
        else:
            seconds = round(perf_counter() - start, 1)
            record = {"name": name, "left_out": {}, "failed": {}} | record
            found.append(record | {"seconds": seconds})
        if path and suite.resumes:
            _resume(results, path)
        results["tasks"] += found
        if path:
            _write(results, path)
        longest = max(longest, perf_counter() - start)
        print(f"{name}, {perf_counter() - start:.1f} s", flush=True)
