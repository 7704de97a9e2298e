"""The experiments: frontiers, equal quality, targets; the small run end to end. No times judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from methods import Method
from trials import analysis, claims, targets
from trials.analysis import Point
from trials.candidates import VARIANTS, settings

ROOT = Path(__file__).resolve().parent.parent
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


def point(nmse: float, speed: float, method: str = "maddjit K=16", score: float = 0.9) -> Point:
    return Point(method, 8, nmse, score, speed)


def test_frontier_drops_what_is_slower_and_worse() -> None:
    good, slow_better, dominated = point(0.1, 8), point(0.01, 2), point(0.2, 4)
    equal = point(0.1, 8, "PCA")
    line = analysis.frontier([dominated, slow_better, good, equal], analysis.by_nmse)
    assert line == [good, slow_better]
    assert analysis.frontier([], analysis.by_nmse) == []


def test_frontier_by_score_leaves_out_what_has_none() -> None:
    task = task_of(run_of("PCA", 1, 2.0, None, 9), run_of("PCA", 4, 0.1, 0.8, 3))
    found = analysis.points(task)
    assert [p.setting for p in analysis.frontier(found, analysis.by_score(task))] == [4]
    assert [p.setting for p in analysis.shown(task)] == [1, 4]


@pytest.mark.parametrize("higher", [True, False])
def test_points_within_a_loss_of_the_exact_metric(higher: bool) -> None:
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
    found = analysis.points(task)
    half, near = (analysis.fastest(found, analysis.within(task, x).good) for x in (0.005, 0.003))
    assert half is not None
    assert near is not None
    assert (half.setting, near.setting) == (2, 4)
    assert analysis.fastest(found, analysis.at_most(0.01).good) is None


def test_nmse_between_settings_is_linear_in_logarithms() -> None:
    line = [point(0.01, 1), point(0.1, 10)]
    assert analysis.nmse_at(line, 10**0.5) == pytest.approx(10**-1.5)
    assert analysis.nmse_at(line, 10) == pytest.approx(0.1)
    assert analysis.nmse_at(line, 11) is None
    assert analysis.nmse_at([], 1) is None


def test_nmse_ratios_where_speeds_overlap() -> None:
    peer = [point(0.02, 1), point(0.2, 10)]
    half = [point(0.01, 1), point(0.1, 10)]
    np.testing.assert_allclose(analysis.nmse_ratios(half, peer), 0.5)
    np.testing.assert_allclose(analysis.nmse_ratios(peer, peer), 1)
    other_variant = point(0.01, 20, "maddjit K=64")
    ratios = analysis.nmse_ratios([*half, other_variant], peer)
    np.testing.assert_allclose([ratios[0], ratios[-1]], [0.5, 0.05])
    assert analysis.nmse_ratios([point(0.1, 0.5)], peer) == []
    assert analysis.nmse_ratios([], peer) == []


def test_time_ratios_at_a_metric_as_good() -> None:
    task = task_of(
        run_of("maddjit K=16", 4, 0.1, 0.85, 20),
        run_of("maddjit K=16", 8, 0.1, 0.88, 10),
        run_of("MADDNESS", 8, 0.1, 0.84, 10),
        run_of("MADDNESS", 16, 0.1, 0.88, 5),
        run_of("MADDNESS", 64, 0.1, 0.90, 2),
    )
    found = analysis.points(task)
    own, peer = ([p for p in found if p.own is wanted] for wanted in (True, False))
    assert analysis.time_ratios(own, peer, analysis.by_score(task)) == [0.5, 0.5, None]


def test_claims_name_winners_and_losers() -> None:
    task = task_of(
        run_of("maddjit K=16", 4, 0.09, 0.87, 20, over={"8-bit, x": [11] * 3}),
        run_of("maddjit K=16", 32, 0.02, 0.90, 0.5, over={"8-bit, x": [0.25] * 3}),
        run_of("MADDNESS", 64, 0.005, 0.90, 3),
        run_of("8-bit, x", 0, 1e-4, 0.90, 2, words=""),
    )
    told = claims.words(task)
    assert "Faster than exact: NMSE 0.1 20 ×." in told
    assert "No faster than exact: within 0.5 points 0.5 ×" in told
    assert "It loses to 8-bit, x: within 0.5 points 0.25 ×" in told
    assert "Reached by no setting of maddjit: NMSE 0.01." in told
    last = claims.rows(task)[-1]
    assert last[1] == "maddjit K=16, C = 4"
    assert last[3] == "MADDNESS, C = 64"
    assert last[5] == "8-bit, x"
    assert last[-1] == "11"


def test_targets_are_judged() -> None:
    columns = {"speed": [70.0] * 3, "same": [65.0] * 3}
    over = {"8-bit, x": [0.9] * 3, "8-bit, y": [3.0] * 3, "PCA 4": [0.1] * 3}
    task = task_of(
        run_of("maddjit K=16", 4, 0.02, 0.899, 8, columns=columns, over=over),
        run_of("maddjit K=16", 32, 0.001, 0.90, 2, columns=columns, over=over),
        run_of("MADDNESS", 8, 0.08, 0.899, 8),
        run_of("MADDNESS", 64, 0.004, 0.95, 2),
        name="fashion-head",
    )
    judged = {(t.key, t.task, t.text): t for t in targets.judge([task])}
    head = [t for t in judged.values() if t.task == "fashion-head"]
    by_wish = {t.wished: t for t in head}
    assert by_wish[0.45].reached == pytest.approx(0.25)
    assert by_wish[0.45].met
    assert by_wish[0.5].reached == pytest.approx(1)
    assert "1 of 2 of its settings not reached" in by_wish[0.5].remark
    assert by_wish[7].reached == 8
    assert by_wish[60].reached == 65
    assert by_wish[1].reached == 0.9
    assert by_wish[1].met is False
    others = [t for t in judged.values() if t.task != "fashion-head"]
    assert {t.remark for t in others} == {targets.NOT_MEASURED}
    assert {t.met for t in others} == {None}


def test_few_settings_are_chosen_with_both_ends() -> None:
    def many(_: int, __: int) -> tuple[int, ...]:
        return (2, 4, 8, 16, 32, 64)

    def fit(*_: object) -> Any:
        raise NotImplementedError

    assert settings(Method("x", "rank", fit, "", settings=many), 64, 10, 3) == (2, 8, 64)
    assert settings(Method("x", "rank", fit, "", settings=many), 64, 10, 6) == many(0, 0)
    for variant in VARIANTS:
        assert settings(variant.method(), 64, 20, 2)[0] == 4
        values = variant.method().settings(20, 20)
        assert values == tuple(sorted(values))
        assert max(values) <= 20


def run(*options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/experiments.py", *map(str, options)]
    environment = os.environ | {"MADDJIT_TASKS": "nowhere"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run both small tasks once; return the folder of `results.json` and `experiments.md`."""
    folder = tmp_path_factory.mktemp("experiments")
    files = ("--results", folder / "results.json", "--page", folder / "experiments.md")
    chosen = ("--methods", "PCA", "HashJL", "column sampling", "MADDNESS", "maddjit K=16")
    done = run("--small", *chosen, *files)
    assert done.returncode == 0, done.stderr
    return folder


