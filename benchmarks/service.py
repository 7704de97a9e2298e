"""Costs of everyday use: processes that begin, and calls through other libraries; JSON and a page.

All calls are measured in this process, in one thread on one processor. ``--small`` takes seconds.
``--draw RESULTS`` measures nothing and writes the page again.
"""

from __future__ import annotations

from typing import Any

import command


def load(*_: object) -> command.Benchmark:
    """Return what is measured, when libraries may be loaded."""
    from serving import calls, start
    from serving.page import write_page
    from serving.subjects import SMALL, SUBJECTS, Limits, Start

    def measure(subject: Any, limits: Limits) -> command.Record:
        return (start if isinstance(subject, Start) else calls).measure(subject, limits)

    return command.Benchmark(SUBJECTS, SMALL, Limits(), {"rounds": 2}, measure, write_page)


if __name__ == "__main__":
    command.main("service", command.parser(__doc__, small="small shapes: seconds"), load)
