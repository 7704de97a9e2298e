"""``maddjit export``: files for another system and another CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

import maddjit
from maddjit.compiler import objects
from tests.cli.running import facts, run
from tests.operators.test_convolution import model_of
from tests.random_networks import chain


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


def test_networks_and_convolutions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    window = maddjit.Window((3, 3), padding=(1, 1, 1, 1))
    for name, model in (("net", chain(0)), ("conv", model_of(window))):
        model.save(tmp_path / f"{name}.npz")
        command = f"export {tmp_path / name}.npz --dir {tmp_path} --name {name} --target x86-64"
        written = facts(capsys, command)["written"]
        assert f"int {name}_run(" in Path(written["header"]).read_text()
    command = f"export {tmp_path / 'conv.npz'} --dir {tmp_path} --dtype uint8"
    assert (
        "uint8_t product_element" in Path(facts(capsys, command)["written"]["header"]).read_text()
    )
