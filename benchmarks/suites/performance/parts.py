"""What one number hides: encode, scan, epilogue and call, each timed as directly as possible."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import maddjit
from benchmarks.harness.tables import Record
from benchmarks.harness.timing import Candidate, Turns, quartiles, take_turns
from benchmarks.rivals.candidates import gather
from benchmarks.suites.performance.cases import Case
from benchmarks.suites.performance.operators import described, own_sums
from benchmarks.suites.performance.streams import read
from benchmarks.tasks.rows import Product, fitted

LINE = 64
"""Bytes of a cache line."""
FAISS_BLOCKED, FAISS_NO_SCAN = 14, 2
"""faiss's IndexFastScan: its fastest loop over codes here, and the bit that skips the scan."""


def encode(case: Case, rounds: int, optional: bool, left_out: dict[str, str]) -> Record:
    """Time encoding alone, and say how many bytes of A each way touches in a row."""
    (N, D, M), C = case.shape, case.n_codebooks
    A = Product.of_shape(case.shape).A
    model = fitted(D, M, C)
    op, codes = maddjit.compile(model), np.empty((N, C), np.uint8)

    def by_hand() -> list[Candidate]:
        from benchmarks.rivals.loops import encode as run

        call = partial(run, A, model.split_dims, model.thresholds, codes)
        return [Candidate("numba by hand", "by hand", call)]

    candidates = [
        read(A),
        *(
            Candidate(f"{order} A", "maddjit", partial(op.encode, given, out=codes))
            for order, given in (("row-major", A), ("column-major", np.asfortranarray(A)))
        ),
        *gather({"numba": by_hand} if optional else {}, left_out),
    ]
    turns = take_turns(candidates, rounds)
    lines, columns = (np.unique(dims) for dims in (model.split_dims * 4 // LINE, model.split_dims))
    touched = {"row-major A": LINE * len(lines), "column-major A": 4 * len(columns)}
    return described(case, candidates, turns) | {"bytes_per_row": {"counted": 4 * D} | touched}


def scan(case: Case, rounds: int, optional: bool, left_out: dict[str, str]) -> Record:
    """Time the scan of codes: ours and faiss's by difference, numba's alone."""
    (N, D, M), C = case.shape, case.n_codebooks
    A = Product.of_shape(case.shape).A
    op, codes = maddjit.compile(fitted(D, M, C)), np.empty((N, C), np.uint8)
    columns = np.asfortranarray(A)
    candidates = []
    for name, rows, sums in (
        ("column-major", columns, own_sums(op, columns)),
        ("row-major", A, np.empty((N, M), np.int32)),
    ):
        candidates += [
            Candidate(f"{name}, sums", "part", partial(op.sums, rows, out=sums)),
            Candidate(f"{name}, codes", "part", partial(op.encode, rows, out=codes)),
        ]
    if optional:
        hand = partial(_scan_by_hand, op, A)
        candidates += gather({"numba": hand, "faiss": partial(_faiss, N, M, C)}, left_out)
    turns = take_turns(candidates, rounds)
    seconds = {
        f"maddjit, {order} in and out": _difference(turns, f"{order}, sums", f"{order}, codes")
        for order in ("column-major", "row-major")
    }
    if "numba by hand" in turns.seconds:
        seconds["numba by hand"] = turns.seconds["numba by hand"]
    if "faiss search" in turns.seconds:
        seconds["faiss 4-bit fast-scan"] = _difference(turns, "faiss search", "faiss tables only")
    taken = {name: quartiles(times) for name, times in seconds.items()}
    dots = {
        name: [N * M / 1e9 / time for time in reversed(times)]
        for name, times in taken.items()
        if times[0] > 0  # a difference of two times may drown in noise where arrays are small
    }
    return described(case, candidates, turns) | {"derived": dots}


def _difference(turns: Turns, whole: str, part: str) -> NDArray[np.float64]:
    difference: NDArray[np.float64] = turns.seconds[whole] - turns.seconds[part]
    return difference


def _scan_by_hand(op: maddjit.CompiledOperator, A: NDArray[Any]) -> list[Candidate]:
    from benchmarks.rivals.loops import scan as run

    dtype = np.uint8 if op.plan.sum_bits == 8 else np.uint16
    sums = np.empty((len(A), op.model.n_outputs), dtype)
    call = partial(run, op.encode(A), op.model.tables, sums)
    return [Candidate("numba by hand", "by hand", call)]


def _faiss(n_rows: int, n_outputs: int, n_codebooks: int) -> list[Candidate]:
    """Search random codes for the best of each query, and do the same without visiting any code."""
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


def split(case: Case, rounds: int, _: bool, __: dict[str, str]) -> Record:
    """Split one call of a row-major operator into its parts, by differences."""
    (N, D, M), C = case.shape, case.n_codebooks
    product = Product.of_shape(case.shape)
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
    parts = {
        "call": turns.seconds["call"],
        "encode": _difference(turns, "codes", "call"),
        "scan": _difference(turns, "sums", "codes"),
        "epilogue": _difference(turns, "whole", "sums"),
    }
    derived = {name: quartiles(1e9 / N * seconds) for name, seconds in parts.items()}
    return described(case, candidates, turns) | {"derived": derived}


def _empty_call() -> Candidate:
    """Return one row through the smallest operator there is: all of it is the call from Python."""
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
