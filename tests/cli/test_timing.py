"""``maddjit bench``: rows and right-hand sides that it takes and refuses; no times are judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import facts, run


def test_bench_refuses_rows_that_the_dtype_cannot_hold(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit A.npy B.npy -o m.npz --codebooks 2") == 0
    assert run("bench m.npz --rows A.npy --dtype int8") == 1
    assert "int8 cannot" in capsys.readouterr().err
    for kind in ("int8 --order F", "bfloat16 --order strided", "bfloat16 --rows A.npy"):
        assert run(f"bench m.npz --n 40 --rounds 1 --B B.npy --dtype {kind}") == 0


def test_bench_without_b(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = facts(capsys, f"bench {path} --n 20 --rounds 2")
    assert found["ways"]["maddjit"]["error"] is None
    assert "give --B" in found["missing"]["numpy float32"]
