"""Tile operators: products of many shapes and a replaced layer; JSON and a page.

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
    from tiling.subjects import Layer, Limits, Shape

Record = dict[str, Any]
PAGE = machine.ROOT / "docs" / "tiles.md"


def run(
    subjects: Mapping[str, Shape | Layer], limits: Limits, keep: Callable[[Record], None]
) -> Record:
    """Measure all subjects one after another, and save what is there after each."""
    from tasks import Missing
    from threadpoolctl import threadpool_limits
    from tiling import layers, shapes
    from tiling.subjects import Shape

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
                if isinstance(subject, Shape):
                    record = shapes.measure(subject, limits)
                else:
                    record = layers.measure(subject, limits)
        except Missing as error:
            left_out[name] = str(error)
        except Exception as error:  # the others are worth having; the exit status tells
            traceback.print_exc()
            failed[name] = f"{type(error).__name__}: {error}".splitlines()[0]
        else:
            seconds = round(perf_counter() - start, 1)
            records.append({"name": name} | record | {"seconds": seconds})
            keep(results)
        print(f"{name}, {perf_counter() - start:.1f} s", flush=True)
    return results


def main() -> None:
    """Read the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="small shapes, NumPy alone: seconds")
    parser.add_argument("--only", metavar="NAME", nargs="+", help="some shapes or layers only")
    parser.add_argument("--rounds", type=int, help="rounds of timing at most")
    parser.add_argument("--rows", type=int, help="timed rows of layers at most")
    parser.add_argument("--fit", type=int, metavar="ROWS", help="rows to fit to at most")
    parser.add_argument("--results", type=Path, help="where to write the JSON")
    parser.add_argument("--page", type=Path, help=f"where to write the page, {PAGE.name}")
    parser.add_argument("--draw", type=Path, metavar="RESULTS", help="write the page of results")
    options = parser.parse_args()

    os.environ.update(machine.ONE_THREAD)
    from tiling.page import write_page

    if options.draw:
        write_page(json.loads(options.draw.read_text()), options.page or PAGE)
        return
    machine.pin()
    from tiling.subjects import SMALL, SUBJECTS, Limits

    subjects = SMALL if options.small else SUBJECTS
    if unknown := set(options.only or ()) - subjects.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(subjects)}")
    if options.only:
        subjects = {name: subjects[name] for name in options.only}
    given = {"rounds": options.rounds, "timed_rows": options.rows, "fit_rows": options.fit}
    limits = replace(Limits(), **{name: n for name, n in given.items() if n is not None})
    if options.small:
        rounds = options.rounds or 3
        limits = replace(limits, rounds=rounds, timed_rows=200, turn=0.002, optional=False)

    # A part of the measurements replaces what is committed only if it is told to.
    whole = not (options.small or options.only or any(n is not None for n in given.values()))
    path = options.results or (RESULTS / file_name() if whole else None)
    page = options.page or (PAGE if whole else None)

    results = run(subjects, limits, partial(save, path=path))
    sys.exit(finish(results, path, page, write_page))


def file_name() -> str:
    """Return the name of this machine's results."""
    return f"tiles-{machine.file_name(machine.describe()['machine'])}"


if __name__ == "__main__":
    main()
