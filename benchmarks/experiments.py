"""The paper's experiments: every task, every method, its error and its time, into JSON and a page.

All is measured in this process, in one thread on one processor. ``--small`` needs neither data nor
other packages and takes seconds. ``--draw RESULTS`` measures nothing and writes the page again.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import command

if TYPE_CHECKING:
    from tasks import Task
    from trials.measure import Limits


def load(options: argparse.Namespace, left_out: dict[str, str]) -> command.Benchmark:
    """Return what is measured, when libraries may be loaded."""
    from tasks import TASKS
    from trials import measure
    from trials.candidates import chosen
    from trials.page import write_page
    from trials.small import SMALL

    warnings.simplefilter("ignore", RuntimeWarning)  # sketches overflow in places, and show it
    groups = ({}, {}) if options.draw else chosen(options.methods, left_out)

    def measured(task: Callable[[], Task], limits: Limits) -> command.Record:
        return measure.measure(task(), *groups, limits)

    small = {"rounds": 3, "rows": 300, "train_rows": 1000, "settings": 2, "turn_seconds": 0}
    return command.Benchmark(TASKS, SMALL, measure.Limits(), small, measured, write_page)


if __name__ == "__main__":
    parser = command.parser(__doc__, small="two small tasks, in seconds")
    parser.add_argument("--methods", metavar="NAME", nargs="+", help="methods that begin so only")
    parser.add_argument("--rows", type=int, help="timed rows at most")
    parser.add_argument("--train", dest="train_rows", type=int, help="rows to learn from at most")
    command.main("experiments", parser, load)
