"""``maddjit fit``: models of tables and tiles, calibrated ones, progress, and models in a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import maddjit
from maddjit.cli import main
from maddjit.models.storage import from_bytes, provenance_of
from tests.cli.running import RIGHT, ROWS, facts, run
from tests.conftest import same_bits


def test_fit(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(files / "bias.npy", np.arange(7.0))
    assert run("fit A.npy B.npy -o m.npz --codebooks 4 --bias bias.npy") == 0
    captured = capsys.readouterr()
    model = maddjit.fit(ROWS[:300], RIGHT, 4, bias=np.arange(7.0))
    assert captured.out.splitlines()[:2] == [repr(model), str(model.report)]
    kept = maddjit.load("m.npz")
    assert isinstance(kept, maddjit.MaddnessModel)
    assert same_bits(kept.tables, model.tables)
    made = provenance_of("m.npz")
    assert made["options"] == {"codebooks": 4, "random_state": 0}
    assert made["inputs"]["A"]["shape"] == [300, 16]


def test_fit_calibrated_compile_and_bench(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bias = np.random.default_rng(1).standard_normal(7)
    np.save(files / "bias.npy", bias)
    np.save(files / "other.npy", bias + 1)
    fit = "fit A.npy B.npy --bias bias.npy -o m.npz --codebooks 8 --calibrate 2 --rows more.npy"
    found = facts(capsys, fit)
    assert found["model"]["winners"] == 2
    assert found["model"]["bias"] == "some"
    kept = maddjit.load("m.npz")
    assert isinstance(kept, maddjit.MaddnessModel)
    assert kept.short_list is not None
    assert (kept.short_list.bias == bias.astype(np.float32)).all()
    with_B = "bench m.npz --result outputs --B B.npy --n 50 --rounds 2 --rows more.npy"
    assert facts(capsys, with_B)["ways"]["maddjit"]["error"] < 0.1
    assert "leave it out" in facts(capsys, f"{with_B} --bias other.npy", status=1)["error"]
    found = facts(capsys, "compile m.npz --coverage .95 --also float64:F")
    assert list(found["kernels"].values()) == ["compiled", "compiled"]
    found = facts(capsys, "bench m.npz --coverage .95 --n 100 --rounds 2 --rows more.npy")
    assert found["result"] == "topk"
    assert found["ways"]["maddjit"]["error"] < 0.2
    assert found["ways"]["numpy float32"]["times_as_fast_as_numpy"] == [1, 1, 1]
    assert found["ways"]["numpy float32"]["error"] == 0


def test_tiles(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fit A.npy B.npy -o t.npz --tile 2") == 0
    assert main(["inspect", "t.npz"]) == 0
    assert "strassen, rank 7" in capsys.readouterr().out
    found = facts(capsys, "inspect t.npz --asm")
    stages = {stage.split(".")[0] for stage in found["stages"]}
    assert {"encode", "multiply", "decode"} <= stages
    assert found["largest_loop"]["stage"].startswith("multiply.rows.")
    assert run("bench t.npz --B B.npy --n 50 --rounds 2 --rows A.npy") == 0
    out = capsys.readouterr().out
    assert "numpy float32" in out
    assert "8-bit torch" in out
    assert run("inspect t.npz --result argmax") == 2


def test_progress_is_on_stderr(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    assert run("fit A.npy B.npy -o m.npz --codebooks 2 --progress --json") == 0
    captured = capsys.readouterr()
    assert "100%" in captured.err
    json.loads(captured.out)


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="there is no /dev/stdout")
def test_a_model_goes_through_a_pipe(files: Path) -> None:
    """The pipe holds the model alone: words go to stderr."""
    command = ["-m", "maddjit", "fit", "A.npy", "B.npy", "-o", "/dev/stdout", "--codebooks", "4"]
    done = subprocess.run([sys.executable, *command], capture_output=True, check=True)
    model = from_bytes(done.stdout)
    words = done.stderr.decode().splitlines()
    assert words[0] == repr(model)
    assert words[-1] == f"/dev/stdout: {len(done.stdout)} bytes"
    reading, writing = os.pipe()
    os.close(reading)
    assert run(f"fit A.npy B.npy -o /dev/fd/{writing} --codebooks 4") == 1  # nobody has the model
    os.close(writing)
