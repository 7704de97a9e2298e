"""Benchmarks of tile operators: low rank, batches, NaN; the small run end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.rivals.candidates import NUMPY
from benchmarks.suites.tiles import layers, read
from benchmarks.suites.tiles.shapes import IN_BFLOAT16, SCHEMES
from benchmarks.suites.tiles.suite import SUBJECTS, Limits
from benchmarks.tasks.made_up import directions
from maddjit.models.schemes import generic, winograd
from tests.benchmarks.small import measured as small

Small = tuple[dict[str, Any], str]


def test_low_rank_of_all_directions_is_the_product() -> None:
    """float32 sums of 20 and 16 terms, which bfloat16 rounds by 2⁻⁹ each."""
    data = layers.Data.of(directions(20, 16, 300, 100), Limits())
    runs = list(layers._low_rank(data, (4, 16), {}))
    assert {record["rank"] for _, record in runs} == {4, 16}
    exact = data.timed @ data.B
    for way, record in runs:
        assert way.answer
        near = 1e-4 if "bfloat16" not in way.kind else 0.05 * np.abs(exact).max()
        if record["rank"] == 16:
            np.testing.assert_allclose(way.answer(data.timed), exact, atol=near)
        data.Y[:] = 0
        way.run_once()
        outputs = np.maximum(way.answer(data.timed), 0)
        np.testing.assert_allclose(data.Y, outputs, atol=near)


def test_the_order_of_rows_does_not_change_exact_outputs() -> None:
    data = layers.Data.of(directions(20, 16, 300, 100), Limits())

    def multiply(rows: Any) -> Any:
        return rows @ data.B

    in_order = data.judged(multiply)
    order = np.random.default_rng(0).permutation(100)
    assert data.judged(multiply, 7, order)["scores"] == in_order["scores"] == {"agreement": 1.0}
    assert in_order["error"] < 1e-10


def test_all_named_schemes_are_there() -> None:
    assert set(IN_BFLOAT16) <= SCHEMES.keys()
    for subject in SUBJECTS.values():
        assert set(getattr(subject, "schemes", ())) <= SCHEMES.keys()


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return small("tiles", tmp_path_factory.mktemp("tiles"))


def test_small_run_measures_shapes_and_a_layer(measured: Small) -> None:
    results, text = measured
    assert [task["name"] for task in results["tasks"]] == ["64x64x64", "33x20x50", "directions"]
    assert not results["failed"]
    for words in ("| **strassen** |", "low rank by maddjit: rank", "| one a call |", " µs |"):
        assert words in text
    *shapes, layer = results["tasks"]
    for task in shapes:
        assert task["ways"][NUMPY]["speed"] == [1, 1, 1]
        for record in task["ways"].values():
            low, median, high = record["speed"]
            assert 0 < low <= median <= high
        # Far to either side of what is known of it.
        assert 1e-8 < task["ways"]["strassen"]["error"] < 1e-6
        assert task["ways"]["strassen"]["rounding"] > 1
    first, ragged = (task["ways"] for task in shapes)
    for found, scheme in ((first["r = 24"], generic(24)), (ragged["r = 16"], generic(16))):
        assert found["error"] == pytest.approx(scheme.error**0.5, rel=0.1)
        assert "rounding" not in found
    if "plain, bfloat16" in first:
        assert 5e-4 < first["plain, bfloat16"]["error"] < 1e-2
    runs = {one["name"]: one for one in layer["runs"]}
    assert runs["strassen"]["error"] < 1e-10
    assert runs["strassen"]["scores"]["agreement"] > 0.99
    fitted = runs["r = 24"]
    assert 1e-10 < fitted["error"] < fitted["report"]["unfitted"]
    # Held-out rows and test rows are drawn alike: errors of 100 and 500 rows are close.
    assert fitted["error"] == pytest.approx(fitted["report"]["error"], rel=0.5)
    first, *others = fitted["batches"]
    assert first["error"] == fitted["error"]
    assert len({batch["error"] for batch in others}) > 1


def test_schemes_from_files_are_compared(tmp_path: Path) -> None:
    scheme = winograd()
    factors = scheme.encode_a, scheme.encode_b, scheme.decode.T
    path = tmp_path / "some.json"
    path.write_text(json.dumps([factor.astype(int).tolist() for factor in factors]))
    lines = list(read.lines([str(path)], 48, "float32", rounds=1))
    assert len(lines) == 4
    assert lines[0].endswith("| 1.000 | 1.00 |")
    assert lines[3].startswith("| 48³, float32 | some | 7 | 2.65 | 4 + 7 | ")
