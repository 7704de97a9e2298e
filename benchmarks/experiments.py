"""The paper's experiments: every task, every method, its error and its time, into JSON and a page.

All is measured in this process, in one thread on one processor. ``--small`` needs neither data nor
other packages and takes seconds. ``--draw RESULTS`` measures nothing and writes the page again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import machine
from outcome import finish, save
from suite import RESULTS, one_thread_in_torch

if TYPE_CHECKING:
    from tasks import Task
    from trials.measure import Limits

Record = dict[str, Any]
PAGE = machine.ROOT / "docs" / "experiments.md"


def run(
    loaders: Mapping[str, Callable[[], Task]],
    prefixes: list[str] | None,
    limits: Limits,
    keep: Callable[[Record], None],
) -> Record:
    """Measure all tasks one after another, and save what is there after each."""
    from tasks import Missing
    from threadpoolctl import threadpool_limits
    from trials.candidates import chosen
    from trials.measure import measure

    left_out: dict[str, str] = {}
    failed: dict[str, str] = {}
    methods, eight_bit = chosen(prefixes, left_out)
    one_thread_in_torch()
    records: list[Record] = []
    results = machine.describe() | {
        "limits": asdict(limits),
        "left_out": left_out,
        "failed": failed,
        "tasks": records,
    }
    for name, load in loaders.items():
        start = perf_counter()
        print(f"{name} …", flush=True)
        try:
            with threadpool_limits(1):
                record = measure(load(), methods, eight_bit, limits)
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
    parser.add_argument("--methods", metavar="NAME", nargs="+", help="methods that begin so only")
    parser.add_argument("--rounds", type=int, help="rounds of timing")
    parser.add_argument("--rows", type=int, help="timed rows at most")
    parser.add_argument("--train", type=int, metavar="ROWS", help="rows to learn from at most")
    parser.add_argument("--results", type=Path, help="where to write the JSON")
    parser.add_argument("--page", type=Path, help=f"where to write the page, {PAGE.name}")
    parser.add_argument("--draw", type=Path, metavar="RESULTS", help="write the page of results")
    options = parser.parse_args()

    os.environ.update(machine.ONE_THREAD)
    from trials.page import write_page

    if options.draw:
        write_page(json.loads(options.draw.read_text()), options.page or PAGE)
        return
    machine.pin()
    warnings.simplefilter("ignore", RuntimeWarning)  # sketches overflow in places, and show it
    from tasks import TASKS
    from trials.measure import Limits
    from trials.small import SMALL

    loaders = SMALL if options.small else TASKS
    if unknown := set(options.only or ()) - loaders.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(loaders)}")
    if options.only:
        loaders = {name: loaders[name] for name in options.only}
    given = {"rounds": options.rounds, "rows": options.rows, "train_rows": options.train}
    small = {"rounds": 3, "rows": 300, "train_rows": 1000, "settings": 2, "turn_seconds": 0}
    chosen = {key: value for key, value in given.items() if value is not None}
    limits = Limits(**(small if options.small else {}) | chosen)

    # A part of the experiments replaces what is committed only if it is told to.
    whole = not (options.small or options.only or options.methods)
    path = options.results or (RESULTS / file_name() if whole else None)
    page = options.page or (PAGE if whole else None)

    results = run(loaders, options.methods, limits, partial(save, path=path))
    sys.exit(finish(results, path, page, write_page))


def file_name() -> str:
    """Return the name of this machine's results."""
    return f"experiments-{machine.file_name(machine.describe()['machine'])}"


if __name__ == "__main__":
    main()
