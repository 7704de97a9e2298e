"""The first minute: two layers of a small network, multiplied in several ways.

The script computes each layer exactly, in 8 bits, by low rank and by look-ups. It prints how often
the network is then right and how fast each way is, and draws a picture. The ways take turns in one
thread; the rest of the network stays as it is. The rows are in the repository, and
`first_minute/README.md` describes them. It takes about half a minute.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from first_minute import layers, ways
from first_minute.layers import Layer
from first_minute.picture import draw
from first_minute.table import measure
from first_minute.ways import Way
from threadpoolctl import threadpool_info, threadpool_limits

import maddjit

PICTURE = Path(__file__).resolve().parent.parent / "build" / "demo.png"
INTRODUCTION = """\
A small network names 28 × 28 pictures of clothes (Fashion-MNIST). Two of its layers are products
with fixed weights. Each is replaced in turn; the rest of the network stays as it is.
Learned from {learn} rows, tested on 2000, all of images that the network was not trained on.
{machine}

right      share of the test images whose true class the network names
as exact   share of the test images for which it names the same class as the exact network
speed      times as fast as the exact way: median of {rounds} rounds, and the middle half of them;
           {batch} rows a call, float32 in and out, one thread
look-ups   each output is a sum of 8, 16, … numbers from tables, in place of 512 products;
           "+ rank 8" multiplies the 8 directions in which the outputs vary most
beaten by  that way is faster and right at least as often
"""
NEXT = """\
Where to go next
  your own matrices    maddjit.select finds the fastest way that is good enough: docs/quickstart.md
  your own classifier  exact winners, with a guarantee: docs/guides/classifier.md
  other libraries      scikit-learn, PyTorch, ONNX, Dask: docs/guides/integrations.md
  this machine         python -m maddjit doctor, and print(op.report) of any operator"""


def level() -> str:
    """Return the feature level that maddjit compiles for, and why it is this one."""
    rows = np.arange(64.0).reshape(16, 4)
    name = maddjit.compile(maddjit.fit(rows, rows[:4], 1)).target.name
    if os.environ.get("MADDJIT_TARGET"):
        return f"{name} (by MADDJIT_TARGET; the others use all that this CPU has)"
    return f"{name} (the best that this CPU can run)"


def blas() -> str:
    """Return the names of NumPy's BLAS and of the kernels that it uses here."""
    found = [library for library in threadpool_info() if library["user_api"] == "blas"]
    if not found:
        return "a BLAS that threadpoolctl does not know: it may use more than one thread"
    own = min(found, key=lambda library: "numpy" not in library["filepath"])  # SciPy has another
    return " ".join(str(own.get(key, "")) for key in ("internal_api", "architecture"))


def for_hidden(layer: Layer, codebooks: list[int]) -> Iterator[Way]:
    """Yield ways to compute all outputs of the hidden layer."""
    yield from ways.eight_bit(layer)
    for rank in (8, 16, 32):
        yield ways.low_rank(layer, rank)
    for n_codebooks in codebooks:
        yield ways.look_ups(layer, n_codebooks)
    for n_codebooks in (n for n in codebooks if n > 8):
        yield ways.look_ups(layer, n_codebooks, rank=8)


def for_head(layer: Layer, codebooks: list[int]) -> Iterator[Way]:
    """Yield ways to compute all outputs of the head."""
    yield from ways.eight_bit(layer)
    yield ways.low_rank(layer, 8)
    for n_codebooks in codebooks:
        yield ways.look_ups(layer, n_codebooks // 2)


def for_winners(layer: Layer) -> Iterator[Way]:
    """Yield ways to find the largest output of the head."""
    yield from map(ways.winner, ways.eight_bit(layer))
    yield from ways.exact_winners(layer, 8, (0.99, 0.999))


def main(n_learn: int, codebooks: list[int], batch: int, rounds: int, path: Path) -> None:
    """Measure all ways, print the tables and draw the picture."""
    hidden, head = layers.load(n_learn)
    machine = f"maddjit: level {level()}\nNumPy: {blas()}; 8 bits: {ways.rival()}"
    print(INTRODUCTION.format(learn=len(hidden.learn), machine=machine, batch=batch, rounds=rounds))
    winner = ways.winner(ways.product_and_bias(head))
    sections = (
        ("Hidden layer, 512 × 512", hidden, ways.product(hidden), for_hidden(hidden, codebooks)),
        ("Head, 512 × 10", head, ways.product(head), for_head(head, codebooks)),
        ("Head, only its largest output", head, winner, for_winners(head)),
    )
    tables = []
    with threadpool_limits(1):
        for title, layer, exact, others in sections:
            tables.append(measure(title, layer, exact, others, batch, rounds))
            print(f"{tables[-1]}\n")
    drawn = draw(tables, machine, path)
    print(f"Picture: {path}" if drawn else "No picture: matplotlib is not installed")
    print(f"\n{NEXT}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learn", type=int, default=4000, help="rows to learn from, at most 4000")
    parser.add_argument(
        "--codebooks",
        type=int,
        nargs="+",
        default=[8, 16, 32],
        help="look-ups an output of the hidden layer; the head has half as many",
    )
    parser.add_argument("--batch", type=int, default=500, help="rows a call, at most 2000")
    parser.add_argument("--rounds", type=int, default=21, help="rounds of timing")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="where to draw")
    given = parser.parse_args()
    main(given.learn, given.codebooks, given.batch, given.rounds, given.picture)
