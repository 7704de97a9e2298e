"""Exact winners: agreement, coverage and time against float32, 8 bits and faiss; JSON and a page.

All is measured in this process, in one thread on one processor. ``--small`` needs neither data nor
other packages and takes seconds. ``--draw RESULTS`` measures nothing and writes the page again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import machine
from outcome import finish, save
from suite import RESULTS, one_thread_in_torch

if TYPE_CHECKING:
    from winning.subjects import Limits, Subject

Record = dict[str, Any]
PAGE = machine.ROOT / "docs" / "winners.md"


def run(subjects: Mapping[str, Subject], limits: Limits, keep: Callable[[Record], None]) -> Record:
    """Measure all subjects one after another, and save what is there after each."""
    from tasks import Missing
    from threadpoolctl import threadpool_limits
    from winning.measure import measure

    left_out: dict[str, str] = {}
    failed: dict[str, str] = {}
    records: list[Record] = []
    results = machine.describe() | {
        "limits": asdict(limits),
        "left_out": left_out,
        "failed": failed,
        "tasks": records,
    }
    if limits.optional:
        one_thread_in_torch()
    for name, subject in subjects.items():
        start = perf_counter()
        print(f"{name} …", flush=True)
        try:
            with threadpool_limits(1):
                record = measure(subject, limits)
        except Missing as error:
            left_out[name] = str(error)
        except Exception as error:  # the other tasks are worth having; the exit status tells
            traceback.print_exc()
            failed[name] = f"{type(error).__name__}: {error}".splitlines()[0]
        else:
            records.append(record | {"seconds": round(perf_counter() - start, 1)})
            keep(results)
        print(f"{name}, {perf_counter() - start:.1f} s", flush=True)
    return results


def main() -> None:
    """Read the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="two small tasks, in seconds")
    parser.add_argument("--only", metavar="TASK", nargs="+", help="some tasks only")
    parser.add_argument("--sizes", type=int, help="sizes of models at most")
    parser.add_argument("--rounds", type=int, help="rounds of timing")
    parser.add_argument("--rows", type=int, help="timed rows at most")
    parser.add_argument("--fit", type=int, metavar="ROWS", help="rows to learn from at most")
    parser.add_argument("--calibrate", type=int, metavar="ROWS", help="rows to calibrate at most")
    parser.add_argument("--splits", type=int, help="random splits of the coverage check")
    parser.add_argument("--split-rows", type=int, metavar="ROWS", help="rows to split at most")
    parser.add_argument("--results", type=Path, help="where to write the JSON")
    parser.add_argument("--page", type=Path, help=f"where to write the page, {PAGE.name}")
    parser.add_argument("--draw", type=Path, metavar="RESULTS", help="write the page of results")
    options = parser.parse_args()

    os.environ.update(machine.ONE_THREAD)
    from winning.page import write_page

    if options.draw:
        write_page(json.loads(options.draw.read_text()), options.page or PAGE)
        return
    machine.pin()
    from winning.subjects import SMALL, SUBJECTS, Limits

    subjects = SMALL if options.small else SUBJECTS
    if unknown := set(options.only or ()) - subjects.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(subjects)}")
    if options.only:
        subjects = {name: subjects[name] for name in options.only}
    given = {
        "rounds": options.rounds,
        "timed_rows": options.rows,
        "fit_rows": options.fit,
        "calibration_rows": options.calibrate,
        "sizes": options.sizes,
        "splits": options.splits,
        "split_rows": options.split_rows,
    }
    limits = replace(Limits(), **{name: n for name, n in given.items() if n is not None})
    if options.small:
        limits = replace(limits, rounds=options.rounds or 3, splits=3, optional=False)

    # A part of the measurements replaces what is committed only if it is told to.
    whole = not (options.small or options.only or any(n is not None for n in given.values()))
    path = options.results or (RESULTS / file_name() if whole else None)
    page = options.page or (PAGE if whole else None)

    results = run(subjects, limits, partial(save, path=path))
    sys.exit(finish(results, path, page, write_page))


def file_name() -> str:
    """Return the name of this machine's results."""
    return f"winners-{machine.file_name(machine.describe()['machine'])}"


if __name__ == "__main__":
    main()
