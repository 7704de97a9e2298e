"""Whole operators against all peers, in turns, with what each of them gets wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import eight_bit
import numpy as np
import peers
from cases import (
    BEST_8_BIT,
    BEST_8_BIT_QUANTISING,
    EIGHT_BIT_SUMS,
    FRESH,
    K64,
    NUMPY,
    OWN,
    Case,
    Target,
)
from data import Product, fitted
from measuring import Candidate, Turns, quartiles, take_turns
from numpy.typing import NDArray
from streams import read, streams

import maddjit

Record = dict[str, Any]
LARGE_OUTPUT = 8 << 20
"""Bytes of Y from which a fresh one is also timed."""


def operators(case: Case) -> dict[str, maddjit.CompiledOperator]:
    """Compile the case's operator with 16 prototypes, with 64, and with tables for 8-bit sums."""
    (_, D, M), C = case.shape, case.n_codebooks
    ops = {
        name: maddjit.compile(fitted(D, M, C, K, case.rows)) for name, K in ((OWN, 16), (K64, 64))
    }
    if ops[OWN].plan.sum_bits > 8:
        ops[EIGHT_BIT_SUMS] = maddjit.compile(fitted(D, M, C, 16, case.rows, byte_group=C))
    return ops


def measure(case: Case, rounds: int, optional: bool, left_out: dict[str, str]) -> Record:
    """Time an operator and its peers, and compare all of them with the exact product."""
    product, ops = Product.of(case.shape, case.rows), operators(case)
    make = {"argmax": _argmax, "sums": _sums}.get(case.topic, _outputs)
    candidates = make(case, product, ops, optional, left_out)
    errors = {}
    for candidate in candidates:
        if candidate.outputs:
            candidate.timer().timeit(1)
            judge = product.winners if case.topic == "argmax" else product.nmse
            errors[candidate.name] = judge(candidate.outputs())
    turns = take_turns(candidates, rounds)
    metric = "winners" if case.topic == "argmax" else "nmse"
    return describe(case, candidates, turns) | {
        "sum_bits": {name: op.plan.sum_bits for name, op in ops.items()},
        metric: errors,
    }


def describe(case: Case, candidates: list[Candidate], turns: Turns) -> Record:
    """Return times, ratios to the first candidate, and which targets were reached."""
    rows, first = max(case.shape[0], 1), candidates[0].name
    best = {
        BEST_8_BIT: turns.fastest([c.name for c in candidates if c.kind == "8-bit"]),
        BEST_8_BIT_QUANTISING: turns.fastest(
            [c.name for c in candidates if c.kind == "8-bit with quantising"]
        ),
    }
    return {
        "baseline": first,
        "candidates": {
            c.name: {
                "kind": c.kind,
                "ns_per_row": quartiles(turns.seconds[c.name] * 1e9 / rows),
                "times_as_fast": turns.ratio(first, c.name),
            }
            for c in candidates
        },
        "targets": [_judge(target, turns, rows, best, first) for target in case.targets],
    }


def _judge(
    target: Target, turns: Turns, rows: int, best: dict[str, str | None], first: str
) -> Record:
    peer = best.get(target.against, target.against)
    peer = first if peer == NUMPY else peer
    if target.own not in turns.seconds or (target.against and peer not in turns.seconds):
        return judged(target, None)
    if not peer:
        return judged(target, quartiles(turns.seconds[target.own] * 1e9 / rows))
    of, to = (peer, target.own) if target.least is not None else (target.own, peer)
    shown = f" ({peer})" if target.against in best else ""
    return judged(target, turns.ratio(of, to), shown)


def judged(target: Target, reached: list[float] | None, remark: str = "") -> Record:
    """Return the record of a target; by its median it is met or not."""
    met = None
    if reached is not None:
        met = reached[1] >= target.least if target.least is not None else reached[1] <= target.most
    words = {"text": f"{target}{remark}", "reached": reached, "met": met}
    return asdict(target) | words


