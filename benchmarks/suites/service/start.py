"""A process from its start to its first result: without a cache, with an empty and a full one.

Uncounted runs of each kind write bytecode, where Python does that, and fill the cache.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.tables import Record
from benchmarks.harness.timing import Candidate, quartiles, take_turns
from benchmarks.tasks.rows import clustered, fitted, right

ALONE, NONE, EMPTY, FULL = "NumPy alone", "no cache", "empty cache", "full cache"
PARTS = ("import numpy", "import maddjit", "load the model", "compile", "first call")
_ROWS = 100
_PROCESS = """
import json, sys
from time import perf_counter
times = [perf_counter()]
import numpy
times.append(perf_counter())
import maddjit
times.append(perf_counter())
model, A = maddjit.load("model.npz"), numpy.load("A.npy")
times.append(perf_counter())
op = maddjit.compile(model)
times.append(perf_counter())
op(A)
times.append(perf_counter())
print(json.dumps([after - before for before, after in zip(times, times[1:])]))
"""
_NUMPY = "import numpy; numpy.load('A.npy') @ numpy.load('B.npy'); print('[]')"


@dataclass(frozen=True)
class Start:
    """A process that loads a model (D, M) and multiplies once."""

    shape: tuple[int, int]
    n_codebooks: int


def measure(subject: Start, limits: Any) -> Record:
    """Return the times of whole processes, and of their parts."""
    D, M = subject.shape
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fitted(D, M, subject.n_codebooks).save(folder / "model.npz")
        np.save(folder / "A.npy", clustered(_ROWS, D, seed=2))
        np.save(folder / "B.npy", right(D, M))
        told: dict[str, list[list[float]]] = {ALONE: [], NONE: [], EMPTY: [], FULL: []}

        def process(kind: str) -> None:
            caches = {EMPTY: tempfile.mkdtemp(dir=folder), FULL: str(folder / "full")}
            environment = dict(os.environ) | {"MADDJIT_CACHE_DIR": caches.get(kind, "")}
            environment.pop("PYTHONDONTWRITEBYTECODE", None)
            done = subprocess.run(
                [sys.executable, "-P", "-c", _NUMPY if kind == ALONE else _PROCESS],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                check=True,
            )
            told[kind].append(json.loads(done.stdout))

        processes = [Candidate(kind, "part", partial(process, kind)) for kind in told]
        turns = take_turns(processes, limits.rounds)
        stored = sum(path.stat().st_size for path in (folder / "full").iterdir())
    ways = {}
    for kind, own in told.items():
        parts = 1e3 * np.array(own[-limits.rounds :]).T
        ways[kind] = {
            "whole": turns.per(kind, unit=1e3),
            "beyond": quartiles((turns.seconds[kind] - turns.seconds[ALONE]) * 1e3),
            "parts": dict(zip(PARTS, map(quartiles, parts), strict=kind != ALONE)),
        }
    return {
        "kind": "start",
        "title": f"{D} × {M}, {subject.n_codebooks} codebooks",
        "shape": [D, M],
        "n_codebooks": subject.n_codebooks,
        "cached_bytes": stored,
        "ways": ways,
    }
