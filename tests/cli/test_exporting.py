"""``maddjit export``: files for another system and another CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from maddjit.compiler import objects
from tests.cli.running import facts, run


def test_export(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fit A.npy B.npy -o t.npz --tile 2") == 0
    capsys.readouterr()
    options = "--name head --target aarch64 --system linux"
    found = facts(capsys, f"export t.npz --dir out {options}")
    assert (found["dir"], found["name"]) == ("out", "head")
    code = Path(found["written"]["object"])
    assert code == Path("out", "head.o")
    assert objects.architecture(code.read_bytes()) == "aarch64"
    assert "#define HEAD_N_FEATURES 16" in Path(found["written"]["header"]).read_text()
    found = facts(capsys, "export t.npz --dir out --system windows --target x86-64")
    assert Path(found["written"]["object"]) == Path("out", "product.obj")
