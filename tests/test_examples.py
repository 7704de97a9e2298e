"""The examples run, in a small form; `tests/test_docs.py` runs what pages show."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import betabinom

ROOT = Path(__file__).resolve().parent.parent
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
LOWEST_LEVEL = "x86-64" if platform.machine() in ("x86_64", "AMD64") else "aarch64"
needs_fashion_mnist = pytest.mark.skipif(
    not FASHION_MNIST.is_dir(), reason="needs the Debian package dataset-fashion-mnist"
)


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def table(output: str) -> dict[str, float]:
    """Return the accuracy of each row of an example's table."""
    rows = re.findall(r"^ *(exact|\d+) +(0\.\d+)", output, re.MULTILINE)
    return {name: float(accuracy) for name, accuracy in rows}


def least_agreement(coverage: float, n_calibrate: int, n_test: int) -> float:
    """Return what the share of exact winners falls below once in a thousand runs at most.

    A tenth of the rows of calibration does not count. Of the n others the margin covers the
    ⌈c (n + 1)⌉ closest: of m further rows exchangeable with them, as many miss their winner as a
    beta-binomial of m, n + 1 − ⌈c (n + 1)⌉ and ⌈c (n + 1)⌉ says, or fewer where rows tie.
    """
    n = n_calibrate - n_calibrate // 10
    covered = ceil(coverage * (n + 1))
    return float(1 - betabinom.ppf(0.999, n_test, n + 1 - covered, covered) / n_test)


@pytest.mark.slow
def test_digits() -> None:
    accuracy = table(run("examples/digits.py", "--rounds", "1"))
    assert accuracy["exact"] == pytest.approx(0.9615, abs=0.005)
    assert accuracy["8"] > 0.86
    assert accuracy["16"] > 0.92
    assert accuracy["32"] > 0.945


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The modules of the demo."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    from first_minute import layers, make_rows, table, ways

    return SimpleNamespace(layers=layers, make_rows=make_rows, table=table, ways=ways)


@pytest.mark.slow
def test_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    monkeypatch.setenv("MADDJIT_TARGET", LOWEST_LEVEL)
    picture = tmp_path / "new" / "demo.png"
    small = ["--learn", "1000", "--codebooks", "16", "--rounds", "1", "--picture", str(picture)]
    output = run("examples/demo.py", *small)
    assert max(map(len, output.splitlines())) <= 100
    assert re.search(rf"^maddjit: level {LOWEST_LEVEL} \(by MADDJIT_TARGET", output, re.M)
    assert f"Picture: {picture}" in output
    assert picture.read_bytes().startswith(b"\x89PNG")
    shares = {
        name.strip(): (float(right), float(same))
        for name, right, same in re.findall(r"^  (.+?) +([\d.]+)% +([\d.]+)%  ", output, re.M)
    }
    assert shares["exact: numpy.matmul"] == (pytest.approx(94.5, abs=0.1), 100)
    assert shares["look-ups: 16 an output"][0] > 89
    assert shares["look-ups: 16 + rank 8"][1] > 97
    assert shares["look-ups: 8 an output"][0] > 91


def test_demo_finds_what_the_network_names(demo: SimpleNamespace) -> None:
    hidden, head = demo.layers.load(1000)
    assert (hidden.learn.shape, hidden.calibrate.shape) == ((1000, 512), (2000, 512))

    def measure(layer: object, *ways: object) -> list[tuple[float, float]]:
        table = demo.table.measure("a", layer, demo.ways.product(layer), ways, 20, 1)
        return [(row.right, row.same) for row in table.rows]

    exact, low_rank = measure(hidden, demo.ways.low_rank(hidden, 16))
    assert exact == (pytest.approx(0.945, abs=0.001), 1)
    assert low_rank[1] > 0.99
    exact, looked_up, settled = measure(
        head, demo.ways.look_ups(head, 8), *demo.ways.exact_winners(head, 4, [0.99])
    )
    assert exact == (pytest.approx(0.945, abs=0.001), 1)
    assert looked_up[0] > 0.91
    assert settled[1] >= least_agreement(0.99, 2000, 2000)


@pytest.mark.parametrize("saturates", [False, True])
def test_demo_holds_8_bits_to_what_the_cpu_can_sum(
    demo: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, saturates: bool
) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    from first_minute import onnx_product

    # A CPU that clamps sums would do so for weights of 8 bits, whatever this test says of it.
    saturates = saturates or onnx_product.saturates()
    monkeypatch.setattr(onnx_product, "saturates", lambda: saturates)
    _, head = demo.layers.load(0)
    (way,) = demo.ways.eight_bit(head)
    outputs = way.prepare(head.test)()
    exact = head.test @ head.B + head.bias
    assert np.mean(head.classes(outputs) == head.classes(exact)) > 0.99
    # Weights and rows are off by half a step each at most. A whole step of the rows instead of half
    # a one leaves room for rounding in float32, some millionths.
    largest = np.abs(head.B).max(axis=0)
    steps = largest / (63 if saturates else 127)
    bound = np.abs(head.test).sum(axis=1, keepdims=True) * steps / 2
    bound = bound + np.abs(head.test).max() / 255 * (np.abs(head.B).sum(axis=0) + 512 * steps / 2)
    assert (np.abs(outputs - exact) <= bound).all()
    assert ("7 bits" in demo.ways.rival()) == saturates


