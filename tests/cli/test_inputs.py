"""Matrices from files of all kinds, and what is said of files that do not hold one."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import maddjit
from maddjit.cli import main
from maddjit.cli.inputs import InputError, read
from tests.cli.running import RIGHT, ROWS, run


def test_inputs(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(files / "both.npz", A=ROWS[:300], B=RIGHT, turned=RIGHT.T, flags=np.ones(3, bool))
    for name in ("broken.npy", "broken.npz"):
        (files / name).write_text("no array")
    (files / "cut.npy").write_bytes((files / "A.npy").read_bytes()[:99])
    (files / "alone.npz").write_bytes((files / "A.npy").read_bytes())
    np.save(files / "empty.npy", ROWS[:0])
    np.save(files / "nan.npy", np.where(np.arange(300)[:, None] == 2, np.nan, ROWS[:300]))
    rest = ["-o", "m.npz", "--codebooks", "2"]
    assert main(["fit", "both.npz:A", "both.npz:turned", "--transpose", *rest]) == 0
    capsys.readouterr()
    for A, B, words in (
        ("A.npy", "both.npz", "B: both.npz holds 4 arrays, name one: both.npz:key, of A, B,"),
        ("A.npy", "both.npz:C", "B: both.npz holds no C; it has A, B, turned, flags"),
        ("A.npy", "both.npz:turned", "B must have 16 rows; with --transpose it would"),
        ("both.npz:flags", "B.npy", "A: both.npz:flags must hold real numbers, not bool"),
        ("broken.npy", "B.npy", "A: broken.npy is neither .npy nor .npz"),
        ("broken.npz", "B.npy", "A: broken.npz is neither .npy nor .npz"),
        ("cut.npy", "B.npy", "A: cut.npy cannot be read as npy"),
        ("alone.npz", "B.npy", "A: alone.npz holds a single array: call it .npy"),
        ("empty.npy", "B.npy", "A: empty.npy must have 2 non-empty axes, not shape (0, 16)"),
        ("nan.npy", "B.npy", "A: nan.npy must be finite in float32, but holds nan at row 2"),
        ("absent.npy", "B.npy", "A: there is no file absent.npy"),
    ):
        assert main(["fit", A, B, *rest]) == 1
        assert words in capsys.readouterr().err
    assert main(["fit", "A.npy", "B.npy", "-o", "absent/m.npz"]) == 1
    assert "its folder is not there" in capsys.readouterr().err


def test_safetensors(files: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    numpy.save_file({"head.weight": np.ascontiguousarray(RIGHT.T)}, files / "m.safetensors")
    assert run("fit A.npy m.safetensors:head.weight --transpose -o m.npz --tile 1") == 0
    op = maddjit.compile(maddjit.load("m.npz"))
    np.testing.assert_allclose(op(ROWS), ROWS @ RIGHT, atol=1e-4)


def test_onnx(files: Path) -> None:
    onnx = pytest.importorskip("onnx")
    node, tensor = onnx.helper.make_node, onnx.numpy_helper.from_array
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node("Gemm", ["X", "W"], ["Y"], name="head", transB=1)],
        "net",
        [info("X", 1, ["N", 16])],
        [info("Y", 1, ["N", 7])],
        [tensor(np.ascontiguousarray(RIGHT.T), "W"), tensor(np.zeros(3, np.float32), "other")],
    )
    onnx.save(onnx.helper.make_model(graph), files / "net.onnx")
    for B in (["net.onnx:head"], ["net.onnx:W", "--transpose"], ["net.onnx", "--transpose"]):
        assert main(["fit", "A.npy", *B, "-o", "m.npz", "--tile", "1"]) == 0
        op = maddjit.compile(maddjit.load("m.npz"))
        np.testing.assert_allclose(op(ROWS), ROWS @ RIGHT, atol=1e-4)
    graph.node[0].attribute.append(onnx.helper.make_attribute("alpha", 0.5))
    onnx.save(onnx.helper.make_model(graph), files / "net.onnx")
    np.testing.assert_array_equal(read("net.onnx:head", "B").array, 0.5 * RIGHT)
    graph.input.append(info("W", 1, [7, 16]))
    onnx.save(onnx.helper.make_model(graph), files / "net.onnx")
    with pytest.raises(
        InputError, match="'W', is not a constant: 'W' is an input of the model, too"
    ):
        read("net.onnx:head", "B")


@pytest.mark.parametrize("package", ["safetensors", "onnx"])
def test_a_missing_package_is_named(
    package: str, files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    (files / f"m.{package}").write_bytes(b"")
    assert main(["fit", "A.npy", f"m.{package}", "-o", "m.npz"]) == 1
    assert f"pip install 'maddjit[{package}]'" in capsys.readouterr().err
