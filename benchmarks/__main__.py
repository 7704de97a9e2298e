"""Measure a suite, or write its page of results again.

    python -m benchmarks SUITE [--small] [--only NAME …] [--render] …

`SUITE` is performance, experiments, winners, tiles, service, front, kernels, networks
or convolutions;
``python -m benchmarks SUITE -h`` lists the options. Everything is measured in this process, in one
thread on one processor.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from benchmarks.harness import command, machine

SUITES = (
    "performance",
    "experiments",
    "winners",
    "tiles",
    "service",
    "front",
    "kernels",
    "networks",
    "convolutions",
)


def main(arguments: list[str]) -> int:
    """Run the suite that the first argument names."""
    if not arguments or arguments[0] not in SUITES:
        print(__doc__, file=sys.stderr)
        return 2
    # Libraries read these variables when they are imported, which a suite does.
    os.environ.update(machine.ENVIRONMENT)
    suite = import_module(f"benchmarks.suites.{arguments[0]}.suite").SUITE
    return command.main(suite, arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
