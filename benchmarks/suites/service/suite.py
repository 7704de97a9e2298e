"""The suite of everyday costs: processes that begin, and calls through other libraries."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.harness.suite import Section, Suite
from benchmarks.harness.tables import Record, bold, reasons, spread, table
from benchmarks.suites.service import calls, start
from benchmarks.suites.service.calls import Calls
from benchmarks.suites.service.start import PARTS, Start


@dataclass(frozen=True)
class Limits:
    """What bounds the work."""

    rounds: int = 21


SUBJECTS: dict[str, Start | Calls] = {
    "start-512x10": Start((512, 10), 16),
    "start-512x1000": Start((512, 1000), 32),
    "native": Calls("Exported C library", calls.native),
    "torch": Calls("PyTorch", calls.torch),
    "onnx": Calls("ONNX", calls.onnx),
    "sklearn": Calls("scikit-learn", calls.sklearn, (512, 10)),
    "dask": Calls("Dask", calls.dask, rows=(1000, 100000)),
}

SMALL: dict[str, Start | Calls] = {
    name: replace(subject, shape=(32, 8), n_codebooks=8)
    if isinstance(subject, Start)
    else replace(subject, shape=(32, 8), n_codebooks=8, rows=(1, 200))
    for name, subject in SUBJECTS.items()
    if name != "start-512x10"
}


def measure(subject: Start | Calls, limits: Limits) -> Record:
    """Measure a process or calls."""
    if isinstance(subject, Start):
        return start.measure(subject, limits)
    return calls.measure(subject, limits)


def _starts(results: Record) -> dict[str, list[str]]:
    """Return the milliseconds of processes and of their parts."""
    found = {}
    for task in results["tasks"]:
        if task["kind"] == "start":
            rows = [
                [kind]
                + [spread(way["parts"][part]) if way["parts"] else "" for part in PARTS]
                + [spread(way["whole"]), spread(way["beyond"]) if way["parts"] else ""]
                for kind, way in task["ways"].items()
            ]
            words = f"{task['cached_bytes'] / 1024:.0f} KB are in the full cache. Milliseconds:"
            head = ["", *PARTS, "whole process", "beyond NumPy alone"]
            found[task["title"]] = [words, table(head, rows)]
    return found


def _calls(results: Record) -> dict[str, list[str]]:
    """Return errors, microseconds and speeds of calls through each library."""
    found = {}
    for task in results["tasks"]:
        if task["kind"] == "calls":
            (D, M), ways = task["shape"], task["ways"]
            sizes = list(next(iter(ways.values()))["calls"])
            rows = [
                [bold(name, way["kind"] == "maddjit"), f"{way['nmse']:.2g}"]
                + [spread(way["calls"][n][figure]) for n in sizes for figure in ("us", "speed")]
                for name, way in ways.items()
            ]
            head = ["", "NMSE"]
            for n in sizes:
                head += [f"{n} row{'' if n == '1' else 's'}, µs", "× as fast"]
            words = f"{D} × {M}, {task['n_codebooks']} codebooks. {task['text']}"
            found[task["title"]] = [words, *reasons(task), table(head, rows)]
    return found


SECTIONS: dict[str, Section] = {"starts": _starts, "calls": _calls}

SUITE = Suite("service", SUBJECTS, SMALL, Limits(), {"rounds": 2}, measure, SECTIONS)
