"""Each kind of call beside its peer, in turns. A row has a value, and the value wished for."""

from __future__ import annotations

import warnings
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

import maddjit
from benchmarks.harness.tables import Record
from benchmarks.harness.timing import Candidate, Turns
from benchmarks.rivals.candidates import NUMPY
from benchmarks.suites.kernels.operators import (
    Sums,
    by_numpy,
    compiled,
    outputs,
    rows,
    sums,
    timed,
)
from benchmarks.suites.performance.streams import read, read_runs
from benchmarks.tasks.rows import right, unstructured
from maddjit.models.schemes import BilinearScheme, kronecker, plain, strassen, winograd

Wish = tuple[str, str]
"""What was wished for at AVX2 and at AVX-512, such as "≥ 75"."""
NONE: Wish = ("", "")
FASTER = f"× {NUMPY}"
_EXACT = {
    "strassen": strassen,
    "winograd": winograd,
    "strassen ⊗ strassen": lambda: kronecker(strassen(), strassen()),
    "winograd ⊗ winograd": lambda: kronecker(winograd(), winograd()),
}


def row(case: str, unit: str, value: list[float], wish: Wish = NONE, **more: Any) -> Record:
    """Return a row of the page: what was measured, in which unit, and quartiles."""
    return {"case": case, "unit": unit, "value": value, "wished": list(wish)} | more


def faster(turns: Turns, name: str, N: int, wish: Wish = NONE) -> Record:
    """Return how many times as fast as NumPy, and nanoseconds a row."""
    return row(name, FASTER, turns.ratio(NUMPY, name), wish, ns=turns.per(name, N))


def columns(
    limits: Any, N: int, M: int, kinds: dict[tuple[int, Sums], Wish], D: int = 512
) -> list[Record]:
    """Sums by columns of a column-major A: one read of the split columns, no float32 outputs."""
    A = np.asfortranarray(rows(N, D))
    named = {f"{N} × {D} × {M}, C = {C}, {kind}": (C, kind) for C, kind in kinds}
    own = [sums(name, compiled(D, M, C, sums=kind), A) for name, (C, kind) in named.items()]
    turns = timed([*by_numpy(A, M), *own], limits)
    return [faster(turns, name, N, kinds[key]) for name, key in named.items()]


def bytes_(limits: Any, N: int, M: int, D: int = 512) -> list[Record]:
    """The same for an A in 8 bits, beside the same operator on float32."""
    op = compiled(D, M, 16, whole=True)
    A8 = np.asfortranarray(np.clip(np.rint(40 * rows(N, D)), -128, 127).astype(np.int8))
    A = np.asfortranarray(A8.astype(np.float32))
    own, other = "int8", "float32"
    found = [*by_numpy(A, M), sums(own, op, A8), sums(other, op, A)]
    turns = timed(found, limits)
    case = f"{N} × {D} × {M}, C = 16, 8 bits, int8 columns"
    return [
        row(case, FASTER, turns.ratio(NUMPY, own), ns=turns.per(own, N)),
        row(case, "time over that of float32 columns", turns.ratio(own, other)),
    ]


def encoding(limits: Any, N: int, wishes: dict[int, Wish], D: int = 512) -> list[Record]:
    """Codes of a column-major A, beside one read of the columns that are compared."""
    A, found = np.asfortranarray(rows(N, D)), []
    for C, wish in wishes.items():
        op = compiled(D, 16, C)
        part = np.ascontiguousarray(A[:, np.unique(op.model.split_dims)].T)
        names = {"op": op, "A": A, "E": np.empty((N, C), np.uint8)}
        own = Candidate("encode", "maddjit", "op.encode(A, out=E)", names)
        turns = timed([own, read(part, "read")], limits)
        unit, value = "time over one read of the columns", turns.ratio("encode", "read")
        more = {"ns": turns.per("encode", N)}
        found.append(row(f"{N} × {D}, C = {C}, codes of columns", unit, value, wish, **more))
    return found


def row_major(limits: Any, shapes: dict[tuple[int, int, int], Wish]) -> list[Record]:
    """Row-major float32 in and out, with 8-bit sums."""
    found = []
    for (N, D, M), wish in shapes.items():
        name = f"{N} × {D} × {M}, C = 16, 8 bits"
        some = [*by_numpy(rows(N, D), M), outputs(name, compiled(D, M, 16), rows(N, D))]
        found.append(faster(timed(some, limits), name, N, wish))
    return found


def by_tiles(B: NDArray[np.float32], scheme: BilinearScheme) -> maddjit.TileOperator:
    """Compile a product by tiles."""
    return maddjit.compile(maddjit.fit_strassen_tile(B, scheme=scheme))


