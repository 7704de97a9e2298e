"""The suite of the README: ways to compute two layers of a network, with error and speed.

The layers are those of `examples/demo.py`, whose rows are in the repository.
``python -m benchmarks.suites.front`` measures both levels of a machine, and writes the README.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from time import thread_time
from typing import Any

import numpy as np

from benchmarks.harness.machine import ROOT
from benchmarks.harness.suite import Suite
from benchmarks.harness.tables import Record, number, paragraph, percent, reasons, spread, table
from benchmarks.harness.timing import Candidate, Turns, take_turns
from benchmarks.rivals.eight_bit import torch_linear

sys.path.insert(0, str(ROOT / "examples"))
from first_minute import layers, ways
from first_minute.layers import Floats, Layer
from first_minute.ways import Way

LOOK_UPS = (8, 16, 32, 64)
LOOK_UPS_AND_RANK = ((16, 8), (32, 8), (16, 16))
RANKS = (8, 16, 24, 32, 64)
HELD = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
"""What `__main__` holds PyTorch's oneDNN to, and other libraries with it."""
_PLACED_ANEW = 5
"""So many rounds later, outputs go to other places in memory, some of which are luckier."""


@dataclass(frozen=True)
class Limits:
    """What bounds the work: rounds of timing, rows a call (2000 at most), sizes of each way."""

    rounds: int = 60
    batch: int = 500
    sizes: int = 5


def measure(name: str, limits: Limits) -> Record:
    """Measure all ways to compute the hidden layer, the head, or the head's largest output."""
    hidden, head = layers.load(4000)
    layer = hidden if name == "hidden" else head
    found = [*_torch(layer), *(() if HELD else ways.eight_bit(layer))]
    peer = ways.product(layer)
    if name == "winner":
        peer = ways.winner(ways.product_and_bias(layer))
        found = [*map(ways.winner, found), *ways.exact_winners(layer, 8, (0.999,))]
    elif name == "head":
        found += [ways.look_ups(layer, n_codebooks) for n_codebooks in LOOK_UPS[:2]]
    else:
        found += [ways.low_rank(layer, rank) for rank in RANKS[: limits.sizes]]
        found += [ways.look_ups(layer, n_codebooks) for n_codebooks in LOOK_UPS[: limits.sizes]]
        found += [ways.look_ups(layer, *sizes) for sizes in LOOK_UPS_AND_RANK[: limits.sizes]]
    turns = _turns([peer, *found], layer.test[: limits.batch], limits.rounds)
    rows = [_judged(way, layer, way is peer) for way in (peer, *found)]
    return {
        "title": {
            "hidden": "hidden, 512 × 512",
            "head": "last, 512 × 10",
            "winner": "last, largest output alone",
        }[name],
        "onednn": onednn(),
        "rows": [row | {"speed": turns.ratio(peer.name, row["name"])} for row in rows],
    }


def _torch(layer: Layer) -> Iterator[Way]:
    """Yield PyTorch's dynamically quantised linear layer by oneDNN, if PyTorch is installed."""
    if not find_spec("torch"):
        return
    import torch

    if os.environ.get("ATEN_CPU_CAPABILITY") == "avx2":
        used = torch.backends.cpu.get_cpu_capability(), onednn()
        if used[0] != "AVX2" or "AVX2" not in used[1]:
            raise RuntimeError(f"PyTorch and oneDNN were to be held to AVX2, but use {used}")
    torch.backends.quantized.engine = "onednn"
    multiply = torch_linear(layer.B, layer.bias)
    label = "with VNNI" if HELD.endswith("VNNI") else ""
    name = f"8 bits: PyTorch {label}".rstrip()
    yield Way("8 bits", label, name, lambda rows: lambda: multiply(rows))


@cache
def onednn() -> str:
    """Return the instruction sets that PyTorch's oneDNN uses, in its own words; "" if unknown."""
    done = subprocess.run(
        [sys.executable, "-c", "import torch; torch.ones(64, 64).to_mkldnn()"],
        env=os.environ | {"ONEDNN_VERBOSE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    told = (line.partition(",cpu,isa:")[2] for line in done.stdout.splitlines())
    return next(filter(None, told), "")


def _turns(found: Sequence[Way], rows: Floats, rounds: int) -> Turns:
    """Time ways in turns by the CPU time of this thread."""
    parts = []
    for first in range(0, rounds, _PLACED_ANEW):
        candidates = [Candidate(way.name, way.family, way.prepare(rows)) for way in found]
        some = min(_PLACED_ANEW, rounds - first)
        parts.append(take_turns(candidates, some, uncounted=1, clock=thread_time).seconds)
    return Turns({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _judged(way: Way, layer: Layer, is_exact: bool) -> Record:
    """Return what a way gets wrong on 2000 held-out images.

    "nmse" is the squared error of the outputs over their squared distance from their mean, None
    for winners. "right" and "same" are shares of the images: the whole network names the true
    class, or the class that the exact network names.
    """
    exact = layer.test @ layer.B + layer.bias
    classes, answer = layer.classes(exact), way.prepare(layer.test)()
    if is_exact:  # the exact product is timed without the bias
        answer = exact if answer.ndim == 2 else classes
    named, nmse = answer, None
    if answer.ndim == 2:
        error = float(((answer - exact) ** 2).sum())
        named, nmse = layer.classes(answer), error / float(((exact - exact.mean(0)) ** 2).sum())
    same = float(np.mean(named == classes))
    if not same > 0.8:  # the smallest of the ways agrees with the exact network on nine in ten
        raise AssertionError(f"{way.name}: {same:.1%} of the images named as exactly")
    row: dict[str, Any] = {"family": way.family, "size": way.size, "name": way.name, "nmse": nmse}
    return row | {"right": float(np.mean(named == layer.labels)), "same": same}


def _layers(results: Record) -> dict[str, list[str]]:
    """Return a table for each layer."""
    found = {}
    for task in results["tasks"]:
        rows = [
            [
                row["name"],
                "" if row["nmse"] is None else number(row["nmse"]),
                percent(row["right"]),
                percent(row["same"]),
                spread(row["speed"]),
            ]
            for row in task["rows"]
        ]
        head = ["way", "NMSE", "images right", "as exact", "times as fast"]
        words = f"oneDNN of PyTorch uses {task['onednn']}." if task["onednn"] else ""
        found[task["title"]] = [paragraph(words), table(head, rows), *reasons(task)]
    return found


SUITE = Suite(
    "front",
    {name: name for name in ("hidden", "head", "winner")},
    {name: name for name in ("hidden", "winner")},
    Limits(),
    {"rounds": 3, "batch": 50, "sizes": 1},
    measure,
    {"layers": _layers},
)
