"""The command line as a whole: errors, wrong usage, warnings, streams and exit statuses."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maddjit.cli import main
from maddjit.compiler import cache
from maddjit.learning.maddness import best
from maddjit.selection import search
from tests.cli.running import ROWS, facts, run


def test_errors_are_one_line(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", path + "x"]) == 1
    assert main(["inspect", path, "--target", "aarch64"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert all(line.startswith("maddjit: ") for line in errors)
    assert errors[0] == f"maddjit: {path}x: No such file or directory"
    assert facts(capsys, f"inspect {path}x", status=1) == {"error": errors[0][9:]}
    assert main(["inspect", path + "x", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("inspect {} --target aarch64", "--asm or --ir"),
        ("inspect {} --html page.html --rows A.npy", "--rows: A.npy must have 9 columns, not"),
        ("bench {} --rows nan.npy", "--rows: nan.npy must be finite"),
        ("fit A.npy B.npy -o m.npz --random-state -1", "random_state must be a whole number"),
        ("fit A.npy B.npy -o m.npz --time-limit nan", "time_limit must be 0 seconds or more"),
        ("select A.npy B.npy --budget 1 --n -5", "n_timed must be 1 or more, not -5"),
    ],
)
def test_errors_name_what_was_wrong(
    command: str, words: str, files: Path, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(files / "nan.npy", np.full((3, 9), np.nan))
    assert run(command.format(path)) == 1
    assert words in capsys.readouterr().err


def test_wrong_usage(files: Path, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    fit = ["fit", "A.npy", "B.npy", "-o", "m.npz"]
    calibrated = [*fit, "--rows", "more.npy", "--calibrate", "1"]
    select = ["select", "A.npy", "B.npy", "--budget", "1"]
    np.savez(files / "both.npz", A=ROWS)
    for arguments, words in (
        ([], "required: command"),
        (["fit", "A.npy"], "required: B"),
        (["inspect", path, "--dtype", "complex64"], "invalid choice"),
        ([*fit, "--tile", "2", "--codebooks", "4"], "--tile make tiles"),
        ([*fit, "--calibrate", "1"], "--calibrate and --rows go together"),
        ([*calibrated, "--core-rank", "2"], "leave out --core-rank"),
        ([*calibrated, "--accumulate", "average"], "leave out --accumulate average"),
        ([*calibrated[:-1], "8"], "--calibrate must be from 1 to the outputs, 7, not 8"),
        (["inspect", path, "--precision", "bfloat16"], "for Strassen-Tile models"),
        (["compile", path, "--also", "float65:C"], "expected dtype:order"),
        (["bench", path, "--n", "0"], "1 or more"),
        (["fit", "A.npy", "B.npy", "-o", "./A.npy"], "./A.npy is already read or written"),
        (["fit", "both.npz:A", "B.npy", "-o", "both.npz"], "both.npz is already read"),
        (["inspect", path, "--html", path], "is already read"),
        ([*select, "-o", "one.svg", "--plot", "one.svg"], "one.svg is already read or written"),
        ([*select, "--plot", "frontier.foo"], "--plot frontier.foo: expected a name that ends"),
    ):
        assert main(arguments) == 2, arguments
        assert words in capsys.readouterr().err
    assert "required: B" in facts(capsys, "fit A.npy", status=2)["error"]
    assert not (files / "m.npz").exists()


@pytest.mark.parametrize(
    "command",
    [
        "fit A.npy B.npy -o m.npz --codebooks 4",
        "select A.npy B.npy --budget 1 -o m.npz --n 50",
        "doctor",
    ],
)
def test_an_interrupted_command_writes_nothing(
    command: str, files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    (files / "m.npz").write_text("good")
    monkeypatch.setattr(best, "_ways", interrupted)
    monkeypatch.setattr(search, "leading_directions", interrupted)  # whatever it then fits
    assert run(command) == 130
    assert capsys.readouterr().err == "maddjit: interrupted\n"
    assert (files / "m.npz").read_text() == "good"


@pytest.mark.parametrize("command", ["fit", "select", "compile", "inspect", "bench", "export"])
def test_help_says_what_each_argument_does(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(f"{command} --help") == 0
    _, *sections = capsys.readouterr().out.split("\n\n")
    assert sections[0].endswith(".")
    assert sections[-1].startswith(f"examples:\n  maddjit {command} ")
    lines = "\n".join(sections[1:-1]).replace("\n" + 24 * " ", "  ").splitlines()
    arguments = [line for line in lines if re.match(r"  \S", line)]
    assert len(arguments) > 10
    assert not [line for line in arguments if not re.match(r"  \S.*?  +\w+ \w+", line)]


def test_warnings_are_told(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(files / "noise.npy", np.random.default_rng(0).standard_normal((300, 16)))
    assert run("fit noise.npy B.npy -o m.npz --codebooks 1") == 0
    assert capsys.readouterr().err.startswith("maddjit: warning: this operator loses")


def test_so_is_what_is_logged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(cache.BYTES_VARIABLE, "a lot")
    words = "MADDJIT_CACHE_BYTES=a lot is no number of bytes and is ignored"
    assert facts(capsys, "cache info")["warnings"] == [words]


def test_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert run("cache info") == 0


def test_the_console_script_and_the_module(path: str) -> None:
    script = Path(sys.executable).with_name("maddjit")
    for command in ([str(script)], [sys.executable, "-m", "maddjit"]):
        if not Path(command[0]).exists():
            continue
        done = subprocess.run(
            [*command, "inspect", path, "--json"], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["model"]["kind"] == "maddness"


def test_characters_that_stdout_lacks_are_escaped(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "é.npz").write_bytes(b"")
    assert run("fit A.npy B.npy -o é.npz --codebooks 4") == 0
    words = capsys.readouterr().out
    assert "é.npz: " in words
    for flag in ("", " --json"):
        content = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding="ascii"))
        assert run(f"fit A.npy B.npy -o é.npz --codebooks 4{flag}") == 0
        sys.stdout.flush()
        shown = content.getvalue().decode("ascii")
        if flag:
            assert json.loads(shown)["output"] == "é.npz"
        else:
            assert shown == words.replace("é", "\\xe9")
