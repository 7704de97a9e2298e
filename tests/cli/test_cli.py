"""The command line: every command, in words and as JSON, and its words when something is wrong."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maddjit
from maddjit.cli import main
from maddjit.cli.inputs import InputError, read
from maddjit.compiler import cache, llvm, objects
from maddjit.compiler.target import LEVELS
from maddjit.learning.maddness import best
from maddjit.models.storage import from_bytes, provenance_of
from maddjit.selection import selection
from tests.conftest import RUNNABLE, same_bits
from tests.random_models import random_model

RNG = np.random.default_rng(0)
ROWS = (RNG.standard_normal((600, 4)) @ RNG.standard_normal((4, 16))).astype(np.float32)
RIGHT = RNG.standard_normal((16, 7)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> str:
    model = random_model(0, n_features=9, n_codebooks=4, n_prototypes=8, n_outputs=7)
    maddjit.save(model, tmp_path / "model.npz")
    return str(tmp_path / "model.npz")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with A.npy, more.npy and B.npy, to be in."""
    np.save(tmp_path / "A.npy", ROWS[:300])
    np.save(tmp_path / "more.npy", ROWS[300:])
    np.save(tmp_path / "B.npy", RIGHT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: str) -> int:
    return main(command.split())


def facts(capsys: pytest.CaptureFixture[str], command: str, status: int = 0) -> dict[str, Any]:
    """Run a command for its JSON, which must be all that is on stdout, and by the standard."""
    assert run(f"{command} --json") == status

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    found: dict[str, Any] = json.loads(capsys.readouterr().out, parse_constant=refuse)
    return found


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "sum_bits "),
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


def test_inspect_as_json(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = facts(capsys, f"inspect {path}")
    assert found["model"]["n_codebooks"] == 4
    assert found["plan"]["n_outputs"] == 7
    found = facts(capsys, f"inspect {path} --asm")
    assert set(found["stages"]) == {"kernel", "encode.codebooks", "scan.0"}
    assert found["largest_loop"]["n_instructions"] > 4


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
    monkeypatch.setattr(selection, "leading_directions", interrupted)  # whatever it then fits
    assert run(command) == 130
    assert capsys.readouterr().err == "maddjit: interrupted\n"
    assert (files / "m.npz").read_text() == "good"


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


def test_tiles(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fit A.npy B.npy -o t.npz --tile 2") == 0
    assert main(["inspect", "t.npz"]) == 0
    assert "strassen, rank 7" in capsys.readouterr().out
    found = facts(capsys, "inspect t.npz --asm")
    assert {"encode", "multiply", "decode"} <= set(found["stages"])
    assert found["largest_loop"]["stage"] == "multiply"
    assert run("bench t.npz --B B.npy --n 50 --rounds 2 --rows A.npy") == 0
    out = capsys.readouterr().out
    assert "numpy float32" in out
    assert "8-bit torch" in out
    assert run("inspect t.npz --result argmax") == 2


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


def test_select(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = "--codebooks 4 --prototypes 16 --core-ranks 0 --n 200"
    command = f"select A.npy B.npy --budget 1 -o m.npz --plot frontier.svg {sizes}"
    found = facts(capsys, command)
    assert found["best"] in [each["name"] for each in found["candidates"]]
    assert (files / "m.npz").exists() == (found["output"] is not None)
    assert (files / "frontier.svg").stat().st_size > 1000


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


def test_progress_is_on_stderr(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    assert run("fit A.npy B.npy -o m.npz --codebooks 2 --progress --json") == 0
    captured = capsys.readouterr()
    assert "100%" in captured.err
    json.loads(captured.out)


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
