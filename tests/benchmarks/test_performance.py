"""The performance suite runs in its small form and becomes a page; no times are judged."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.suites.performance import tables
from tests.benchmarks.small import measured as small

Small = tuple[dict[str, Any], str]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return small("performance", tmp_path_factory.mktemp("performance"))


def operator(results: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in results["tasks"] if one["topic"] == "operator")
    return found


def test_results_say_where_they_come_from(measured: Small) -> None:
    results, _ = measured
    assert {"cpu", "cores", "caches", "level", "platform"} <= results["machine"].keys()
    assert {"python", "numpy", "llvmlite", "maddjit"} <= results["versions"].keys()
    assert results["commit"]
    assert results["date"].startswith("20")
    assert results["limits"] == {"rounds": 3, "optional": False}
    assert not results["failed"]


def test_each_topic_is_measured(measured: Small) -> None:
    tasks = measured[0]["tasks"]
    assert {task["topic"] for task in tasks} == {"operator", "one row", "sums", "threads"}
    for task in tasks:
        for candidate in task.get("candidates", {}).values():
            low, median, high = candidate["ns_per_row"]
            assert 0 < low <= median <= high
            assert len(candidate["speed"]) == 3


def test_times_stand_beside_errors(measured: Small) -> None:
    task = operator(measured[0])
    assert task["baseline"] == "numpy.matmul"
    assert task["nmse"]["numpy.matmul"] < 1e-10
    assert 0 < task["nmse"]["maddjit K = 64"] < task["nmse"]["maddjit"] < 0.2
    assert task["sum_bits"].keys() >= {"maddjit", "maddjit K = 64"}


def test_page_shows_every_section(measured: Small) -> None:
    results, text = measured
    assert "| **maddjit K = 64** | maddjit |" in text
    assert "× one thread" in text
    assert f"### {operator(results)['title']}\n" in text


def test_losses_are_told() -> None:
    def one(kind: str, ns: float) -> dict[str, Any]:
        return {"kind": kind, "ns_per_row": [ns] * 3}

    task = {
        "topic": "operator",
        "title": "here",
        "nmse": {"maddjit": 0.1, "8 bits": 1e-4},
        "candidates": {
            "maddjit": one("maddjit", 10),
            "maddjit K = 64": one("maddjit", 9),
            "8 bits": one("8-bit", 5),
            "read A": one("limit", 1),
            "slow": one("float32", 20),
        },
    }
    (text,) = tables.SECTIONS["losses"]({"tasks": [task]})[""]
    assert text.splitlines()[2:] == ["| here | 8 bits | 2 | 0.0001 | 0.1 |"]