def test_small_run_measures_both_tasks(measured: Path) -> None:
    results = json.loads((measured / "results.json").read_text())
    assert [task["name"] for task in results["tasks"]] == ["digits", "clustered"]
    assert not results["failed"]
    for task in results["tasks"]:
        assert not task["failed"]
        assert {run["method"] for run in task["runs"]} == {
            "PCA",
            "HashJL",
            "column sampling",
            "MADDNESS",
            "MADDNESS-PQ",
            "MADDNESS as published",
            "MADDNESS-PQ as published",
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


def test_page_has_every_section(measured: Path) -> None:
    page = (measured / "experiments.md").read_text()
    for title in ("Targets", "The paper's two claims", "Digits, 64 × 10"):
        assert f"\n## {title}\n" in page
    assert "**maddjit K=16**" in page


def test_page_is_drawn_again_around_notes(measured: Path, tmp_path: Path) -> None:
    page = tmp_path / "experiments.md"
    page.write_text("before\n<!-- generated -->\nold\n<!-- end of generated -->\nafter\n")
    assert run("--draw", measured / "results.json", "--page", page).returncode == 0
    text = page.read_text()
    assert text.startswith("before\n<!-- generated -->\n")
    assert text.endswith("\n<!-- end of generated -->\nafter\n")
    first = (measured / "experiments.md").read_text().split("<!-- generated -->")[1]
    assert text.split("<!-- generated -->")[1].split("<!-- end")[0] == first.split("<!-- end")[0]


def test_pictures_are_small_and_the_same_each_time(measured: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from trials import pictures

    tasks = json.loads((measured / "results.json").read_text())["tasks"]
    paths = pictures.draw(tasks, tmp_path)
    assert set(paths) == {"digits", "clustered"}
    for name, path in paths.items():
        assert path.stat().st_size < 150_000
        drawn = measured / "experiments" / f"{name}.svg"
        assert path.read_bytes() == drawn.read_bytes()


def test_one_broken_method_leaves_the_others() -> None:
    from trials.measure import Limits, measure
    from trials.small import digits

    def broken(*_: object) -> Any:
        raise RuntimeError("broken")

    def ones(_: Any, B: Any, __: int, ___: int) -> Any:
        return lambda A: np.ones((len(A), B.shape[1]), np.float32)

    bad, good = Method("bad", "", broken, ""), Method("good", "", ones, "")
    record = measure(digits(), [bad, good], [bad], Limits(rounds=1, rows=10, turn_seconds=0))
    assert set(record["failed"]) == {"bad 0", "bad, beside maddjit"}
    assert [run["method"] for run in record["runs"]] == ["good"]


def test_unknown_tasks_are_refused() -> None:
    done = run("--only", "nothing")
    assert done.returncode == 2
    assert "unknown: nothing" in done.stderr