def test_demo_says_what_is_slower_and_what_is_beaten(demo: SimpleNamespace) -> None:
    def row(family: str, size: str, right: float, speed: float) -> object:
        return demo.table.Row(family, size, f"{family}: {size}", right, right, speed, speed, speed)

    rows = (
        row("exact", "", 0.9, 1),
        row("8 bits", "", 0.9, 0.9),
        row("low rank", "8 of 512", 0.88, 12),
        row("look-ups", "32", 0.89, 11),
        row("look-ups and rank", "32 + rank 8", 0.895, 123.4),
    )
    table = demo.table.Table("one layer", rows)
    remarks = [table.remark(row) for row in rows]
    beaten = "beaten by look-ups 32 + rank 8"
    assert remarks == ["", "slower than NumPy", beaten, beaten, ""]
    assert table.best() == [rows[0], rows[4]]
    assert table.fastest(0.01) == rows[4]
    assert table.fastest(0.0) == rows[0]
    assert max(map(len, str(table).splitlines())) <= 100
    assert "123 (123–123)" in str(table)


@needs_fashion_mnist
def test_rows_of_the_demo_are_those_of_its_script(demo: SimpleNamespace) -> None:
    from fashion_mnist import network

    images, labels = network.load_images("test")
    some = slice(None, demo.make_rows.N_ROWS, 32)
    with np.load(demo.layers.ROWS_FILE, allow_pickle=False) as stored:
        assert stored["step"] == demo.make_rows.STEP
        assert np.array_equal(stored["labels"], labels[: demo.make_rows.N_ROWS])
        kept = stored["activations"][some].astype(int)
    off = np.abs(demo.make_rows.activations(images[some]) - kept)
    # Another order of summing moves an activation by some millionths of it, a step is a hundredth
    # or so: few entries are that close to the border of two steps.
    assert off.max() <= 1
    assert np.mean(off) < 1e-3


@pytest.mark.slow
@needs_fashion_mnist
def test_fashion_mnist() -> None:
    script = "examples/fashion_mnist/replace_head.py"
    accuracy = table(run(script, "--train", "8000", "--codebooks", "16", "--rounds", "1"))
    assert accuracy["exact"] == pytest.approx(0.938, abs=0.001)
    assert accuracy["16"] > 0.922


@pytest.mark.slow
@needs_fashion_mnist
def test_whole_network() -> None:
    script = "examples/fashion_mnist/whole_network.py"
    output = run(script, "--images", "1000", "--batch", "20", "--rounds", "1")
    found = re.search(r"^look-ups +([\d.]+) ", output, re.MULTILINE)
    assert found
    assert float(found[1]) > 0.88


