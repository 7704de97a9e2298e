"""``maddjit doctor``: each level is tried, and the environment is obeyed."""

from __future__ import annotations

import sys

import pytest

from maddjit.cli import main
from maddjit.compiler import llvm
from maddjit.compiler.target import LEVELS
from tests.cli.running import facts
from tests.conftest import RUNNABLE


def test_doctor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MADDJIT_TARGET", raising=False)
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out.splitlines()
    lines = dict(line.split(maxsplit=1) for line in out)
    assert set(LEVELS) <= set(lines)
    for name in LEVELS:
        assert lines[name].startswith("right" if name in RUNNABLE else "lacks ")
    assert lines["chosen"].startswith(f"{RUNNABLE[-1]}: the best")
    assert lines["tiles"] == "right"
    host, is_cpython = llvm.host(), sys.implementation.name == "cpython"
    assert lines["platform"].startswith(f"{host.system} on {host.architecture} ({host.triple}): ")
    assert lines["jit"] == "compiled code is loaded: right"
    assert lines["fastcall"].endswith("right" if is_cpython else "calls go by ctypes")
    assert lines["export"].startswith(("libraries are linked and loaded: right", "objects alone: "))


def test_doctor_obeys_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MADDJIT_TARGET", RUNNABLE[0])
    found = facts(capsys, "doctor")
    assert (found["chosen"], found["why"]) == (RUNNABLE[0], "MADDJIT_TARGET says so")
    assert found["healthy"]
    if sys.platform == "linux" and "x86-64-v3" in RUNNABLE:
        assert found["features"]["avx2"] == dict.fromkeys(
            ["LLVM", "cpuinfo", "/proc/cpuinfo"], True
        )
