"""The suite of kernels runs in its small form and becomes a page; no times are judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.harness import levels
from benchmarks.suites.kernels import operators, steps, tables
from benchmarks.suites.kernels.suite import CASES, SMALL, SUITE, Limits
from maddjit.compiler.target import Host, named
from tests.benchmarks.small import measured as small

Small = tuple[dict[str, Any], str]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return small("kernels", tmp_path_factory.mktemp("kernels"))


def test_every_kind_of_case_is_measured(measured: Small) -> None:
    results, _ = measured
    assert not results["failed"]
    rows = {task["name"]: task["rows"] for task in results["tasks"] if "rows" in task}
    assert rows.keys() == SMALL.keys() == CASES.keys()
    for row in (row for some in rows.values() for row in some):
        low, median, high = row["value"]
        assert 0 < low <= median <= high
        assert len(row["wished"]) == 2
    cases = [(row["case"], row["unit"]) for some in rows.values() for row in some]
    assert len(set(cases)) == len(cases)


def test_rows_are_doubled(measured: Small) -> None:
    (task,) = [task for task in measured[0]["tasks"] if "points" in task]
    assert [point["N"] for point in task["points"]] == [1, 2, 4, 8]
    assert [point["step"] is None for point in task["points"]] == [True, False, False, False]


def test_there_are_ten_shapes_and_sizes_end_where_outputs_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(steps.SHAPES) == len({shape.title for shape in steps.SHAPES}) == 10
    assert all(shape.title in SUITE.subjects for shape in steps.SHAPES)
    monkeypatch.setattr(steps, "MOST_BYTES", 200)
    found = steps.measure(steps.SHAPES[0], replace(Limits(), rounds=1, turn=0.0))
    assert [point["N"] for point in found["points"]] == [1, 2, 4]


@pytest.mark.parametrize(("sums", "bits"), [("8 bits", 8), ("16 bits", 16), ("averages", 8)])
def test_sums_have_as_many_bits_as_said(sums: operators.Sums, bits: int) -> None:
    op = operators.compiled(32, 10, 16, sums=sums)
    assert op.plan.sum_bits == bits
    assert operators.sums("own", op, np.zeros((4, 32), np.float32)).names["S"].itemsize == bits // 8


def test_levels_stand_side_by_side_and_steps_upwards_are_marked() -> None:
    def results(level: str, step: float) -> dict[str, Any]:
        row = {"case": "a", "unit": "µs", "value": [1, 2, 3], "wished": ["≤ 1", "≤ 2"]}
        points = [
            {"N": 1, "ns": [9, 10, 11], "step": None},
            {"N": 2, "ns": [10, 12, 13], "step": step},
        ]
        return {
            "machine": {"cpu": "one", "llvm_cpu": "1", "level": level},
            "date": "2030-01-01",
            "tasks": [{"name": "x", "rows": [row]}, {"title": "t", "name": "t", "points": points}],
        }

    found = [results("x86-64-v3", 1.2), results("x86-64-v4", 1.05)]
    assert tables.cases(found).splitlines() == [
        "### X",
        "",
        "| case | value | AVX2: one (1) | wished | AVX-512: one (1) | wished |",
        "| --- | --- | --- | --- | --- | --- |",
        "| a | µs | 2 (1–3) | ≤ 1 | 2 (1–3) | ≤ 2 |",
    ]
    shown = tables.rows(found)
    assert "| t | 10 | **12 (× 1.2)** |" in shown
    assert "| t | 10 | 12 |" in shown


def test_levels_of_a_machine() -> None:
    def of(environment: dict[str, str], *features: str) -> list[dict[str, str]]:
        host = Host("x86_64-unknown-linux-gnu", "one", frozenset(features), 1)
        return levels.levels(host, environment)

    avx512, avx2 = named("x86-64-v4").requires, named(levels.AVX2).requires
    assert of({}, *avx512) == [{}, levels.HELD_TO_AVX2]
    assert of({"MADDJIT_TARGET": levels.AVX2}, *avx512) == [{}]
    assert of({}, *avx2) == [{}]
    assert of({}) == [{}]
