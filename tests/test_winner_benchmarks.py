"""Benchmarks of exact winners: parts of rows, wishes, sampling; the small run end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tasks import Task
from winning import coverage, page, wishes
from winning.own import Truth
from winning.rivals import ALONE, EXACT
from winning.subjects import SMALL, SUBJECTS, Limits, divided

ROOT = Path(__file__).resolve().parent.parent
Record = dict[str, Any]


def run(*options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/winners.py", *map(str, options)]
    environment = os.environ | {"MADDJIT_TASKS": "nowhere"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def numbered(n_train: int, n_test: int, calibrate: int | None = None) -> Task:
    """Return a task whose rows are their numbers; those of the test are negative."""

    def rows(start: int, stop: int) -> Any:
        return np.arange(start, stop, dtype=np.float32)[:, None]

    return Task(
        name="numbered",
        title="Numbered",
        source="made up",
        A_train=rows(0, n_train),
        A_test=rows(-n_test, 0),
        B=np.ones((1, 2), np.float32),
        bias=None,
        metric="mean",
        higher_is_better=True,
        score=lambda outputs: 0.0,
        A_calibrate=None if calibrate is None else rows(10000, 10000 + calibrate),
    )


def test_no_row_serves_two_ends() -> None:
    subject = replace(SMALL["clustered"], fit_rows=500, calibration_rows=200, block=50)
    parts = divided(numbered(1000, 30), subject, Limits())
    fit, calibrate = set(parts.fit[:, 0]), set(parts.calibrate[:, 0])
    assert (len(fit), len(calibrate), len(parts.test)) == (500, 200, 30)
    assert not fit & calibrate
    blocks = {int(row) // 50 for row in calibrate}
    assert len(blocks) == 4  # whole blocks are held out


def test_rows_of_a_tasks_own_calibrate() -> None:
    subject = replace(SMALL["clustered"], fit_rows=5000, calibration_rows=200)
    parts = divided(numbered(1000, 30, calibrate=300), subject, Limits(calibration_rows=100))
    assert len(parts.fit) == 1000
    assert parts.calibrate[:, 0].tolist() == list(range(10000, 10100))


def test_checked_sizes_are_among_those_measured() -> None:
    for subject in (SUBJECTS | SMALL).values():
        assert subject.checked in subject.sizes


def test_equal_outputs_count_as_covered() -> None:
    rows, B = np.eye(3, dtype=np.float32), np.float32([[2, 2, 1], [5, 0, 0], [1, 3, 4]])
    truth = Truth.of(rows, B, np.zeros(3, np.float32), 1)
    assert truth.winners[1:, 0].tolist() == [0, 2]
    named = SimpleNamespace(outputs=np.float32([[2], [0], [4]]))
    assert truth.covered(named).tolist() == [True, False, True]


def test_sampling_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    observed = []
    for _ in range(2000):
        gaps = rng.random(400)
        margin = np.sort(gaps[:200])[181 - 1]  # ⌈201 · .9⌉
        observed.append(np.mean(gaps[200:] <= margin))
    (low, high), deviation = coverage._sampling(0.9, 200, 200)
    assert np.std(observed) == pytest.approx(deviation, rel=0.1)
    np.testing.assert_allclose(np.quantile(observed, [0.025, 0.975]), [low, high], atol=0.011)


def own_run(
    recall: float, speed: float, cer: float = 0.04, coverage: float | None = 0.99
) -> Record:
    return {
        "label": "C = 8, K = 16",
        "coverage": 0.99,
        "recall": recall,
        "metrics": {"character error rate": cer},
        "ns_per_row": [1 / speed] * 3,
        "over": {EXACT: [speed] * 3, "fast": [speed / 2] * 3, "slow": [speed] * 3},
    }


def rivals() -> Record:
    return {
        EXACT: {"kind": "float32", "ns_per_row": [1.0] * 3},
        "fast": {"kind": ALONE, "ns_per_row": [0.5] * 3},
        "slow": {"kind": ALONE, "ns_per_row": [1.0] * 3},
    }


def test_wishes_are_judged_by_runs_that_are_good_enough() -> None:
    runs = [own_run(0.9995, 9), own_run(0.998, 30), own_run(1, 2)]
    head = {"name": "fashion-head", "rivals": rivals(), "runs": runs, "exact": {}}
    near = own_run(0.9995, 13, cer=0.0401), own_run(0.9995, 50, cer=0.05)
    ocr = head | {"name": "ocr", "runs": list(near), "exact": {"character error rate": 0.04}}
    bad = head | {"name": "magika", "runs": [own_run(0.5, 100)]}
    cells = wishes.rows([head, ocr, bad])
    found = {(row[0], row[2]): (row[4], row[5]) for row in cells}
    assert found["fashion-head", "× float32"][0].startswith("9 (9–9): C = 8")
    assert found["fashion-head", "× float32"][1] == "met"
    assert found["fashion-head", "× the fastest 8-bit product"][0].endswith("over fast")
    assert found["ocr", "× the 8-bit product alone"] == (
        "6.5 (6.5–6.5): C = 8, K = 16, coverage 0.99, over fast",
        "met",
    )
    assert found["ocr", "× the 8-bit product with its arg-max"] == ("not measured", "–")
    assert found["magika", "× the 8-bit product alone"][1] == "**missed**"


def test_frontier_drops_what_is_slower_and_worse() -> None:
    runs = [own_run(0.9, 4), own_run(0.99, 2), own_run(0.95, 1), own_run(0.9, 3)]
    assert page.frontier(runs) == runs[:2]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run both small tasks once; return the folder of `results.json` and `winners.md`."""
    folder = tmp_path_factory.mktemp("winners")
    done = run("--small", "--results", folder / "results.json", "--page", folder / "winners.md")
    assert done.returncode == 0, done.stderr
    return folder


