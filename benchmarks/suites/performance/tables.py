"""The tables of the performance page."""

from __future__ import annotations

from benchmarks.harness.suite import Section
from benchmarks.harness.tables import Record, bold, number, reasons, spread, table
from benchmarks.suites.performance.cases import K64, OWN, PRODUCTS


def _products(hard: bool) -> Section:
    """Return the section with one table for each case: all candidates, the fastest first."""

    def section(results: Record) -> dict[str, list[str]]:
        found = {}
        for case in results["tasks"]:
            if case["topic"] in PRODUCTS and case["hard"] == hard:
                bits = case["sum_bits"]
                words = f"Sums have {bits[OWN]} bits, {bits[K64]} with K = 64."
                found[case["title"]] = [words, _candidates(case), *reasons(case)]
        return found

    return section


def _candidates(case: Record) -> str:
    nmse = case["nmse"]
    rows = [
        [
            bold(name, one["kind"] == "maddjit"),
            one["kind"],
            spread(one["ns_per_row"]),
            spread(one["speed"]),
            number(nmse[name]) if name in nmse else "",
        ]
        for name, one in _by_time(case)
    ]
    return table(["candidate", "kind", "ns a row", f"× {case['baseline']}", "NMSE"], rows)


def _by_time(case: Record) -> list[tuple[str, Record]]:
    return sorted(case["candidates"].items(), key=lambda item: item[1]["ns_per_row"][1])


def _threads(results: Record) -> dict[str, list[str]]:
    """Return what a second thread brings."""
    cases = [case for case in results["tasks"] if case["topic"] == "threads"]
    rows = [
        [case["title"], name, spread(one["ns_per_row"]), spread(one["speed"])]
        for case in cases
        for name, one in case.get("candidates", {}).items()
    ]
    head = ["case", "threads", "ns a row", "× one thread"]
    return {"": [table(head, rows), *(line for case in cases for line in reasons(case))]}


def _losses(results: Record) -> dict[str, list[str]]:
    """Return every rival that took no more time than the operator."""
    rows = []
    for case in results["tasks"]:
        if case["topic"] not in PRODUCTS:
            continue
        nmse, own = case["nmse"], case["candidates"][OWN]["ns_per_row"][1]
        for name, one in _by_time(case):
            if one["kind"] not in ("maddjit", "limit") and one["ns_per_row"][1] <= own:
                errors = (number(nmse[name]) if name in nmse else "", number(nmse[OWN]))
                rows.append([case["title"], name, number(own / one["ns_per_row"][1]), *errors])
    head = ["case", "rival", "× as fast as maddjit", "its NMSE", "maddjit's"]
    return {"": [table(head, rows) or "No rival was as fast in any case."]}


SECTIONS: dict[str, Section] = {
    "operators": _products(hard=False),
    "hard": _products(hard=True),
    "losses": _losses,
    "threads": _threads,
}