def calls(limits: Any, D: int = 64, M: int = 16) -> list[Record]:
    """What each kind of call costs when there is next to nothing to compute."""
    op, tiles = compiled(D, M, 4), by_tiles(right(D, M), plain())
    B, fitted = right(D, M), unstructured(3000, D, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", maddjit.AccuracyWarning)
        short = maddjit.calibrate(maddjit.fit(fitted[:1000], B, 4), fitted[1000:], B)
    winner = maddjit.compile(short, result="argmax", coverage=0.99)
    one = rows(1, D)
    two = np.asfortranarray(rows(2, D))
    Y, Z = np.empty((1, M), np.float32), np.empty((2, M), np.float32, order="F")
    S, E = np.empty((1, M), np.uint8), np.empty((1, 4), np.uint8)
    names = {"op": op, "tiles": tiles, "winner": winner, "A": one, "two": two}
    names |= {"Y": Y, "Z": Z, "S": S, "E": E}
    statements = {
        "op(A, out=Y)": "op(A, out=Y)",
        "op.sums(A, out=S)": "op.sums(A, out=S)",
        "op.encode(A, out=E)": "op.encode(A, out=E)",
        "op.argmax(A)": "op.argmax(A)",
        "op.topk(A, 3)": "op.topk(A, 3)",
        "op(A, out=Y), both column-major, two rows": "op(two, out=Z)",
        "exact winners, top(A)": "winner(A)",
        "tiles, op(A, out=Y)": "tiles(A, out=Y)",
    }
    some = [Candidate(name, "maddjit", run, names) for name, run in statements.items()]
    turns = timed(some, limits)
    wish = ("≤ 1", "≤ 1")
    return [row(name, "µs a call", turns.per(name, unit=1e6), wish) for name in statements]


def wide(limits: Any, D: int = 384, M: int = 30522, C: int = 64) -> list[Record]:
    """One row and sixteen of very many outputs, other ones at each call, as from a queue."""
    op, some = compiled(D, M, C, sums="16 bits"), rows(256, D)
    Y = np.empty((16, M), np.float32)
    names = {"op": op, "matmul": np.matmul, "B": right(D, M), "Y": Y, "one": Y[:1]}
    names |= {"next": next, "A": cycle(np.split(some, 256)), "S": cycle(np.split(some, 16))}
    found = [
        Candidate("N = 1", "maddjit", "op(next(A), out=one)", names),
        Candidate("N = 16", "maddjit", "op(next(S), out=Y)", names),
        Candidate(NUMPY, "float32", "matmul(next(S), B, out=Y)", names),
        read_runs(op.model.tables.size, C, M, Y[:1]),
    ]
    turns = timed(found, limits)
    case = f"{{}} × {D} × {M}, C = {C}, other rows each call"
    unit = "time over reading as many bytes in as many runs, and one write of Y"
    one, ns = turns.ratio("N = 1", "read runs"), {"ns": turns.per("N = 1")}
    return [
        row(case.format(1), unit, one, ("≤ 1.3", "≤ 1.3"), **ns),
        faster(turns, "N = 16", 16, ("≥ 5", "≥ 5")) | {"case": case.format(16)},
    ]


def prototypes(limits: Any, N: int, M: int, D: int = 512) -> list[Record]:
    """64 codes a codebook over 16: as many look-ups, of larger tables and deeper trees."""
    ops = {f"K = {K}": compiled(D, M, 16, K) for K in (16, 64)}
    found = []
    for make, A, order, wish in (
        (outputs, rows(N, D), "rows", ("≤ 1.5", "≤ 1.5")),
        (sums, np.asfortranarray(rows(N, D)), "columns", ("≤ 2.2", "≤ 1.5")),
    ):
        candidates = [make(name, op, A) for name, op in ops.items()]
        turns = timed(candidates, limits)
        case = f"{N} × {D} × {M}, C = 16, K = 64, by {order}"
        found.append(row(case, "time over K = 16", turns.ratio("K = 64", "K = 16"), wish))
    return found


def tiles(limits: Any, shapes: dict[tuple[int, int, int], tuple[Wish, Wish]]) -> list[Record]:
    """Products by tiles: the plain one, and the fastest of the exact schemes."""
    found = []
    for (N, D, M), (of_plain, of_best) in shapes.items():
        A, B, Y = rows(N, D), right(D, M), np.empty((N, M), np.float32)
        some = by_numpy(A, M)
        for name, scheme in {"plain": plain, **_EXACT}.items():
            op = by_tiles(B, scheme())
            some.append(Candidate(name, "maddjit", "op(A, out=Y)", {"op": op, "A": A, "Y": Y}))
        turns = timed(some, limits, max(3, limits.rounds // 2))
        best = max(_EXACT, key=lambda name: turns.ratio(NUMPY, name)[1])
        case = f"{N} × {D} × {M}, tiles: "
        found += [
            row(case + name, FASTER, turns.ratio(NUMPY, way), wish)
            for name, way, wish in (
                ("plain", "plain", of_plain),
                ("the best exact scheme", best, of_best),
            )
        ]
    return found