def test_small_run_measures_both_tasks(measured: Path) -> None:
    results = json.loads((measured / "results.json").read_text())
    assert [task["name"] for task in results["tasks"]] == ["clustered", "items"]
    assert not results["failed"]
    for task in results["tasks"]:
        assert not task["failed"]
        assert set(task["rivals"]) == {EXACT}
        # Two coverages and tables alone, of two sizes, one of them learned in two ways for k = 1.
        assert len(task["runs"]) == (9 if task["k"] == 1 else 6)
        for one in task["runs"]:
            low, median, high = one["over"][EXACT]
            assert 0 < low <= median <= high
            if one["coverage"]:
                # A run in a thousand of these misses by more than this.
                assert one["observed"] > one["coverage"] - 0.011
                assert one["recall"] >= one["observed"] - 1e-3
                mean, tail, longest = one["lengths"]
                assert task["k"] <= mean <= tail <= longest <= task["shape"][2]
        splits = task["coverage"]["splits"]
        assert [split["asked"] for split in splits] == [0.99, 0.999]
        for split in splits:
            assert split["mean"] > split["asked"] - 0.01
        noisy = {record["rows"]: record["observed"] for record in task["coverage"]["changed"]}
        assert noisy["test rows and noise of 1 deviations"] < noisy["test rows"] - 0.05


def test_page_is_drawn_again_around_notes(measured: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "winners.md"
    drawn.write_text("before\n<!-- generated -->\nold\n<!-- end of generated -->\nafter\n")
    assert run("--draw", measured / "results.json", "--page", drawn).returncode == 0
    text = drawn.read_text()
    assert text.startswith("before\n<!-- generated -->\n")
    assert text.endswith("\n<!-- end of generated -->\nafter\n")
    for title in ("Targets", "Rows of four directions, 64 × 24", "Coverage in random splits"):
        assert f"\n## {title}\n" in text


def test_unknown_tasks_are_refused() -> None:
    done = run("--only", "nothing")
    assert done.returncode == 2
    assert "unknown: nothing" in done.stderr
