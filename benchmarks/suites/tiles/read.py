"""Compare schemes that are read from files with Strassen's and Winograd's, twice over.

    python -m benchmarks.suites.tiles.read FILE … [--sizes 1024 2048] [--precision bfloat16]

A file is what `BilinearScheme.read` takes as one path. All ways take turns in one process, and
times, errors and operations are printed as a table. Set MADDJIT_TARGET for another feature level.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

import numpy as np

from benchmarks.harness import machine
from benchmarks.harness.timing import Candidate, take_turns

BASE = "strassen ⊗ strassen"
_CHECKED_ROWS = 256


def lines(files: list[str], size: int, precision: str, rounds: int) -> Iterator[str]:
    """Yield the rows of the table for a product of white noise, size × size × size."""
    import maddjit
    from benchmarks.suites.tiles.shapes import SCHEMES
    from benchmarks.tasks.rows import unstructured

    A, B = unstructured(size, size, seed=2), unstructured(size, size, seed=3)
    Y = np.empty((size, size), np.float32)
    exact = A[:_CHECKED_ROWS].astype(np.float64) @ B.astype(np.float64)
    schemes = {name: SCHEMES[name]() for name in (BASE, "winograd ⊗ winograd", "plain")}
    read = (maddjit.BilinearScheme.read(file) for file in files)
    schemes |= {scheme.name: scheme for scheme in read}
    candidates, errors, additions = [], {}, {}
    for name, scheme in schemes.items():
        model = maddjit.fit_strassen_tile(B, scheme=scheme)
        op = maddjit.compile(model, precision=precision)  # type: ignore[call-overload]
        error = op(A)[:_CHECKED_ROWS] - exact
        errors[name] = float(np.sqrt(np.mean(error**2)))
        additions[name] = op.report.additions
        names = {"op": op, "A": A, "Y": Y}
        candidates.append(Candidate(name, "maddjit", "op(A, out=Y)", names, lambda: Y))
    turns = take_turns(candidates, rounds, 0.02, uncounted=1)
    for name, scheme in schemes.items():
        encode, decode = additions[name]
        yield (
            f"| {size}³, {precision} | {name} | {scheme.rank} | {scheme.amplification:.2f} "
            f"| {encode} + {decode} | {turns.ratio(name, BASE)[1]:.3f} "
            f"| {errors[name] / errors[BASE]:.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048])
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=41)
    options = parser.parse_args()
    os.environ.update(machine.ENVIRONMENT)
    print("| product | scheme | r | amplification | operations | time | rounding |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for size in options.sizes:
        for line in lines(options.files, size, options.precision, options.rounds):
            print(line, flush=True)


if __name__ == "__main__":
    main()