def _outputs(
    case: Case,
    product: Product,
    ops: dict[str, maddjit.CompiledOperator],
    optional: bool,
    left_out: dict[str, str],
) -> list[Candidate]:
    """Row-major float32 in and out, into memory that is there."""
    A, B, Y = product.A, product.B, product.Y
    candidates = [*peers.with_numpy(product), *_own(ops, "op(A, out=Y)", A, Y, lambda _: Y)]
    if Y.nbytes >= LARGE_OUTPUT and case.topic == "operator":
        names = {"matmul": np.matmul, "A": A, "B": B, "op": ops[OWN]}
        candidates += [
            Candidate(FRESH, "maddjit", "op(A)", names),
            Candidate(f"{NUMPY}, fresh output", "float32", "matmul(A, B)", names),
        ]
    if case.topic == "operator":
        candidates += streams(A, Y)
    if optional:
        own = ops[OWN]
        made: dict[str, Callable[[], list[Candidate]]] = {
            name: partial(peer, product) for name, peer in peers.OPTIONAL.items()
        }
        made["numba"] = partial(peers.with_numba, product, own.model, own.plan.sum_bits)
        candidates += peers.gather(made, left_out)
    return candidates


def _sums(
    _: Case,
    product: Product,
    ops: dict[str, maddjit.CompiledOperator],
    optional: bool,
    left_out: dict[str, str],
) -> list[Candidate]:
    """Column-major A in, integer sums out, column-major and as narrow as they are proved to be."""
    A = np.asfortranarray(product.A)
    columns = np.unique(ops[OWN].model.split_dims)
    given = Product(A, product.B, product.Y)
    candidates = [
        *peers.with_numpy(given),
        *(
            Candidate(
                name,
                "maddjit",
                "op.sums(A, out=S)",
                {"op": op, "A": A, "S": (S := own_sums(op, A))},
                lambda op=op, S=S: S.astype(np.float32) * op.model.scale + op.model.offset,
            )
            for name, op in ops.items()
        ),
        *_own({"maddjit, row-major outputs": ops[OWN]}, "op(A, out=Y)", A, product.Y),
        read(np.ascontiguousarray(product.A[:, columns].T), "read the split columns"),
    ]
    if optional:
        made = {name: partial(peer, product) for name, peer in peers.OPTIONAL.items()}
        candidates += peers.gather(made, left_out)
    return candidates


def own_sums(op: maddjit.CompiledOperator, A: NDArray[Any]) -> NDArray[Any]:
    """Return memory for sums in the kernel's own order: by columns, no wider than need be."""
    dtype = {8: np.uint8, 16: np.uint16, 32: np.int32}[op.plan.sum_bits]
    return np.empty((len(A), op.model.n_outputs), dtype, order="F")


def _argmax(
    _: Case,
    product: Product,
    ops: dict[str, maddjit.CompiledOperator],
    optional: bool,
    left_out: dict[str, str],
) -> list[Candidate]:
    """The index of each row's largest output, and nothing else."""
    A, B, Y, winners = product.A, product.B, product.Y, np.empty(len(product.A), np.int64)
    names = {"matmul": np.matmul, "A": A, "B": B, "Y": Y, "winners": winners}
    statement = "matmul(A, B, out=Y).argmax(axis=1, out=winners)"
    candidates = [
        Candidate(f"{NUMPY} + argmax", "float32", statement, names, lambda: winners),
        *_own(ops, "op.argmax(A)", A, Y, lambda op: op.argmax(A)),
        *_own({"maddjit + numpy argmax": ops[OWN]}, "op(A, out=Y).argmax(axis=1)", A, Y),
        read(A),
    ]
    if optional:
        made = {
            "torch int8": partial(eight_bit.argmax_with_torch, product),
            "onnxruntime": partial(eight_bit.argmax_with_onnxruntime, product),
        }
        candidates += peers.gather(made, left_out)
    return candidates


def _own(
    ops: dict[str, maddjit.CompiledOperator],
    statement: str,
    A: NDArray[Any],
    Y: NDArray[Any],
    outputs: Callable[[maddjit.CompiledOperator], NDArray[Any]] | None = None,
) -> list[Candidate]:
    return [
        Candidate(
            name,
            "maddjit",
            statement,
            {"op": op, "A": A, "Y": Y},
            partial(outputs, op) if outputs else None,
        )
        for name, op in ops.items()
    ]
