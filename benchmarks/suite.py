"""The benchmark suite: ``python benchmarks/suite.py`` measures, writes JSON and the page.

Everything is a ratio between candidates that take turns in this one process, in one thread on one
processor. ``--small`` needs no other packages and takes seconds; ``--only NAME`` takes the cases
whose name or topic begins so.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import machine
from command import RESULTS, one_thread_in_torch, save

if TYPE_CHECKING:
    from cases import Case

PAGE = machine.ROOT / "docs" / "performance.md"


def run(cases: Sequence[Case], rounds: int, optional: bool) -> dict[str, Any]:
    """Measure all cases one after another."""
    from costs import compile_time, threads
    from operators import measure
    from parts import encode, scan, split
    from threadpoolctl import threadpool_limits

    parts = {"encode": encode, "scan": scan, "split": split}
    topics = parts | {"compile": compile_time, "threads": threads}
    left_out: dict[str, str] = {}
    failed: dict[str, str] = {}
    records = []
    if optional:
        one_thread_in_torch()
    for case in cases:
        start = perf_counter()
        try:
            with threadpool_limits(1):
                record = topics.get(case.topic, measure)(case, rounds, optional, left_out)
        except Exception as error:  # the other cases are worth having; the exit status tells
            traceback.print_exc()
            failed[case.name] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        head = {
            "name": case.name,
            "topic": case.topic,
            "shape": list(case.shape),
            "n_codebooks": case.n_codebooks,
            "n_prototypes": 16,
            "rows": case.rows,
            "hard": case.hard,
        }
        records.append(head | record)
        print(f"{case.name}, {perf_counter() - start:.1f} s", flush=True)
        for target in record.get("targets", ()):
            print(f"    {target['own']}: {target['text']}: {target['reached']}", flush=True)
    return {"rounds": rounds, "left_out": left_out, "failed": failed, "cases": records}


def main() -> None:
    """Read the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--small", action="store_true", help="a few small cases, NumPy alone")
    parser.add_argument("--only", metavar="NAME", nargs="+", help="some cases or topics only")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--results", type=Path, help="where to write the JSON")
    parser.add_argument("--page", type=Path, help=f"where to write the page, {PAGE.name}")
    options = parser.parse_args()

    os.environ.update(machine.ENVIRONMENT)
    machine.pin()
    from cases import CASES, SMALL
    from report import write_page

    cases = SMALL if options.small else CASES
    if options.only:
        cases = [
            c for c in cases if c.name.startswith(tuple(options.only)) or c.topic in options.only
        ]
    if options.list:
        print("\n".join(f"{case.name} ({case.topic})" for case in cases))
        return
    if not cases:
        parser.error("no case has such a name")
    measured = run(cases, options.rounds, optional=not options.small)
    results = machine.describe() | measured
    for peer, reason in measured["left_out"].items():
        print(f"left out: {peer} ({reason})")
    for case, reason in measured["failed"].items():
        print(f"failed: {case} ({reason})")

    # A part of the suite replaces what is committed only if it is told to.
    whole = not (options.small or options.only)
    path = options.results or (RESULTS / machine.file_name(results["machine"]) if whole else None)
    save(results, path)
    if path:
        print(f"written: {path}")
    page = options.page or (PAGE if whole else None)
    if page:
        write_page(results, page)
        print(f"written: {page}")
    sys.exit(bool(measured["failed"]))


if __name__ == "__main__":
    main()
