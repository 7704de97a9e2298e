"""Benchmarks of everyday costs: what is compared computes the same; the page is drawn."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.harness.machine import Missing
from benchmarks.suites.service import calls, start
from benchmarks.suites.service.calls import OPERATOR
from benchmarks.suites.service.suite import SECTIONS, SMALL, Limits

Record = dict[str, Any]
PLACES = {"shape": [64, 10], "n_codebooks": 8, "left_out": {}, "failed": {}}


def started(ms: float) -> Record:
    parts = dict.fromkeys(start.PARTS, (ms, ms, ms))
    full = {"parts": parts, "whole": [3, 3, 3], "beyond": [2, 2, 2]}
    alone = {"parts": {}, "whole": [1, 1, 1], "beyond": [0, 0, 0]}
    ways = {start.ALONE: alone, start.FULL: full}
    return {"kind": "start", "title": "A model", "cached_bytes": 2048, "ways": ways, **PLACES}


def called() -> Record:
    times = {n: {"us": [4, 5, 6], "speed": [0.1, 0.2, 0.3]} for n in ("1", "1000")}
    ways = {
        name: {"kind": kind, "nmse": nmse, "calls": times}
        for name, kind, nmse in (("theirs", "float32", 3e-15), ("ours", "maddjit", 0.0412))
    }
    return {"kind": "calls", "title": "Some library", "text": "What it is.", "ways": ways, **PLACES}


def test_tables_of_a_fabricated_result() -> None:
    results = {"tasks": [started(12.5), called()]}
    words, text = SECTIONS["starts"](results)["A model"]
    assert words.startswith("2 KB are in the full cache")
    assert "| NumPy alone |  |  |  |  |  | 1 (1–1) |  |" in text
    *_, text = SECTIONS["calls"](results)["Some library"]
    row = "5 (4–6) | 0.2 (0.1–0.3)"
    assert f"| theirs | 3e-15 | {row} | {row} |\n| **ours** | 0.041 | {row} | {row} |" in text
    assert "| 1 row, µs | × as fast | 1000 rows, µs |" in text


@pytest.mark.parametrize("name", ["native", "onnx", "sklearn", "dask"])
def test_all_ways_of_a_library_compute_the_same(name: str) -> None:
    try:
        record = calls.measure(SMALL[name], Limits(rounds=1))
    except Missing as error:
        pytest.skip(str(error))
    (_, first), *others = record["ways"].items()
    assert first["nmse"] < 1e-12  # sums of 32 float32 products
    for way, found in others:
        if found["kind"] == "maddjit" and way != "run_replaced, no layer":
            assert 1e-6 < found["nmse"] < 0.5, way
        else:
            assert found["nmse"] < 1e-12, way
    errors = {way: found["nmse"] for way, found in record["ways"].items()}
    if OPERATOR in errors:  # the same bits, through whatever
        own = [nmse for nmse in errors.values() if nmse > 1e-6]
        assert own == [errors[OPERATOR]] * 2


@pytest.mark.slow
def test_processes_tell_their_parts() -> None:
    record = start.measure(SMALL["start-512x1000"], Limits(rounds=1))
    assert record["cached_bytes"] > 0
    assert list(record["ways"]) == [start.ALONE, start.NONE, start.EMPTY, start.FULL]
    for kind, way in record["ways"].items():
        assert set(way["parts"]) == (set() if kind == start.ALONE else set(start.PARTS))
