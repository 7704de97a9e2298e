"""The command line shows every stage, also for targets that this machine lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

import maddjit
from maddjit.cli import main
from maddjit.compiler.target import LEVELS
from tests.conftest import RUNNABLE
from tests.random_models import random_model


@pytest.fixture
def path(tmp_path: Path) -> str:
    model = random_model(0, n_features=9, n_codebooks=4, n_prototypes=8, n_outputs=7)
    maddjit.save(model, tmp_path / "model.npz")
    return str(tmp_path / "model.npz")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "sum_bits="),
        (["--asm"], "maddjit_maddness_D9_C4_K8_M7_exact_float32_C_outputs"),
        (["--ir", "template"], "define internal void @encode.codebooks"),
        (["--ir", "optimized", "--order", "F", "--dtype", "float64"], "float64_F_outputs"),
        (["--asm", "--target", "aarch64"], "_aarch64:"),
        (["--asm", "--target", "x86-64-v4"], "%k1"),
    ],
)
def test_inspect(
    path: str, options: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", path, *options]) == 0
    assert expected in capsys.readouterr().out


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert set(LEVELS) <= set(lines)
    for name in LEVELS:
        assert lines[name].startswith("right" if name in RUNNABLE else "lacks ")


def test_errors_are_one_line(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", path + "x"]) == 1
    assert main(["inspect", path, "--target", "aarch64"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert all(line.startswith("maddjit: ") for line in errors)
