"""Prepare the tasks and print them: `python benchmarks/tasks --list [NAME …]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import perf_counter

sys.path[0] = str(Path(__file__).resolve().parent.parent)
from tasks import TASKS, WINNER_TASKS, Missing  # noqa: E402

KNOWN = WINNER_TASKS | TASKS


def main(names: list[str]) -> int:
    """Print each task, or why it is left out; return how many were left out."""
    left_out = 0
    for name in names:
        start = perf_counter()
        try:
            task = KNOWN[name]()
        except Missing as error:
            print(f"{name}: left out: {error}", flush=True)
            left_out += 1
            continue
        seconds = perf_counter() - start
        further = "".join(
            f", {metric} {score(task.exact):.4f}" for metric, score in task.extra.items()
        )
        print(
            f"{name}: {task.title}; {len(task.A_train)} rows to learn from, {len(task.A_test)} "
            f"to test\n  exact {task.metric} {task.exact_score:.4f}{further}; variance of A·B "
            f"{task.variance:.4g}; {seconds:.1f} s\n  {task.source}",
            flush=True,
        )
    return left_out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", nargs="*", metavar="NAME", default=[], help="all by default")
    options = parser.parse_args()
    unknown = set(options.list) - KNOWN.keys()
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(KNOWN)}")
    sys.exit(main(options.list or list(TASKS)))
