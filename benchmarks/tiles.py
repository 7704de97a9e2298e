"""Tile operators: products of many shapes and a replaced layer; JSON and a page.

All is measured in this process, in one thread on one processor. ``--small`` needs neither data nor
other packages and takes seconds. ``--draw RESULTS`` measures nothing and writes the page again.
"""

from __future__ import annotations

from typing import Any

import command


def load(*_: object) -> command.Benchmark:
    """Return what is measured, when libraries may be loaded."""
    from tiling import layers, shapes
    from tiling.page import write_page
    from tiling.subjects import SMALL, SUBJECTS, Limits, Shape

    def measure(subject: Any, limits: Limits) -> command.Record:
        return (shapes if isinstance(subject, Shape) else layers).measure(subject, limits)

    small = {"rounds": 3, "timed_rows": 200, "turn": 0.002, "optional": False}
    return command.Benchmark(SUBJECTS, SMALL, Limits(), small, measure, write_page)


if __name__ == "__main__":
    parser = command.parser(__doc__, small="small shapes, NumPy alone: seconds")
    parser.add_argument("--rows", dest="timed_rows", type=int, help="timed rows of layers at most")
    parser.add_argument("--fit", dest="fit_rows", type=int, help="rows to fit to at most")
    command.main("tiles", parser, load)
