"""The tables of the page, a function for each topic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from layout import number, spread, table

Record = dict[str, Any]
Cases = Sequence[Record]

OWN, K64 = "maddjit", "maddjit K = 64"
PRODUCTS = ("operator", "one row", "sums", "argmax")


@dataclass(frozen=True)
class Topic:
    """A section of the page: which cases it shows, and how."""

    title: str
    takes: Callable[[Record], bool]
    show: Callable[[Cases], str]
    text: str
    plot: str = ""


def title(case: Record) -> str:
    """Return how the page names a case."""
    shape = " × ".join(str(size) for size in case["shape"] if size)
    words = {
        "sums": ", column-major sums",
        "argmax": ", arg-max",
        "compile": f", {case.get('table_bytes', 0) / 1e6:.2g} MB of tables",
        "threads": ", in blocks of rows",
    }
    rows = f", {case['rows']} rows" if case["rows"] != "clustered" else ""
    return f"{shape}, C = {case['n_codebooks']}{words.get(case['topic'], '')}{rows}"


def products(cases: Cases) -> str:
    """Return a table for each case: all candidates, the fastest first."""
    return "\n\n".join(f"**{title(case)}**{_bits(case)}\n\n{_product(case)}" for case in cases)


def _bits(case: Record) -> str:
    bits = case["sum_bits"]
    return f" ({bits[OWN]}-bit sums, {bits[K64]}-bit with K = 64)"


def _product(case: Record) -> str:
    metric, words = _metric(case)
    rows = [
        [
            f"**{name}**" if one["kind"] == "maddjit" else name,
            one["kind"],
            spread(one["ns_per_row"]),
            spread(one["times_as_fast"]),
            number(metric[name]) if name in metric else "",
        ]
        for name, one in by_time(case)
    ]
    return table(["candidate", "kind", "ns a row", f"× {case['baseline']}", words], rows)


def _metric(case: Record) -> tuple[dict[str, float], str]:
    if "winners" in case:
        return case["winners"], "rows whose winner is right"
    return case["nmse"], "NMSE"


def by_time(case: Record) -> list[tuple[str, Record]]:
    """Return the candidates of a case, the fastest first."""
    return sorted(case["candidates"].items(), key=lambda item: item[1]["ns_per_row"][1])


def wider(cases: Cases) -> str:
    """Return times and errors with 64 prototypes beside those with 16."""
    rows = []
    for case in cases:
        metric, _ = _metric(case)
        ratio = next(target for target in case["targets"] if target["own"] == K64)
        times = [spread(case["candidates"][name]["ns_per_row"]) for name in (OWN, K64)]
        errors = [number(metric[name]) if name in metric else "" for name in (OWN, K64)]
        rows.append([title(case), *times, spread(ratio["reached"]), *errors])
    head = ["case", "K = 16, ns a row", "K = 64", "time of 64 / 16", "K = 16, NMSE or winners"]
    return table([*head, "K = 64"], rows)


def encodes(cases: Cases) -> str:
    """Return gigabytes a second, as the paper counts them and as they are really touched."""
    rows = []
    for case in cases:
        size, ways = case["bytes_per_row"], case["candidates"]
        counted = size["counted"]
        row = [str(case["shape"][1]), f"{case['n_codebooks'] // 2} bytes"]
        for name in ("row-major A", "column-major A"):
            row += [_rate(ways, name, counted), _rate(ways, name, size[name])]
        rows.append([*row, _rate(ways, "numba by hand", counted), _rate(ways, "read A", counted)])
    head = ["D", "code", "row-major A, counted", "touched", "column-major A, counted", "touched"]
    return table([*head, "numba by hand, row-major, counted", "one read of A"], rows)


def _rate(ways: Record, name: str, size: float) -> str:
    if name not in ways:
        return "–"
    return spread([size / time for time in reversed(ways[name]["ns_per_row"])])


def scans(cases: Cases) -> str:
    """Return dot products and look-ups a second."""
    rows = [
        [
            f"{case['n_codebooks'] // 2} bytes",
            name,
            spread(rate),
            number(case["n_codebooks"] * rate[1]),
        ]
        for case in cases
        for name, rate in case["derived"].items()
    ]
    return table(["code", "scan", "10⁹ dot products a second", "10⁹ look-ups a second"], rows)


def splits(cases: Cases) -> str:
    """Return the parts of one call in nanoseconds a row."""
    parts = list(cases[0]["derived"])
    rows = [
        [
            title(case),
            *(spread(case["derived"][part]) for part in parts),
            spread(case["candidates"]["whole"]["ns_per_row"]),
        ]
        for case in cases
    ]
    return table(["case", *parts, "whole"], rows)


def compiles(cases: Cases) -> str:
    """Return milliseconds of compiling."""
    phases = list(cases[0]["derived"])
    rows = [
        [
            title(case),
            *(spread([1e3 * second for second in case["derived"][phase]]) for phase in phases),
        ]
        for case in cases
    ]
    return table(["case, ms", *phases], rows)


def threads(cases: Cases) -> str:
    """Return what a second thread brings."""
    rows = [
        [title(case), name, spread(one["ns_per_row"]), spread(one["times_as_fast"])]
        for case in cases
        for name, one in case["candidates"].items()
    ]
    return table(["case", "threads", "ns a row", "times as fast"], rows)


def losses(cases: Cases) -> str:
    """Return every peer that took no more time than the operator."""
    rows = []
    for case in cases:
        metric, _ = _metric(case)
        own = case["candidates"][OWN]["ns_per_row"][1]
        rows += [
            [
                title(case),
                name,
                number(own / one["ns_per_row"][1]),
                number(metric[name]) if name in metric else "",
                number(metric[OWN]),
            ]
            for name, one in by_time(case)
            if one["kind"] not in ("maddjit", "limit") and one["ns_per_row"][1] <= own
        ]
    if not rows:
        return "No peer of any case was as fast."
    head = ["case", "peer", "times as fast as maddjit", "its NMSE (or winners)", "maddjit's"]
    return table(head, rows)


TOPICS = [
    Topic(
        "Whole operators",
        lambda case: case["topic"] in PRODUCTS and not case["hard"],
        products,
        "All candidates of each case, the fastest first, with what they get wrong on the timed "
        "rows: NMSE is mean((Ŷ − Y)²) / var(Y). `8-bit` products are given A in 8 bits already and "
        "leave 32-bit integers; `8-bit with quantising` are given float32 and leave float32. The "
        "limits are one streaming read of A and one streaming write of Y, which no operator on "
        "these arrays can beat. `fresh output` is without `out=`, where the candidate finds the "
        "memory for Y itself. `8-bit sums` are a model fitted with `byte_group=C`, where the "
        "default preferred finer tables; `numba` is the same model by hand. *Column-major sums* "
        "are `op.sums` from a column-major A into the narrowest integers that hold them, in the "
        "kernel's own order, as the paper times its kernels; `numpy.matmul` has the same A there, "
        "the other peers a row-major one.",
        plot="speed",
    ),
    Topic(
        "64 prototypes instead of 16",
        lambda case: any(t["own"] == K64 and t["reached"] for t in case.get("targets", ())),
        wider,
        "The same number of codebooks, each with four times as many table rows.",
    ),
    Topic(
        "Encoding alone",
        lambda case: case["topic"] == "encode",
        encodes,
        "The first micro-benchmark of the MADDNESS paper: `op.encode`, gigabytes a second. "
        "*Counted* takes all of A, N · D · 4 bytes, as the paper does; *touched* takes the cache "
        "lines (row-major) or columns (column-major) that hold a split column. K = 16, so that a "
        "codebook is half a byte.",
    ),
    Topic(
        "Scanning alone",
        lambda case: case["topic"] == "scan",
        scans,
        "The paper's second micro-benchmark. A dot product is one output of one row. Our scan is "
        "`op.sums` less `op.encode`, taken round by round; with column-major sums in the narrowest "
        "integer that holds them, and with row-major 32-bit sums. faiss finds the best code for as "
        "many queries as there are outputs, less the same call without its scan; it keeps a "
        "maximum where we store all sums. numba scans codes that are there.",
    ),
    Topic(
        "Where the time of one call goes",
        lambda case: case["topic"] == "split",
        splits,
        "ns a row, row-major. *call* is a whole call with one row of the smallest operator there "
        "is, shared among the rows; *encode* is `op.encode` less that; *scan* is `op.sums` (32-bit "
        "sums) less `op.encode`; *epilogue*, scale and offset, is the whole less `op.sums`. "
        "Differences of two times may come out negative where the part is nearly free.",
        plot="split",
    ),
    Topic(
        "Compile time",
        lambda case: case["topic"] == "compile",
        compiles,
        "`maddjit.compile` as the first act of a process that has imported maddjit and loaded the "
        "model, and later ones in one process; then the phases of a later one. A process that may "
        "not keep Python's bytecode takes longer for its first.",
    ),
    Topic(
        "Threads",
        lambda case: case["topic"] == "threads" and "candidates" in case,
        threads,
        "An A that comes from memory, in blocks of 4000 rows that share one block of outputs.",
    ),
    Topic(
        "Where little is to be won",
        lambda case: case["topic"] in PRODUCTS and case["hard"],
        products,
        "Small B, many codebooks for few outputs, single rows, and rows without any structure.",
    ),
    Topic(
        "Where maddjit loses",
        lambda case: case["topic"] in PRODUCTS,
        losses,
        "Every peer of every case above that took no more time than maddjit (K = 16), with both "
        "errors. Targets that were missed stand in the first table.",
    ),
]
