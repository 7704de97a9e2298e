"""Use what one extra of the installed wheel brings: `python -I .ci/use_extra.py EXTRA`."""

import contextlib
import importlib.metadata
import io
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

import maddjit

rng = np.random.default_rng(0)
A = (rng.standard_normal((1000, 8)) @ rng.standard_normal((8, 64))).astype(np.float32)
B = rng.standard_normal((64, 10)).astype(np.float32)


def progress() -> None:
    """A bar of tqdm's."""
    shown = io.StringIO()
    with contextlib.redirect_stderr(shown):
        maddjit.fit(A, B, n_codebooks=4, progress=True)
    assert "100%" in shown.getvalue(), shown.getvalue()


def plot() -> None:
    """Pictures by matplotlib."""
    figure = maddjit.fit(A, B, n_codebooks=4).plot()
    assert figure.axes, figure


def safetensors() -> None:
    """A matrix from a file of that format, as the command line reads it."""
    from safetensors.numpy import save_file

    from maddjit.cli.inputs import read

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layers.safetensors"
        save_file({"head": B}, path)
        assert np.array_equal(read(f"{path}:head", "B").array, B)


def cli() -> None:
    """Fit by the command, from files of arrays."""
    from maddjit.cli import main

    with tempfile.TemporaryDirectory() as folder:
        for name, array in (("A", A), ("B", B)):
            np.save(Path(folder) / f"{name}.npy", array)
        names = [str(Path(folder) / name) for name in ("A.npy", "B.npy")]
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            code = main(["fit", *names, "-o", str(Path(folder) / "model.npz"), "--json"])
        assert code == 0, code
        assert json.loads(shown.getvalue())


def sklearn() -> None:
    """A regressor with look-ups inside."""
    from maddjit.integrations.sklearn import MaddnessRegressor

    assert MaddnessRegressor(n_codebooks=16).fit(A, A @ B).score(A, A @ B) > 0.8


def torch() -> None:
    """A layer replaced, in an exported graph, too."""
    import torch as library

    from maddjit.integrations.torch import replace_linear

    model = library.nn.Sequential(library.nn.Linear(64, 10))
    rows = library.from_numpy(A)
    replace_linear(model, [rows], pattern="0", n_codebooks=8)
    with library.no_grad():
        assert library.equal(library.export.export(model, (rows,)).module()(rows), model(rows))


def onnx() -> None:
    """A graph run with one node replaced."""
    import onnx as library
    from onnx import helper, numpy_helper

    from maddjit.integrations.onnx import run_replaced, take

    float32 = library.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "B"], ["y"], name="head")],
        "one product",
        [helper.make_tensor_value_info("x", float32, ["n", 64])],
        [helper.make_tensor_value_info("y", float32, ["n", 10])],
        [numpy_helper.from_array(B, "B")],
    )
    net = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    rows, matrix, bias = take(net, "head", {"x": A})
    op = maddjit.compile(maddjit.fit(rows, matrix, n_codebooks=8, bias=bias))
    assert np.array_equal(run_replaced(net, {"head": op})({"x": A})["y"], op(A))


def dask() -> None:
    """Blocks of rows, lazily."""
    import dask.array

    from maddjit.integrations.dask import apply

    model = maddjit.fit(A, B, n_codebooks=8)
    products = apply(model, dask.array.from_array(A, chunks=(250, 64)))
    assert np.array_equal(products.compute(), maddjit.compile(model)(A))


CHECKS: dict[str, Callable[[], None]] = {
    check.__name__: check
    for check in (progress, plot, safetensors, cli, sklearn, torch, onnx, dask)
}

if __name__ == "__main__":
    extra = sys.argv[1]
    assert "site-packages" in Path(maddjit.__file__).parts, maddjit.__file__
    CHECKS[extra]()
    packages = len(list(importlib.metadata.distributions()))
    print(f"the extra {extra} works, beside {packages} packages")
