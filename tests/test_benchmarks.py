"""The benchmark suite runs in its small form and becomes a page; no times are judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(script: str, *options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, f"benchmarks/{script}", *map(str, options)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the suite once; return the folder of `results.json` and `performance.md`."""
    folder = tmp_path_factory.mktemp("benchmarks")
    files = ("--results", folder / "results.json", "--page", folder / "performance.md")
    done = run("suite.py", "--small", "--rounds", "3", *files)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def results(measured: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((measured / "results.json").read_text())
    return read


def test_results_say_where_they_come_from(results: dict[str, Any]) -> None:
    assert {"cpu", "cores", "caches", "level", "platform"} <= results["machine"].keys()
    assert {"python", "numpy", "llvmlite", "maddjit"} <= results["versions"].keys()
    assert results["commit"]
    assert results["date"].startswith("20")
    assert results["rounds"] == 3
    assert not results["failed"]


def test_each_topic_is_measured(results: dict[str, Any]) -> None:
    topics = [case["topic"] for case in results["cases"]]
    parts = {"encode", "scan", "split", "compile", "threads"}
    assert set(topics) == {"operator", "one row", "sums", "argmax"} | parts
    for case in results["cases"]:
        for candidate in case.get("candidates", {}).values():
            low, median, high = candidate["ns_per_row"]
            assert 0 < low <= median <= high
            assert len(candidate["times_as_fast"]) == 3


def test_times_stand_beside_errors(results: dict[str, Any]) -> None:
    operator = next(case for case in results["cases"] if case["topic"] == "operator")
    assert operator["baseline"] == "numpy.matmul"
    assert operator["nmse"]["numpy.matmul"] < 1e-10
    assert 0 < operator["nmse"]["maddjit K = 64"] < operator["nmse"]["maddjit"] < 0.2
    assert operator["sum_bits"].keys() >= {"maddjit", "maddjit K = 64"}


def test_a_target_without_its_peer_is_not_judged(results: dict[str, Any]) -> None:
    operator = next(case for case in results["cases"] if case["topic"] == "operator")
    judged = {target["against"]: target for target in operator["targets"]}
    assert judged["the best 8-bit product"]["met"] is None
    assert judged["read A"]["met"] in (True, False)
    assert len(judged["read A"]["reached"]) == 3


def test_page_shows_every_topic(measured: Path) -> None:
    page = (measured / "performance.md").read_text()
    for title in (
        "Targets",
        "Whole operators",
        "64 prototypes instead of 16",
        "Encoding alone",
        "Scanning alone",
        "Where the time of one call goes",
        "Compile time",
        "Where maddjit loses",
    ):
        assert f"\n## {title}\n" in page


def test_notes_around_the_generated_part_survive(measured: Path, tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("before\n<!-- generated -->\nold\n<!-- end of generated -->\nafter\n")
    assert run("report.py", measured / "results.json", "--page", page).returncode == 0
    text = page.read_text()
    assert text.startswith("before\n<!-- generated -->\n")
    assert text.endswith("\n<!-- end of generated -->\nafter\n")
    assert "\nold\n" not in text
    first = (measured / "performance.md").read_text().split("<!-- generated -->")[1]
    assert text.split("<!-- generated -->")[1].split("<!-- end")[0] == first.split("<!-- end")[0]


def test_a_page_without_its_markers_is_left_alone(measured: Path, tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("notes only\n")
    assert run("report.py", measured / "results.json", "--page", page).returncode != 0
    assert page.read_text() == "notes only\n"


def test_unknown_cases_are_refused() -> None:
    done = run("suite.py", "--only", "nothing")
    assert done.returncode == 2
    assert "no case has such a name" in done.stderr
    assert "10000×512×100-C16 (operator)" in run("suite.py", "--list").stdout
