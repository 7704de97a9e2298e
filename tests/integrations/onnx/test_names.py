"""ONNX: which node a name means, in Python and on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from onnx import TensorProto, helper

from maddjit.cli.inputs import InputError, read
from maddjit.integrations.onnx import initialisers, run_replaced, take
from tests.integrations.onnx.graphs import model_of, node, small

X, W1, W2, W3 = small((9, 6)), small((6, 6), 1), small((6, 6), 2), small((6, 6), 3)
WEIGHTS = {"W1": W1, "W2": W2, "W3": W3}


def chain(*names: str) -> Any:
    """Return x W1 W2 W3, made by nodes that are called so; their outputs are h, k and y."""
    between = ["x", "h", "k", "y"]
    nodes = [
        node("MatMul", [between[i], f"W{i + 1}"], [between[i + 1]], name)
        for i, name in enumerate(names)
    ]
    return model_of(nodes, WEIGHTS)


def test_a_node_called_like_the_output_of_another(tmp_path: Path) -> None:
    made = chain("first", "h", "last")
    names = [each.node for each in initialisers(made)]
    assert names == ["first", "k", "last"]
    for name, wanted in zip(names, (W1, W2, W3), strict=True):
        assert np.array_equal(take(made, name, {"x": X})[1], wanted)
        run = run_replaced(made, {name: lambda A, B=wanted: A @ B})
        assert np.array_equal(run({"x": X})["y"], X @ W1 @ W2 @ W3)
    said = "'h' may mean the MatMul that makes 'h' or the MatMul that makes 'k'"
    with pytest.raises(ValueError, match=said):
        take(made, "h", {"x": X})
    with pytest.raises(ValueError, match=said):
        run_replaced(made, {"h": lambda A: A @ W2})
    onnx.save(made, tmp_path / "net.onnx")
    assert np.array_equal(read(f"{tmp_path}/net.onnx:k", "B").array, W2)
    with pytest.raises(InputError, match=said):
        read(f"{tmp_path}/net.onnx:h", "B")


def test_nodes_with_one_name_or_none() -> None:
    assert [each.node for each in initialisers(chain("a", "a", ""))] == ["h", "k", "y"]
    with pytest.raises(ValueError, match="'a' may mean the MatMul that makes 'h' or the MatMul"):
        take(chain("a", "a", ""), "a", {"x": X})
    with pytest.raises(ValueError, match="there is no node ''; products are h, k, y"):
        take(chain("a", "a", ""), "", {"x": X})
    with pytest.raises(ValueError, match="'a' and 'h' are names of the same node"):
        run_replaced(chain("a", "b", "c"), {"a": lambda A: A @ W1, "h": lambda A: A @ W1})


def test_products_come_before_other_nodes_and_names_before_outputs() -> None:
    nodes = [
        node("Relu", ["x"], ["product"], "h"),
        node("MatMul", ["product", "W1"], ["h"]),
        node("MatMul", ["h", "W2"], ["k"], "product"),
        node("Neg", ["k"], ["y"], "k"),
    ]
    made = model_of(nodes, WEIGHTS)
    assert [each.node for each in initialisers(made)] == ["h", "product"]
    assert np.array_equal(take(made, "h", {"x": X})[1], W1)
    assert np.array_equal(take(made, "product", {"x": X})[1], W2)
    nodes[1].name, nodes[3].name = "first", "product"
    made = model_of(nodes, WEIGHTS)
    assert np.array_equal(take(made, "product", {"x": X})[1], W2)
    with pytest.raises(ValueError, match="'h' is a Relu, not a MatMul"):
        take(model_of([nodes[0], node("Neg", ["product"], ["y"])], {}), "h", {"x": X})


def test_names_in_branches() -> None:
    def branch(name: str) -> Any:
        own = node("MatMul", ["h", "W2"], [f"{name}_out"], name)
        info = helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)
        return helper.make_graph([own], name, [], [info])

    def made(name: str) -> Any:
        return model_of(
            [
                node("MatMul", ["x", "W1"], ["h"], "mm"),
                node("Constant", [], ["on"], value=onnx.numpy_helper.from_array(np.array(True))),
                node("If", ["on"], ["y"], then_branch=branch(name), else_branch=branch("other")),
            ],
            WEIGHTS,
        )

    with pytest.raises(ValueError, match="'inner' is in a branch of an If, Loop or Scan"):
        take(made("inner"), "inner", {"x": X})
    assert [each.node for each in initialisers(made("mm"))] == ["h"]
    with pytest.raises(ValueError, match="'mm' may mean the MatMul that makes 'h' or 1 in branch"):
        run_replaced(made("mm"), {"mm": lambda A: A})
    run = run_replaced(made("mm"), {"h": lambda A: A @ W1})
    assert np.array_equal(run({"x": X})["y"], X @ W1 @ W2)


def test_constants_and_products_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    quantised = {"W": small((6, 6), 1, np.int8), "s": np.float32(0.5)}
    nodes = [node("DequantizeLinear", ["W", "s"], ["D"]), node("MatMul", ["x", "D"], ["y"], "mm")]
    onnx.save(model_of(nodes, quantised), path)
    wanted = 0.5 * W1
    for name in ("mm", "y", "D"):
        assert np.array_equal(read(f"{path}:{name}", "B").array, wanted), name
    assert np.array_equal(read(f"{path}:W", "B").array, W1)
    with pytest.raises(InputError, match="'W', goes through DequantizeLinear before 'mm' multip"):
        read(str(path), "B")
    with pytest.raises(InputError, match="holds no Z; it has W, s, mm"):
        read(f"{path}:Z", "B")
    nodes[1].name = "W"
    onnx.save(model_of(nodes, quantised), path)
    with pytest.raises(InputError, match="'W' is the name of a constant and of a product by anot"):
        read(f"{path}:W", "B")
    assert np.array_equal(read(f"{path}:y", "B").array, wanted)
