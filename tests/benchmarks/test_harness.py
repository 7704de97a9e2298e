"""What all benchmarks share: turns, pages of several machines, the command line."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import SUITES
from benchmarks.harness import machine, page, tables
from benchmarks.harness.suite import RESULTS, Suite
from benchmarks.harness.timing import Candidate, take_turns
from tests.benchmarks.small import ROOT, command


def suite(name: str) -> Suite:
    found: Suite = import_module(f"benchmarks.suites.{name}.suite").SUITE
    return found


def test_candidates_take_turns() -> None:
    calls: list[str] = []
    candidates = [Candidate(name, "part", lambda name=name: calls.append(name)) for name in "abc"]
    turns = take_turns(candidates, rounds=4, least_seconds=0)
    ran = "".join(calls)[-12:]
    assert [sorted(ran[i : i + 3]) for i in range(0, 12, 3)] == [["a", "b", "c"]] * 4
    assert len({ran[i : i + 3] for i in range(0, 12, 3)}) > 1  # in another order each round
    assert [len(seconds) for seconds in turns.seconds.values()] == [4] * 3


def test_ratios_are_taken_round_by_round() -> None:
    candidates = [Candidate(name, "part", "pass") for name in "ab"]
    turns = take_turns(candidates, rounds=3, least_seconds=0)
    turns.seconds["a"][:], turns.seconds["b"][:] = [1, 10, 4], [1, 5, 1]
    assert turns.ratio("a", "b") == [1.5, 2, 3]
    assert turns.per("b", rows=2, unit=1e3) == [500, 500, 1500]


def test_numbers_and_spreads() -> None:
    assert tables.spread([-1, 0.5, 2000]) == "0.5 (−1 to 2000)"
    assert tables.spread([1, 2, 3]) == "2 (1–3)"
    assert tables.percent(0.12345) == "12.35 %"
    assert tables.percent(np.nan) == "–"
    assert tables.table(["a"], []) == ""
    assert tables.reasons({"left_out": {"a": "x", "b": "x"}, "failed": {}}) == [
        "Left out: a, b (x)."
    ]


@pytest.mark.parametrize("name", SUITES)
def test_committed_pages_are_those_of_the_committed_results(name: str) -> None:
    some = suite(name)
    text = (RESULTS / f"{name}.md").read_text()
    assert page.render(some, page.read_results(some)) == text
    for link in re.findall(r"!\[.*\]\((.*)\)", text):
        assert (RESULTS / link).stat().st_size < 200_000


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SUITES if suite(name).figures])
def test_figures_are_the_same_each_time(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    some = suite(name)
    drawn = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        page.write_page(some, page.read_results(some), folder / f"{name}.md")
        drawn.append({path.name: path.read_bytes() for path in folder.rglob("*.svg")})
    assert drawn[0] == drawn[1]
    assert drawn[0].keys() == {path.name for path in RESULTS.glob(f"figures/{name}/*.svg")}


@pytest.mark.parametrize("name", SUITES)
def test_machines_stand_side_by_side(name: str, tmp_path: Path) -> None:
    some = suite(name)
    first = page.read_results(some)[0]
    first |= {"machine": first["machine"] | {"largest_weight": 127}}
    facts = first["machine"] | {"level": "x86-64-v3", "largest_weight": 64}
    second = first | {"machine": facts, "date": "2030-01-01T00:00"}
    alone, both = (page.render(some, found, tmp_path) for found in ([first], [first, second]))
    assert "7 bits" in both
    assert "7 bits" not in alone
    labels = [page.label(results) for results in (first, second)]
    assert alone.count(f"*{labels[0]}*") == both.count(f"*{labels[0]}*")
    assert both.count(f"*{labels[0]}*") == both.count(f"*{labels[1]}*")
    headings = [line for line in alone.splitlines() if line.startswith("#")]
    assert headings == [line for line in both.splitlines() if line.startswith("#")]


def test_onnxruntime_is_imported_before_pinning(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(machine, "import_module", done.append)
    monkeypatch.setattr(
        machine.os, "sched_setaffinity", lambda *_: done.append("pinned"), raising=False
    )
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.setattr(machine, "_allowed", set())
    machine.pin()
    assert done == ["onnxruntime", "pinned"]


@pytest.mark.parametrize("name", SUITES)
def test_unknown_subjects_are_refused(name: str) -> None:
    done = command(name, "--only", "nothing")
    assert done.returncode == 2
    assert "unknown: nothing" in done.stderr


def test_a_page_is_rendered_again_without_measuring(tmp_path: Path) -> None:
    results = next(RESULTS.glob("service-*.json"))
    done = command("service", "--render", results, "--page", tmp_path / "service.md")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "service.md").read_text().startswith("<!-- Written by")


def test_unknown_suites_are_refused() -> None:
    done = command("speed")
    assert done.returncode == 2
    assert "`SUITE` is performance" in done.stderr


def test_every_suite_has_a_make_target() -> None:
    text = (ROOT / "Makefile").read_text()
    for name in SUITES:
        assert re.search(rf"-m benchmarks(\.suites\.| ){name}\n", text)


def test_what_was_wished_for_stays_when_results_are_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    wishes = [["here", "this", "≥ 2", "2 (1–3)", "met"]]
    path.write_text(json.dumps({"wishes": wishes}))
    done = command("performance", "--small", "--only", "one-row-1×64×16-C16", "--results", path)
    assert done.returncode == 0, done.stderr
    assert json.loads(path.read_text())["wishes"] == wishes
