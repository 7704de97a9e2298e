"""Exact winners: agreement, coverage and time against float32, 8 bits and faiss; JSON and a page.

All is measured in this process, in one thread on one processor. ``--small`` needs neither data nor
other packages and takes seconds. ``--draw RESULTS`` measures nothing and writes the page again.
"""

from __future__ import annotations

import command


def load(*_: object) -> command.Benchmark:
    """Return what is measured, when libraries may be loaded."""
    from winning.measure import measure
    from winning.page import write_page
    from winning.subjects import SMALL, SUBJECTS, Limits

    small = {"rounds": 3, "splits": 3, "optional": False}
    return command.Benchmark(SUBJECTS, SMALL, Limits(), small, measure, write_page)


if __name__ == "__main__":
    parser = command.parser(__doc__, small="two small tasks, in seconds")
    parser.add_argument("--sizes", type=int, help="sizes of models at most")
    parser.add_argument("--rows", dest="timed_rows", type=int, help="timed rows at most")
    parser.add_argument("--fit", dest="fit_rows", type=int, help="rows to learn from at most")
    parser.add_argument(
        "--calibrate", dest="calibration_rows", type=int, help="rows to calibrate at most"
    )
    parser.add_argument("--splits", type=int, help="random splits of the coverage check")
    parser.add_argument("--split-rows", type=int, help="rows to split at most")
    command.main("winners", parser, load)
