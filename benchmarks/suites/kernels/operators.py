"""Operators of random tables, and rows for them; each is compared with the reference once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from time import thread_time
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import maddjit
from benchmarks.harness.timing import Candidate, Turns, take_turns
from benchmarks.rivals.candidates import with_numpy
from benchmarks.tasks.rows import Product, right, unstructured
from maddjit import reference

Sums = Literal["8 bits", "16 bits", "averages"]
INTEGERS = {8: np.uint8, 16: np.uint16, 32: np.int32}
_CHECKED_ROWS = 40


def model(
    D: int, M: int, C: int, K: int = 16, sums: Sums = "8 bits", whole: bool = False
) -> maddjit.MaddnessModel:
    """Return a model of random entries whose sums need as many bits as said.

    Thresholds are whole numbers for rows in 8 bits.
    """
    rng = np.random.default_rng(0)
    depth = K.bit_length() - 1
    thresholds = rng.standard_normal((C, K - 1), dtype=np.float32)
    most = 255 // C if sums == "8 bits" else 255
    return maddjit.MaddnessModel(
        maddjit.HashTrees(
            np.stack([rng.permutation(D)[:depth] for _ in range(C)]),
            np.rint(40 * thresholds) if whole else thresholds,
            D,
        ),
        tables=rng.integers(0, most + 1, (C, K, M), np.uint8),
        scale=np.ones(M, np.float32),
        offset=np.zeros(M, np.float32),
        accumulate="average" if sums == "averages" else "exact",
    )


def compiled(*of: Any, **more: Any) -> maddjit.CompiledOperator:
    """Compile a `model`, and compare its sums of some rows, in both orders, with the reference."""
    op = maddjit.compile(model(*of, **more))
    assert isinstance(op, maddjit.CompiledOperator)
    rows = unstructured(_CHECKED_ROWS, op.model.n_features, seed=9)
    expected = reference.sums(op.model, rows)
    for order in ("C", "F"):
        if not np.array_equal(op.sums(np.array(rows, order=order)), expected):
            raise AssertionError(f"{op!r} differs from the reference")
    return op


@cache
def rows(N: int, D: int) -> NDArray[np.float32]:
    """Return row-major rows of independent numbers."""
    return unstructured(N, D, seed=2)


def by_numpy(A: NDArray[np.float32], M: int) -> list[Candidate]:
    """Return `numpy.matmul` with the B of a shape."""
    return with_numpy(Product.of(A, right(A.shape[1], M)))


def outputs(name: str, op: maddjit.CompiledOperator, A: NDArray[Any]) -> Candidate:
    """Return a call that leaves float32 outputs in memory that is there."""
    Y = np.empty((len(A), op.model.n_outputs), np.float32)
    return Candidate(name, "maddjit", "op(A, out=Y)", {"op": op, "A": A, "Y": Y})


def sums(name: str, op: maddjit.CompiledOperator, A: NDArray[Any]) -> Candidate:
    """Return a call that leaves column-major sums, in the narrowest integers that hold them."""
    dtype = INTEGERS[op.plan.sum_bits]
    S = np.empty((len(A), op.model.n_outputs), dtype, order="F")
    return Candidate(name, "maddjit", "op.sums(A, out=S)", {"op": op, "A": A, "S": S})


def timed(candidates: Sequence[Candidate], limits: Any, rounds: int = 0) -> Turns:
    """Let candidates take turns by the CPU time of this thread, since the machine is shared."""
    rounds = rounds or limits.rounds
    return take_turns(candidates, rounds, limits.turn, uncounted=1, clock=thread_time)
