"""``maddjit compile`` and ``maddjit inspect``: the cache is filled, plan and code are shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import maddjit
from maddjit.cli import main
from maddjit.compiler import cache
from tests.cli.running import facts, run
from tests.random_models import random_model
from tests.random_networks import chain


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "encode.codes "),
        (["--asm"], "maddjit_maddness_D9_C4_K8_M7_exact_float32_C_outputs"),
        (["--asm", "plain"], ".section"),
        (["--ir"], "define internal void @encode.codebooks"),
        (["--ir", "optimized", "--order", "F", "--dtype", "float64"], "float64_F_outputs"),
        (["--asm", "--target", "aarch64"], "_aarch64:"),
        (["--asm", "plain", "--target", "x86-64-v4"], "%k1"),
    ],
)
def test_inspect(
    path: str, options: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", path, *options]) == 0
    assert expected in capsys.readouterr().out


def test_a_plan_has_one_line_for_each_record(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"inspect {path}") == 0
    lines = capsys.readouterr().out.partition("\nplan")[2].splitlines()[1:]
    names = [line.split()[0] for line in lines]
    assert {"symbol", "signature.epilogue", "encode.codes"} <= set(names)
    assert len(set(names)) == len(names)


def test_inspect_as_json(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = facts(capsys, f"inspect {path}")
    assert found["model"]["n_codebooks"] == 4
    assert found["plan"]["n_outputs"] == 7
    found = facts(capsys, f"inspect {path} --asm")
    assert set(found["stages"]) == {"kernel", "encode.codebooks", "scan.0"}
    assert found["largest_loop"]["n_instructions"] > 4


def test_compile_warms_the_cache(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    assert list(facts(capsys, f"compile {path}")["kernels"].values()) == ["compiled"]
    assert list(facts(capsys, f"compile {path}")["kernels"].values()) == ["from the cache"]
    assert facts(capsys, "cache info")["cache"]["n_objects"] > 0
    assert facts(capsys, "cache clear")["removed"] > 0
    assert main(["cache", "info"]) == 0
    assert "0 objects" in capsys.readouterr().out


def test_convolutions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    product = random_model(0, n_features=18, n_codebooks=4, n_prototypes=8, n_outputs=5)
    path = tmp_path / "model.npz"
    window = maddjit.Window((3, 3), padding=(1, 1, 1, 1))
    maddjit.ConvolutionModel((product,), window).save(path)
    for options, expected in (
        ("", "sees      a window of 3 × 3, padding 1, 1, 1, 1"),
        ("--asm plain", ".section"),
        ("--ir", "float32_placed_outputs"),
    ):
        assert main(["inspect", str(path), *options.split()]) == 0
        assert expected in capsys.readouterr().out
    assert main(["compile", str(path)]) == 0
    assert "ConvolutionOperator" in capsys.readouterr().out
    assert facts(capsys, f"inspect {path}")["model"]["kind"] == "convolution"
    images = np.random.default_rng(0).integers(-128, 128, (2, 2, 5, 6)).astype(np.int8)
    np.save(tmp_path / "images.npy", images)
    found = facts(capsys, f"bench {path} --rows {tmp_path / 'images.npy'} --n 3 --rounds 1")
    assert found["shape"] == [3, 2, 5, 6]
    assert len(found["microseconds_an_image"]) == 3
    command = f"bench {path} --rows {tmp_path / 'images.npy'} --rounds 1 --dtype "
    assert run(f"{command}int8") == 0
    assert "2 images of 5 × 6, int8, one thread" in capsys.readouterr().out
    assert run(f"{command}uint8") == 1
    assert "numbers that uint8 cannot hold" in capsys.readouterr().err
    for command in (
        f"bench {path}",
        f"inspect {path} --html {tmp_path / 'page.html'}",
        f"inspect {path} --order F",
        f"compile {path} --also int8:C",
    ):
        assert run(command) == 2
        assert "convolution" in capsys.readouterr().err.lower()


def test_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, path = chain(0), tmp_path / "network.npz"
    network.save(path)
    for options, expected in (
        ("", "LookUp"),
        ("--asm plain", "maddjit_network"),
        ("--ir", "define void @maddjit_network"),
        ("--ir optimized --target aarch64", "aarch64"),
    ):
        assert main(["inspect", str(path), *options.split()]) == 0
        assert expected in capsys.readouterr().out
    assert facts(capsys, f"inspect {path}")["model"]["kind"] == "network"
    assert main(["compile", str(path)]) == 0
    assert "NetworkOperator" in capsys.readouterr().out
    found = facts(capsys, f"bench {path} --n 3 --rounds 1")
    assert (found["n_images"], len(found["layers"])) == (3, len(network.steps))
    np.save(tmp_path / "images.npy", np.zeros((2, *network.input_shape)))
    assert run(f"bench {path} --rows {tmp_path / 'images.npy'} --rounds 1") == 0
    assert "64 images a call, one thread" in capsys.readouterr().out
    for command, said in (
        (f"bench {path} --B {path}", "--B, --bias and --transpose are for products"),
        (f"bench {path} --dtype int8", "--dtype is not for networks"),
        (f"inspect {path} --asm", "by --asm plain"),
        (f"inspect {path} --html {tmp_path / 'page.html'}", "--html is not for networks"),
        (f"compile {path} --also int8:C", "--also is not for networks"),
        (f"export {path} --dir {tmp_path} --order F", "--order is not for networks"),
    ):
        assert run(command) == 2
        assert said in capsys.readouterr().err
