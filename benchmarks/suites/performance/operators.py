"""Whole operators against all rivals, in turns, with what each gets wrong; and two threads."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import maddjit
from benchmarks.harness.machine import all_processors
from benchmarks.harness.tables import Record
from benchmarks.harness.timing import Candidate, Turns, take_turns
from benchmarks.rivals.candidates import NUMPY, by_hand, gather, rivals, with_numpy
from benchmarks.suites.performance.cases import FRESH, K64, OWN, Case
from benchmarks.suites.performance.streams import read, streams
from benchmarks.tasks.rows import Product, clustered, fitted

Operators = dict[str, maddjit.CompiledOperator]
LARGE_OUTPUT = 8 << 20
"""Bytes of Y from which a fresh Y is timed as well."""
BLOCK = 4000
"""Rows whose outputs stay in the cache."""


def measure(case: Case, rounds: int, optional: bool, left_out: dict[str, str]) -> Record:
    """Compare an operator and its rivals with the exact product, then time them."""
    (_, D, M), C = case.shape, case.n_codebooks
    product = Product.of_shape(case.shape, case.rows)
    ops = {n: maddjit.compile(fitted(D, M, C, K, case.rows)) for n, K in ((OWN, 16), (K64, 64))}
    make = _sums if case.topic == "sums" else _outputs
    candidates = make(case, product, ops, optional, left_out)
    errors = {}
    for candidate in candidates:
        if candidate.outputs:
            candidate.run_once()
            errors[candidate.name] = product.nmse(candidate.outputs())
    turns = take_turns(candidates, rounds)
    return described(case, candidates, turns) | {
        "sum_bits": {name: op.plan.sum_bits for name, op in ops.items()},
        "nmse": errors,
    }


def described(case: Case, candidates: list[Candidate], turns: Turns) -> Record:
    """Return the candidates' times, and their ratios to the first."""
    first = candidates[0].name
    return {
        "baseline": first,
        "candidates": {
            candidate.name: {
                "kind": candidate.kind,
                "ns_per_row": turns.per(candidate.name, case.shape[0]),
                "speed": turns.ratio(first, candidate.name),
            }
            for candidate in candidates
        },
    }


def _outputs(
    case: Case, product: Product, ops: Operators, optional: bool, left_out: dict[str, str]
) -> list[Candidate]:
    """Return what turns row-major float32 into row-major float32, into memory that is there."""
    A, B, Y = product.A, product.B, product.Y
    candidates = [
        *rivals(product, optional, left_out),
        *(
            Candidate(name, "maddjit", "op(A, out=Y)", {"op": op, "A": A, "Y": Y}, lambda: Y)
            for name, op in ops.items()
        ),
    ]
    if case.topic == "operator":
        candidates += streams(A, Y)
        if Y.nbytes >= LARGE_OUTPUT:
            names = {"matmul": np.matmul, "A": A, "B": B, "op": ops[OWN]}
            candidates += [
                Candidate(FRESH, "maddjit", "op(A)", names),
                Candidate(f"{NUMPY}, fresh output", "float32", "matmul(A, B)", names),
            ]
    if optional:
        own = ops[OWN]
        hand = partial(by_hand, product, own.model, own.plan.sum_bits)
        candidates += gather({"numba": hand}, left_out)
    return candidates


def _sums(
    _: Case, product: Product, ops: Operators, optional: bool, left_out: dict[str, str]
) -> list[Candidate]:
    """Return what turns a column-major A into column-major integer sums, as narrow as is proved."""
    A = np.asfortranarray(product.A)
    columns = np.unique(ops[OWN].model.split_dims)
    integers = {8: np.uint8, 16: np.uint16, 32: np.int32}
    sums = {
        name: np.empty(product.Y.shape, integers[op.plan.sum_bits], order="F")
        for name, op in ops.items()
    }
    _, *others = rivals(product, optional, left_out)
    names = {"op": ops[OWN], "A": A, "Y": product.Y}
    return [
        *with_numpy(Product(A, product.B, product.Y)),
        *(
            Candidate(
                name,
                "maddjit",
                "op.sums(A, out=S)",
                {"op": op, "A": A, "S": sums[name]},
                partial(_scaled, op, sums[name]),
            )
            for name, op in ops.items()
        ),
        Candidate("maddjit, row-major outputs", "maddjit", "op(A, out=Y)", names),
        read(np.ascontiguousarray(product.A[:, columns].T), "read the split columns"),
        *others,
    ]


def _scaled(op: maddjit.CompiledOperator, sums: NDArray[Any]) -> NDArray[Any]:
    return sums.astype(np.float32) * op.model.scale + op.model.offset


def threads(case: Case, rounds: int, _: bool, left_out: dict[str, str]) -> Record:
    """Time one thread and two on blocks of rows that share one block of outputs."""
    (N, D, M), C = case.shape, case.n_codebooks
    with all_processors() as processors:
        if processors < 2:
            left_out["threads"] = "this process may use one processor only"
            return {}
        op, A = maddjit.compile(fitted(D, M, C)), clustered(N, D, seed=2)
        Y = np.empty((BLOCK, M), np.float32)

        def in_blocks(n_threads: int) -> None:
            for first in range(0, N, BLOCK):
                rows = A[first : first + BLOCK]
                op(rows, out=Y[: len(rows)], threads=n_threads)

        candidates = [
            Candidate(name, "maddjit", partial(in_blocks, n))
            for n, name in ((1, "one thread"), (2, "two threads"))
        ]
        return described(case, candidates, take_turns(candidates, rounds))
