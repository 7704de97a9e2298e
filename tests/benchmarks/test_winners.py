"""Benchmarks of exact winners: parts of rows, sampling, the fastest; the small run end to end."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.rivals.winners import ALONE, EXACT
from benchmarks.suites.winners import coverage, tables
from benchmarks.suites.winners.own import Truth
from benchmarks.suites.winners.subjects import SMALL, SUBJECTS, divided
from benchmarks.tasks import Task
from tests.benchmarks.small import measured as small

Small = tuple[dict[str, Any], str]
Record = dict[str, Any]


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
    subject = replace(SMALL["directions"], fit_rows=500, calibration_rows=200, block=50)
    parts = divided(numbered(1000, 30), subject)
    fit, calibrate = set(parts.fit[:, 0]), set(parts.calibrate[:, 0])
    assert (len(fit), len(calibrate), len(parts.test)) == (500, 200, 30)
    assert not fit & calibrate
    blocks = {int(row) // 50 for row in calibrate}
    assert len(blocks) == 4  # whole blocks are held out


def test_rows_of_a_tasks_own_calibrate() -> None:
    subject = replace(SMALL["directions"], fit_rows=5000, calibration_rows=100)
    parts = divided(numbered(1000, 30, calibrate=300), subject)
    assert len(parts.fit) == 1000
    assert parts.calibrate[:, 0].tolist() == list(range(10000, 10100))


def test_checked_sizes_are_among_those_measured() -> None:
    for subject in (SUBJECTS | SMALL).values():
        assert subject.checked in subject.sizes


def test_equal_outputs_count_as_covered() -> None:
    rows, B = np.eye(3, dtype=np.float32), np.float32([[2, 2, 1], [5, 0, 0], [1, 3, 4]])
    truth = Truth.of(replace(numbered(3, 3), A_train=rows, A_test=rows, B=B), rows)
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
    (low, high), deviation = coverage.sampling(0.9, 200, 200)
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


def test_the_fastest_good_run_counts() -> None:
    task = {"rivals": rivals(), "runs": [own_run(0.9995, 9), own_run(0.998, 30), own_run(1, 2)]}
    assert tables.fastest_rival(task, (ALONE,)) == "fast"
    assert tables.fastest_rival(task, ("slow",)) == "slow"
    assert tables.fastest_rival(task, ("none",)) is None
    assert tables.fastest_run(task, 0.999, EXACT) == task["runs"][0]
    assert tables.fastest_run(task, 0.998, EXACT) == task["runs"][1]
    assert tables.fastest_run(task, 1.1, EXACT) is None


def test_frontier_drops_what_is_slower_and_worse() -> None:
    runs = [own_run(0.9, 4), own_run(0.99, 2), own_run(0.95, 1), own_run(0.9, 3)]
    assert tables.frontier(runs) == runs[:2]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return small("winners", tmp_path_factory.mktemp("winners"))


def test_small_run_measures_both_tasks(measured: Small) -> None:
    results, text = measured
    assert [task["name"] for task in results["tasks"]] == ["directions", "items"]
    assert not results["failed"]
    for title in ("Rows of four directions, 64 × 24", "Rows of four directions, 32 × 300"):
        assert f"\n### {title}\n" in text
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
