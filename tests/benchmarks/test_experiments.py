"""The experiments: frontiers, equal quality, claims; the small run end to end. No times judged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.rivals import Method
from benchmarks.suites.experiments import analysis
from benchmarks.suites.experiments.methods import VARIANTS, settings
from benchmarks.suites.experiments.tables import SECTIONS
from benchmarks.suites.experiments.trial import Limits, Trial
from benchmarks.tasks.made_up import digits_hidden
from tests.benchmarks.small import measured as small

Record = dict[str, Any]


def run_of(
    method: str, setting: int, nmse: float, score: float | None, speed: float, **more: Any
) -> Record:
    return {
        "method": method,
        "setting": setting,
        "words": "codebooks",
        "own": method.startswith("maddjit"),
        "nmse": [nmse] * 3,
        "score": None if score is None else [score] * 3,
        "extra": {},
        "speed": [speed] * 3,
        **more,
    }


def task_of(
    *runs: Record, name: str = "made-up", exact: float = 0.9, higher: bool = True
) -> Record:
    return {
        "name": name,
        "title": "Made up",
        "metric": "accuracy",
        "higher_is_better": higher,
        "exact": {"score": exact, "extra": {}},
        "runs": list(runs),
    }


def test_frontier_drops_what_is_slower_and_worse() -> None:
    good, better, worse = (
        run_of("PCA", i, nmse, 0.9, speed)
        for i, (nmse, speed) in enumerate(((0.1, 8), (0.01, 2), (0.2, 4)))
    )
    equal = run_of("SVD", 8, 0.1, 0.9, 8)
    line = analysis.frontier([worse, better, good, equal], analysis.by_nmse)
    assert line == [good, better]
    assert analysis.frontier([], analysis.by_nmse) == []


def test_frontier_by_score_leaves_out_what_has_none() -> None:
    task = task_of(run_of("PCA", 1, 2.0, None, 9), run_of("PCA", 4, 0.1, 0.8, 3))
    line = analysis.frontier(task["runs"], analysis.by_score(task))
    assert [run["setting"] for run in line] == [4]
    assert [run["setting"] for run in analysis.shown(task)] == [1, 4]


@pytest.mark.parametrize("higher", [True, False])
def test_runs_within_a_loss_of_the_exact_metric(higher: bool) -> None:
    sign = 1 if higher else -1
    exact = 0.9 if higher else 0.1
    task = task_of(
        run_of("PCA", 1, 0.2, exact - sign * 0.02, 9),
        run_of("PCA", 2, 0.1, exact - sign * 0.004, 5),
        run_of("PCA", 4, 0.1, exact - sign * 0.003, 4),
        run_of("PCA", 8, 0.1, exact + sign * 0.01, 3),
        exact=exact,
        higher=higher,
    )
    runs = task["runs"]
    half, near = (analysis.fastest(runs, analysis.within(task, x)) for x in (0.005, 0.003))
    assert half is not None
    assert near is not None
    assert (half["setting"], near["setting"]) == (2, 4)
    assert analysis.fastest(runs, analysis.at_most(0.01)) is None


def test_claims_name_the_fastest_of_each_side() -> None:
    task = task_of(
        run_of("maddjit K=16", 4, 0.09, 0.87, 20, over={"8-bit, x": [11] * 3}),
        run_of("maddjit K=16", 32, 0.02, 0.90, 0.5, over={"8-bit, x": [0.25] * 3}),
        run_of("MADDNESS", 64, 0.005, 0.90, 3),
        run_of("8-bit, x", 0, 1e-4, 0.90, 2, words=""),
    )
    (text,) = SECTIONS["claims"]({"tasks": [task]})["Made up"]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines()[2:]]
    assert rows[-1][1::2] == ["maddjit K=16, C = 4", "MADDNESS, C = 64", "8-bit, x", "11"]
    near = next(row for row in rows if row[0] == "within 0.5 points")
    assert near[-1] == "0.25"
    assert next(row for row in rows if row[0] == "NMSE 0.01")[1] == "none"


def test_few_settings_are_chosen_with_both_ends() -> None:
    def many(_: int, __: int) -> tuple[int, ...]:
        return (2, 4, 8, 16, 32, 64)

    def fit(*_: object) -> Any:
        raise NotImplementedError

    assert settings(Method("x", "rank", fit, many), 64, 10, 3) == (2, 8, 64)
    assert settings(Method("x", "rank", fit, many), 64, 10, 6) == many(0, 0)
    for variant in VARIANTS:
        assert settings(variant, 64, 20, 2)[0] == 4
        values = variant.settings(20, 20)
        assert values == tuple(sorted(values))
        assert max(values) <= 20


def test_one_broken_method_leaves_the_others() -> None:
    def broken(*_: object) -> Any:
        raise RuntimeError("broken")

    def ones(_: Any, B: Any, __: int, ___: int) -> Any:
        return lambda A: np.ones((len(A), B.shape[1]), np.float32)

    bad, good = Method("bad", "", broken), Method("good", "", ones)
    limits = Limits(rounds=1, rows=10, turn_seconds=0)
    record = Trial(digits_hidden(32), limits).run([bad, good], [bad])
    assert set(record["failed"]) == {"bad 0", "bad, beside maddjit"}
    assert [run["method"] for run in record["runs"]] == ["good"]


Small = tuple[dict[str, Any], str]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Small:
    chosen = ("--methods", "PCA", "column sampling", "MADDNESS", "maddjit K=16")
    return small("experiments", tmp_path_factory.mktemp("experiments"), *chosen)


def test_small_run_measures_both_tasks(measured: Small) -> None:
    results, _ = measured
    assert [task["name"] for task in results["tasks"]] == ["digits", "directions"]
    assert not results["failed"]
    for task in results["tasks"]:
        assert not task["failed"]
        assert {run["method"] for run in task["runs"]} == {
            "PCA",
            "column sampling",
            "MADDNESS",
            "MADDNESS-PQ",
            "MADDNESS as published",
            "maddjit K=16",
            "maddjit K=16, core 4",
        }
        for one in task["runs"]:
            low, median, high = one["speed"]
            assert 0 < low <= median <= high
            assert 0 <= one["nmse"][0] <= one["nmse"][1] <= one["nmse"][2]
            assert ("columns" in one) == one["own"]
        assert 0.5 < task["exact"]["score"] <= 1
        assert task["timed_rows"] == 300


def test_page_has_every_task(measured: Small) -> None:
    _, text = measured
    assert (
        text.count("\n### Hidden layer of a network on scikit-learn's digits, 32 × 32\n") == 2
    )  # its claims and its runs
    assert "**maddjit K=16**" in text
