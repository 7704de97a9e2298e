"""The tables of the performance page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.harness.suite import Section
from benchmarks.harness.tables import Record, bold, number, reasons, spread, table
from benchmarks.suites.performance.cases import K64, OWN, PRODUCTS

Cases = Sequence[Record]


def _of(topic: str, show: Callable[[Cases], str], figure: str = "") -> Section:
    """Return the section of one topic: its figure and its table."""

    def section(results: Record) -> dict[str, list[str]]:
        cases = [case for case in results["tasks"] if case["topic"] == topic]
        drawn = results["figures"].get(figure)
        blocks = [f"![{figure}]({drawn})" if drawn else "", show(cases) if cases else ""]
        return {"": [*blocks, *(line for case in cases for line in reasons(case))]}

    return section


def _operators(results: Record) -> dict[str, list[str]]:
    """Return one table for each case: all candidates, the fastest first."""
    return _products(results, hard=False)


def _hard(results: Record) -> dict[str, list[str]]:
    return _products(results, hard=True)


def _products(results: Record, hard: bool) -> dict[str, list[str]]:
    drawn = results["figures"].get("speed")
    found: dict[str, list[str]] = {"": [f"![Speed]({drawn})"]} if drawn and not hard else {}
    for case in results["tasks"]:
        if case["topic"] in PRODUCTS and case["hard"] == hard:
            bits = case["sum_bits"]
            words = f"Sums have {bits[OWN]} bits, {bits[K64]} with K = 64."
            found[case["title"]] = [words, _candidates(case), *reasons(case)]
    return found


def _candidates(case: Record) -> str:
    wrong, words = _wrong(case)
    rows = [
        [
            bold(name, one["kind"] == "maddjit"),
            one["kind"],
            spread(one["ns_per_row"]),
            spread(one["speed"]),
            number(wrong[name]) if name in wrong else "",
        ]
        for name, one in _by_time(case)
    ]
    return table(["candidate", "kind", "ns a row", f"× {case['baseline']}", words], rows)


def _wrong(case: Record) -> tuple[dict[str, float], str]:
    if "winners" in case:
        return case["winners"], "share of right winners"
    return case["nmse"], "NMSE"


def _by_time(case: Record) -> list[tuple[str, Record]]:
    return sorted(case["candidates"].items(), key=lambda item: item[1]["ns_per_row"][1])


def _encodes(cases: Cases) -> str:
    """Return gigabytes a second, as the paper counts them and as they are really touched."""

    def rate(case: Record, name: str, size: str) -> str:
        if name not in case["candidates"]:
            return "–"
        times = case["candidates"][name]["ns_per_row"]
        return spread([case["bytes_per_row"][size] / time for time in reversed(times)])

    rows = [
        [
            str(case["shape"][1]),
            f"{case['n_codebooks'] // 2} bytes",
            *(
                rate(case, name, size)
                for name in ("row-major A", "column-major A")
                for size in ("counted", name)
            ),
            rate(case, "numba by hand", "counted"),
            rate(case, "read A", "counted"),
        ]
        for case in cases
    ]
    head = ["D", "code", "row-major A, counted", "touched", "column-major A, counted", "touched"]
    return table([*head, "numba by hand, row-major, counted", "one read of A"], rows)


def _scans(cases: Cases) -> str:
    """Return dot products and look-ups a second."""
    rows = [
        [f"{C // 2} bytes", name, spread(rate), number(C * rate[1])]
        for C, case in ((case["n_codebooks"], case) for case in cases)
        for name, rate in case["derived"].items()
    ]
    return table(["code", "scan", "10⁹ dot products a second", "10⁹ look-ups a second"], rows)


def _splits(cases: Cases) -> str:
    """Return the parts of one call in nanoseconds a row."""
    parts = list(cases[0]["derived"])
    rows = [
        [case["title"], *map(spread, (*case["derived"].values(), whole["ns_per_row"]))]
        for case in cases
        for whole in [case["candidates"]["whole"]]
    ]
    return table(["case", *parts, "whole"], rows)


def _compiles(cases: Cases) -> str:
    """Return milliseconds of compiling, and of its phases."""
    phases = list(cases[0]["derived"])
    rows = [
        [case["title"], *(spread([1e3 * s for s in case["derived"][phase]]) for phase in phases)]
        for case in cases
    ]
    return table(["case, ms", *phases], rows)


def _threads(cases: Cases) -> str:
    rows = [
        [case["title"], name, spread(one["ns_per_row"]), spread(one["speed"])]
        for case in cases
        for name, one in case.get("candidates", {}).items()
    ]
    return table(["case", "threads", "ns a row", "× one thread"], rows)


def _losses(results: Record) -> dict[str, list[str]]:
    """Return every rival that took no more time than the operator."""
    rows = []
    for case in results["tasks"]:
        if case["topic"] not in PRODUCTS:
            continue
        wrong, _ = _wrong(case)
        own = case["candidates"][OWN]["ns_per_row"][1]
        rows += [
            [
                case["title"],
                name,
                number(own / one["ns_per_row"][1]),
                number(wrong[name]) if name in wrong else "",
                number(wrong[OWN]),
            ]
            for name, one in _by_time(case)
            if one["kind"] not in ("maddjit", "limit") and one["ns_per_row"][1] <= own
        ]
    head = ["case", "rival", "× as fast as maddjit", "its NMSE or winners", "maddjit's"]
    return {"": [table(head, rows) or "No rival was as fast in any case."]}


SECTIONS: dict[str, Section] = {
    "operators": _operators,
    "hard": _hard,
    "losses": _losses,
    "encode": _of("encode", _encodes),
    "scan": _of("scan", _scans),
    "split": _of("split", _splits, figure="split"),
    "compile": _of("compile", _compiles),
    "threads": _of("threads", _threads),
}
