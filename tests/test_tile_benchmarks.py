"""Benchmarks of tile operators: wishes, low rank, batches; the small run end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiling import batching, low_rank, subjects, wishes
from tiling.rivals import NUMPY
from tiling.ways import EXACT, IN_BFLOAT16, WAYS, in_bfloat16

import maddjit
from maddjit.models.schemes import generic

ROOT = Path(__file__).resolve().parent.parent
Record = dict[str, Any]


def run(*options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/tiles.py", *map(str, options)]
    environment = os.environ | {"MADDJIT_TASKS": "nowhere"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def way(speed: float, **further: float) -> Record:
    return {"speed": [speed - 0.1, speed, speed + 0.1], **further}


def shape(name: str, **ways: Record) -> Record:
    return {"name": name, "kind": "shape", "ways": ways}


def told(tasks: list[Record], text: str, where: str) -> tuple[str, str]:
    [found] = [row for row in wishes.rows(tasks) if row[0].startswith(text) and row[1] == where]
    return found[3], found[4]


def test_exact_schemes_count_only_if_they_round_little() -> None:
    ways = {
        "strassen": way(1.1, rounding=2),
        "strassen ⊗ strassen": way(1.25, rounding=3.9),
        "winograd ⊗ winograd": way(1.5, rounding=5),
    }
    cube = shape("512x512x512", **ways)
    large = shape("1024x1024x1024", **{"winograd ⊗ winograd": way(1.5, rounding=5)})
    huge = shape("2048x2048x2048", strassen=way(1.1, rounding=2))
    tasks = [cube, large, huge]
    reached, met = told(tasks, "exact Strassen", "512 × 512 × 512")
    assert reached == "1.25 (1.15–1.35): strassen ⊗ strassen; rounding more: winograd ⊗ winograd"
    assert met == "met"
    assert told(tasks, "exact Strassen", "1024 × 1024 × 1024") == (
        "none rounds so little",
        "**missed**",
    )
    assert told(tasks, "exact Strassen", "2048 × 2048 × 2048")[1] == "**missed**"
    assert told(tasks, "exact Strassen", "4096 × 4096 × 4096") == ("not measured", "–")
    where = "512 × 512 × 512, 1024 × 1024 × 1024"
    assert told(tasks, "winograd ⊗ winograd: rounding", where) == ("5", "**missed**")


def test_the_largest_error_is_judged() -> None:
    cubes = [
        shape("512x512x512", **{"r = 24": way(2, error=0.7)}),
        shape("1024x1024x1024", **{"r = 24": way(2, error=0.73)}),
    ]
    where = "512 × 512 × 512, 1024 × 1024 × 1024"
    assert told(cubes, "r = 24 on white data", where) == ("0.73", "**missed**")
    assert told(cubes, "r = 24, ×", "1024 × 1024 × 1024")[1] == "**missed**"
    layer = {"name": "digits", "kind": "layer", "runs": [{"name": "r = 24", "error": 0.0025}]}
    assert told([layer], "r = 24 fitted", "digits") == ("0.05", "met")
    assert told([layer], "r = 32 fitted", "digits") == ("not measured", "–")


def test_wishes_are_about_what_is_measured() -> None:
    measured = {*WAYS, *map(in_bfloat16, IN_BFLOAT16)}
    for wish in wishes.WISHES:
        if isinstance(wish, wishes.Fast):
            assert set(wish.ways) <= measured
            assert set(wish.shapes) <= subjects.SUBJECTS.keys()
            for name in wish.shapes:
                known = subjects.SUBJECTS[name]
                assert isinstance(known, subjects.Shape)
                assert {scheme.removesuffix(", bfloat16") for scheme in wish.ways} <= {
                    *known.schemes
                }
        else:
            assert set(wish.where) <= subjects.SUBJECTS.keys()
    assert set(EXACT) <= WAYS.keys()


def test_low_rank_of_all_directions_is_the_product() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((300, 20)) + 1).astype(np.float32)
    B = rng.standard_normal((20, 16)).astype(np.float32)
    bias = rng.standard_normal(16).astype(np.float32)
    known = low_rank.Directions.of(rows, B, bias)
    np.testing.assert_allclose(known.product(16)(rows), rows @ B + bias, atol=1e-4)
    product, Y = known.product(4), np.empty((300, 16), np.float32)
    compiled, outputs = product.compiled(rows, Y, "float32")
    for candidate in (product.by_numpy(rows, Y), compiled):
        Y[:] = 0
        candidate.timer().timeit(1)
        np.testing.assert_allclose(Y, np.maximum(product(rows), 0), atol=1e-4)
    np.testing.assert_allclose(outputs(rows), product(rows), atol=1e-4)


def test_a_row_of_nan_is_told() -> None:
    B = np.random.default_rng(0).standard_normal((32, 32)).astype(np.float32)
    rows = np.ones((128, 32), np.float32)
    hit = {
        tile: batching.hit_by_nan(maddjit.compile(maddjit.fit_strassen_tile(B, tile=tile)), rows)
        for tile in (1, 2, 4)
    }
    assert hit == {1: 0, 2: 1, 4: 3}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the small subjects once; return the folder of `results.json` and `tiles.md`."""
    folder = tmp_path_factory.mktemp("tiles")
    done = run("--small", "--results", folder / "results.json", "--page", folder / "tiles.md")
    assert done.returncode == 0, done.stderr
    return folder


def test_small_run_measures_shapes_and_a_layer(measured: Path) -> None:
    results = json.loads((measured / "results.json").read_text())
    assert [task["name"] for task in results["tasks"]] == ["64x64x64", "33x20x50", "clustered"]
    assert not results["failed"]
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


def test_page_is_drawn_again_around_notes(measured: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "tiles.md"
    drawn.write_text("before\n<!-- generated -->\nold\n<!-- end of generated -->\nafter\n")
    assert run("--draw", measured / "results.json", "--page", drawn).returncode == 0
    text = drawn.read_text()
    assert text.startswith("before\n<!-- generated -->\n")
    assert text.endswith("\n<!-- end of generated -->\nafter\n")
    for title in ("Targets", "Products of many shapes", "Rows of four directions, 64 × 48"):
        assert f"\n## {title}\n" in text
    for words in ("numpy.matmul, bias and ReLU", "low rank by maddjit: rank", "one a call"):
        assert words in text


def test_unknown_subjects_are_refused() -> None:
    done = run("--only", "nothing")
    assert done.returncode == 2
    assert "unknown: nothing" in done.stderr
