"""What one number hides: encode, scan, epilogue and call, each timed as directly as it can be."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import peers
from cases import Case
from data import Product, fitted
from measuring import Candidate, Turns, quartiles, take_turns
from numpy.typing import NDArray
from operators import Record, describe, own_sums
from streams import read

import maddjit

Floats = NDArray[np.float64]
LINE = 64
"""Bytes of a cache line."""
FAISS_BLOCKED, FAISS_NO_SCAN = 14, 2
"""Of faiss's IndexFastScan: its fastest loop over codes here, and the bit that leaves it out."""


def encode(case: Case, rounds: int, optional: bool, left_out: dict[str, str]) -> Record:
    """Time encoding alone, and say how many bytes of A each way touches in a row."""
    (N, D, M), C = case.shape, case.n_codebooks
    A = Product.of(case.shape).A
    model = fitted(D, M, C)
    op, codes = maddjit.compile(model), np.empty((N, C), np.uint8)

    def by_hand() -> list[Candidate]:
        from by_hand import encode as run

        names = {"run": run, "A": A, "trees": (model.split_dims, model.thresholds), "codes": codes}
        return [Candidate("numba by hand", "by hand", "run(A, *trees, codes)", names)]

    names = {"encode": op.encode, "codes": codes}
    candidates = [
        read(A),
        Candidate("row-major A", "maddjit", "encode(A, out=codes)", names | {"A": A}),
        Candidate(
            "column-major A",
            "maddjit",
            "encode(A, out=codes)",
            names | {"A": np.asfortranarray(A)},
        ),
        *peers.gather({"numba": by_hand} if optional else {}, left_out),
    ]
    turns = take_turns(candidates, rounds)
    lines = np.unique(model.split_dims * A.itemsize // LINE)
    touched = {
        "row-major A": LINE * len(lines),
        "column-major A": 4 * len(np.unique(model.split_dims)),
    }
    return describe(case, candidates, turns) | {
        "bytes_per_row": {"counted": D * A.itemsize} | touched,
    }


def scan(case: Case, rounds: int, optional: bool, left_out: dict[str, str]) -> Record:
    """Time the scan of codes: our own by difference, faiss's likewise, numba's alone."""
    (N, D, M), C = case.shape, case.n_codebooks
    A = Product.of(case.shape).A
    model = fitted(D, M, C)
    op, codes = maddjit.compile(model), np.empty((N, C), np.uint8)
    candidates = []
    for name, rows, sums in (
        ("column-major", columns := np.asfortranarray(A), own_sums(op, columns)),
        ("row-major", A, np.empty((N, M), np.int32)),
    ):
        names = {"op": op, "A": rows, "sums": sums, "codes": codes}
        candidates += [
            Candidate(f"{name}, sums", "part", "op.sums(A, out=sums)", names),
            Candidate(f"{name}, codes", "part", "op.encode(A, out=codes)", names),
        ]
    if optional:
        hand = partial(_scan_by_hand, op, A)
        made = {"numba": hand, "faiss": partial(_faiss, N, M, C)}
        candidates += peers.gather(made, left_out)
    turns = take_turns(candidates, rounds)
    seconds = {
        "maddjit, column-major in and out": _difference(
            turns, "column-major, sums", "column-major, codes"
        ),
        "maddjit, row-major in and out": _difference(turns, "row-major, sums", "row-major, codes"),
    }
    if "numba by hand" in turns.seconds:
        seconds["numba by hand"] = turns.seconds["numba by hand"]
    if "faiss search" in turns.seconds:
        seconds["faiss 4-bit fast-scan"] = _difference(turns, "faiss search", "faiss tables only")
    taken = {name: quartiles(times) for name, times in seconds.items()}
    # A difference of two times may drown in noise where the arrays are small.
    dots = {
        name: [N * M / 1e9 / time for time in reversed(times)]
        for name, times in taken.items()
        if times[0] > 0
    }
    return describe(case, candidates, turns) | {
        "unit": "10⁹ dot products/s",
        "derived": dots,
        "sum_bits": {"maddjit": op.plan.sum_bits},
    }


def _difference(turns: Turns, whole: str, part: str) -> Floats:
    difference: Floats = turns.seconds[whole] - turns.seconds[part]
    return difference


def _scan_by_hand(op: maddjit.CompiledOperator, A: NDArray[Any]) -> list[Candidate]:
    from by_hand import scan as run

    sums = np.empty((len(A), op.plan.n_outputs), np.uint8 if op.plan.sum_bits == 8 else np.uint16)
    names = {"run": run, "codes": op.encode(A), "tables": op.model.tables, "sums": sums}
    return [Candidate("numba by hand", "by hand", "run(codes, tables, sums)", names)]


def _faiss(n_rows: int, n_outputs: int, n_codebooks: int) -> list[Candidate]:
    """Search random codes for the best of each query, and the same without visiting any code."""
    import faiss

    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(0)
    width = 4 * n_codebooks
    vectors = rng.standard_normal((n_rows, width), dtype=np.float32)
    queries = rng.standard_normal((n_outputs, width), dtype=np.float32)
    answer = np.empty((n_outputs, 1), np.float32), np.empty((n_outputs, 1), np.int64)

    def search(skip: int) -> Callable[[], object]:
        index = faiss.IndexPQFastScan(width, n_codebooks, 4, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors[:2000])
        index.add(vectors)
        index.implem, index.skip = FAISS_BLOCKED, skip
        return lambda: index.search(queries, 1, D=answer[0], I=answer[1])

    return [
        Candidate("faiss search", "part", search(0)),
        Candidate("faiss tables only", "part", search(FAISS_NO_SCAN)),
    ]


def split(case: Case, rounds: int, optional: bool, left_out: dict[str, str]) -> Record:
    """Split one call of a row-major operator into its parts, by differences."""
    del optional, left_out
    (N, D, M), C = case.shape, case.n_codebooks
    product = Product.of(case.shape)
    op = maddjit.compile(fitted(D, M, C))
    codes, sums = np.empty((N, C), np.uint8), np.empty((N, M), np.int32)
    names = {"op": op, "A": product.A, "Y": product.Y, "codes": codes, "sums": sums}
    candidates = [
        Candidate("whole", "part", "op(A, out=Y)", names),
        Candidate("sums", "part", "op.sums(A, out=sums)", names),
        Candidate("codes", "part", "op.encode(A, out=codes)", names),
        _empty_call(),
    ]
    turns = take_turns(candidates, rounds)
    call = turns.seconds["call"]
    parts = {
        "call": call,
        "encode": turns.seconds["codes"] - call,
        "scan": _difference(turns, "sums", "codes"),
        "epilogue": _difference(turns, "whole", "sums"),
    }
    return describe(case, candidates, turns) | {
        "unit": "ns/row",
        "derived": {name: quartiles(1e9 / N * seconds) for name, seconds in parts.items()},
        "sum_bits": {"maddjit": op.plan.sum_bits},
    }


def _empty_call() -> Candidate:
    """One row through the smallest operator there is: all of it is the call from Python."""
    model = maddjit.MaddnessModel(
        split_dims=[[0]],
        thresholds=[[0.0]],
        tables=[[[0], [1]]],
        scale=[1.0],
        offset=[0.0],
        n_features=1,
    )
    names = {"op": maddjit.compile(model), "A": np.ones((1, 1), np.float32)}
    return Candidate("call", "part", "op(A, out=Y)", names | {"Y": np.empty((1, 1), np.float32)})