@pytest.mark.slow
@needs_fashion_mnist
def test_train_look_ups(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    script, file = "examples/fashion_mnist/train_look_ups.py", tmp_path / "look_ups.npz"
    output = run(script, "--images", "400", "--epochs", "1", "--output", str(file))
    assert "step 3 of 3" in output
    found = re.search(r"^look-ups: held out [\d.]+, test ([\d.]+)", output, re.MULTILINE)
    assert found
    assert float(found[1]) > 0.7
    assert file.is_file()


@pytest.mark.slow
def test_within_budget() -> None:
    output = run("examples/within_budget.py", "--codebooks", "4", "8")
    assert "chosen within 0.01" in output
    found = re.search(r"test rows: ([\d.]+), exact ([\d.]+)", output)
    assert found
    # 397 rows: the loss on them is off by twice √(2 · .01 / 397) = .014 or less, 19 times in 20.
    assert float(found[1]) >= float(found[2]) - 0.01 - 0.014


def test_retrieval() -> None:
    output = run("examples/retrieval.py", "--items", "500", "--rounds", "1")
    found = dict(re.findall(r"^ *(0\.\d+) +([01]\.\d+) ", output, re.MULTILINE))
    assert float(found["0.99"]) > 0.98
    assert float(found["0.999"]) > 0.995


@pytest.mark.skipif(
    not (shutil.which("cmake") and shutil.which("cc")), reason="needs CMake and a C compiler"
)
def test_c() -> None:
    output = run("examples/c/run.py")
    assert "C and Python agree" in output
    found = re.search(r"accuracy of the C program on \d+ images: ([\d.]+)", output)
    assert found
    assert float(found[1]) > 0.93


@pytest.mark.slow
def test_dask_rows() -> None:
    pytest.importorskip("distributed", reason="dask[distributed] is not installed")
    output = run("examples/dask_rows.py", "--rows", "4000", "--blocks", "8")
    found = re.search(r"NMSE ([\d.]+)", output)
    assert found
    assert float(found[1]) < 0.15
    assert "in each process: 1, 1" in output


@pytest.mark.slow
def test_torch_replace() -> None:
    pytest.importorskip("torch", "2.5", reason="PyTorch is not installed")
    output = run("examples/torch_replace.py", "--epochs", "10")
    found = {
        step: float(share) for step, share in re.findall(r"^(\S+.*?) +(0\.\d+)$", output, re.M)
    }
    assert found["exact"] > 0.93
    assert found["fine-tuned"] > found["looked up"]
    assert found["requantised"] > found["exact"] - 0.05


needs_magika = pytest.mark.skipif(
    not find_spec("magika"), reason="magika is not installed: pip install '.[heads]'"
)


@pytest.mark.slow
@needs_magika
def test_magika_files() -> None:
    small = ["--files", "600", "--codebooks", "8", "--coverage", "0.95", "--rounds", "1"]
    output = run("examples/magika_files.py", *small)
    assert "300 to learn from, 150 to calibrate with, 150 to test on" in output
    found = re.search(r"^ *0\.95 +([01]\.\d+) ", output, re.MULTILINE)
    assert found
    # Nearly every file is from a folder of its own, and folders are divided at random.
    assert float(found[1]) >= least_agreement(0.95, 150, 150)
    types = output.split("\n\n")[1].splitlines()[1:]
    assert len(types) == 8
    # Each is that of Magika itself, which saw the files as it sees all, but for one in twenty.
    assert sum("the exact network" not in line for line in types) >= 5


@needs_magika
def test_magika_says_how_many_files_it_needs(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "few").write_bytes(b"few")
    (tmp_path / "loop").symlink_to(tmp_path)
    for name, content in (("one", "import one"), ("two", "import two"), ("copy", "import two")):
        (tmp_path / f"{name}.py").write_text(f"{content}\n\nprint(1)\n")
    command = [sys.executable, "examples/magika_files.py", str(tmp_path), str(tmp_path / "none")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "neither a file nor a folder" in done.stderr
    assert "found 2 different files" in done.stderr
    assert "440 are needed" in done.stderr


needs_rapidocr = pytest.mark.skipif(
    not find_spec("rapidocr_onnxruntime"),
    reason="rapidocr-onnxruntime is not installed: pip install '.[heads]'",
)


@pytest.mark.slow
@needs_rapidocr
def test_ocr_head(tmp_path: Path) -> None:
    font = pytest.importorskip("PIL.ImageFont", reason="Pillow is not installed").load_default(30)
    from PIL import Image, ImageDraw

    image = Image.new("RGBA", (260, 44))  # black letters on nothing
    ImageDraw.Draw(image).text((6, 4), "maddjit  reads  this", fill=(0, 0, 0, 255), font=font)
    image.save(tmp_path / "line.png")
    (tmp_path / "no.png").write_text("no image")
    small = ["--lines", "120", "--objective", "product", "--rounds", "1"]
    images = [str(tmp_path / name) for name in ("line.png", "no.png", "missing.png")]
    output = run("examples/ocr_head.py", *small, *images)
    sizes = re.search(r"(\d+) to calibrate with,\n(\d+), those of 30 lines", output)
    assert sizes
    rows = re.findall(r"^ *(product|0\.\d+) +([01]\.\d+) +(\d\.\d+)", output, re.MULTILINE)
    assert [row[0] for row in rows] == ["product", "0.99", "0.999"]
    exact_edits = float(rows[0][2])
    assert exact_edits < 0.1
    n_calibrate, n_test = map(int, sizes.groups())
    for coverage, agreement, edits in (map(float, row) for row in rows[1:]):
        # Neighbouring time steps miss together: the variance of misses from line to line is two to
        # three times that of independent ones.
        least = least_agreement(coverage, n_calibrate, n_test)
        assert agreement >= coverage - 3**0.5 * (coverage - least)
        # A wrong winner changes two characters at most; a line has 11 or more. Numbers have four
        # digits.
        n_wrong = (1 - agreement + 5e-5) * n_test
        assert edits <= exact_edits + 1e-4 + 2 * n_wrong / (30 * 11)
    assert re.search(r"line.png': 'maddjit ?reads ?this', (100|9\d)\.\d+% exact winners", output)


@pytest.mark.slow
@needs_rapidocr
def test_mobile_network() -> None:
    small = ["--layers", "2", "--lines", "16", "--pixels", "1000", "--rounds", "1"]
    output = run("examples/mobile_network.py", *small)
    assert "compile_network: p2o.Mul.2: a product of two tensors is not supported" in output
    assert "14 layers take" in output
    errors = re.findall(r"^p2o\.Conv\.[24] .* (0\.\d+) +[\d.]+% ", output, re.MULTILINE)
    assert len(errors) == 2
    assert max(map(float, errors)) < 0.4
    alike = dict(re.findall(r"^(exact|8 bits|look-ups) +([\d.]+)% ", output, re.MULTILINE))
    assert float(alike["exact"]) == 100
    assert float(alike["8 bits"]) > 95
    assert float(alike["look-ups"]) > 85
