"""Costs beside the speed of one thread: compile time, and what a second thread brings."""

from __future__ import annotations

from functools import partial
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

import maddjit
from benchmarks.harness.machine import all_processors
from benchmarks.harness.tables import Record
from benchmarks.harness.timing import Candidate, quartiles, take_turns
from benchmarks.suites.performance.cases import Case
from benchmarks.suites.performance.operators import described
from benchmarks.tasks.rows import clustered, fitted

_MOST_ROUNDS = 7
BLOCK = 4000
"""Rows whose outputs stay in the cache."""


def compile_time(case: Case, rounds: int, *_: object) -> Record:
    """Time `maddjit.compile` and its phases. The service suite times it in new processes."""
    (_, D, M), C = case.shape, case.n_codebooks
    model = fitted(D, M, C) if M <= 1000 else _random_model(D, M, C)
    runs = []
    for _ in range(min(rounds, _MOST_ROUNDS) + 1):
        start = perf_counter()
        op = maddjit.compile(model)
        runs.append({"compile": perf_counter() - start} | op.kernel().seconds)
    return {
        "title": f"{case.title}, {op.plan.table_bytes / 1e6:.2g} MB of tables",
        "derived": {name: quartiles([run[name] for run in runs[1:]]) for name in runs[0]},
    }


def _random_model(n_features: int, n_outputs: int, n_codebooks: int) -> maddjit.MaddnessModel:
    """Return a model of random numbers whose sums fit 8 bits. Only its size matters."""
    rng = np.random.default_rng(0)
    return maddjit.MaddnessModel(
        split_dims=rng.integers(0, n_features, (n_codebooks, 4)),
        thresholds=rng.standard_normal((n_codebooks, 15)),
        tables=rng.integers(0, 256 // n_codebooks, (n_codebooks, 16, n_outputs)),
        scale=np.ones(n_outputs),
        offset=np.zeros(n_outputs),
        n_features=n_features,
    )


def threads(case: Case, rounds: int, _: bool, left_out: dict[str, str]) -> Record:
    """Time one thread and two on blocks of rows that share one block of outputs."""
    (N, D, M), C = case.shape, case.n_codebooks
    with all_processors() as processors:
        if processors < 2:
            left_out["threads"] = "this process may use one processor only"
            return {}
        op, A = maddjit.compile(fitted(D, M, C)), clustered(N, D, seed=2)
        out = np.empty((BLOCK, M), np.float32)
        candidates = [
            Candidate(name, "maddjit", partial(_in_blocks, op, A, out, n))
            for n, name in ((1, "one thread"), (2, "two threads"))
        ]
        return described(case, candidates, take_turns(candidates, rounds))


def _in_blocks(
    op: maddjit.CompiledOperator,
    A: NDArray[np.float32],
    out: NDArray[np.float32],
    n_threads: int,
) -> None:
    for first in range(0, len(A), BLOCK):
        rows = A[first : first + BLOCK]
        op(rows, out=out[: len(rows)], threads=n_threads)
