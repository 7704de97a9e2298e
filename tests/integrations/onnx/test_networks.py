"""ONNX: models as graphs of exact layers, and as networks over planes of int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from onnx import TensorProto, helper, numpy_helper

from maddjit.integrations.networks.evaluating import outputs
from maddjit.integrations.networks.graph import Graph
from maddjit.integrations.onnx import UnsupportedLayerError, convert_network
from maddjit.integrations.onnx.network_graph import graph_of
from tests.integrations.networks.helping import run

rng = np.random.default_rng(0)
SHAPE = (3, 9, 8)
IMAGES = rng.standard_normal((50, *SHAPE)).astype(np.float32)
node = helper.make_node


def some(*shape: int) -> Any:
    return (rng.standard_normal(shape) / 3).astype(np.float32)


def model_of(
    nodes: list[Any], weights: dict[str, Any], shape: Any = ("n", *SHAPE), outputs: Any = ("y",)
) -> Any:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    return model


def expected_of(model: Any, x: Any = IMAGES) -> Any:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": x})[0]


def check(model: Any) -> Graph:
    """Compare a graph with onnxruntime, and return it."""
    graph, expected = graph_of(model, SHAPE), expected_of(model)
    found = outputs(graph, IMAGES.astype(np.float64))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    return graph


def whole() -> Any:
    """Return a model with most kinds of nodes that are supported."""
    weights = {
        "w1": some(8, 3, 3, 3),
        "b1": some(8),
        "s": np.abs(some(8)) + 0.5,
        "t": some(8),
        "m": some(8),
        "v": np.abs(some(8)) + 0.5,
        "w2": some(8, 1, 3, 3),
        "low": np.float32(0),
        "high": np.float32(1),
        "mean": some(1, 3, 1, 1),
        "std": np.abs(some(1, 3, 1, 1)) + 1,
        "shape": np.array([0, -1]),
        "matrix": some(16, 6),
        "added": some(6),
        "head": some(4, 6),
        "bias": some(4),
    }
    nodes = [
        node("Sub", ["x", "mean"], ["centred"]),
        node("Div", ["centred", "std"], ["scaled"]),
        node("Conv", ["scaled", "w1", "b1"], ["c1"], strides=[2, 1], pads=[1, 0, 1, 2], name="one"),
        node("BatchNormalization", ["c1", "s", "t", "m", "v"], ["n1"], epsilon=1e-3),
        node("Relu", ["n1"], ["r1"]),
        node("Conv", ["r1", "w2"], ["c2"], group=8, auto_pad="SAME_UPPER", name="two"),
        node("Add", ["c2", "r1"], ["sum"]),
        node("Clip", ["sum", "low", "high"], ["clipped"]),
        node("MaxPool", ["clipped"], ["p1"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        node(
            *("AveragePool", ["clipped"], ["p2"]),
            kernel_shape=[3, 2],
            strides=[2, 2],
            pads=[1, 0, 1, 0],
            count_include_pad=1,
        ),
        node("Concat", ["p1", "p2"], ["joined"], axis=1),
        node("GlobalAveragePool", ["joined"], ["g"]),
        node("Dropout", ["g"], ["d"]),
        node("Reshape", ["d", "shape"], ["flat"]),
        node("MatMul", ["flat", "matrix"], ["mm"]),
        node("Add", ["mm", "added"], ["hidden"]),
        node("Relu", ["hidden"], ["r2"]),
        node("Gemm", ["r2", "head", "bias"], ["y"], transB=1, alpha=0.5, beta=2.0),
    ]
    return model_of(nodes, weights)


def test_most_kinds_of_nodes(tmp_path: Path) -> None:
    model = whole()
    graph = check(model)
    assert [entry.name for entry in graph.nodes if entry.name in ("one", "two")] == ["one", "two"]
    onnx.save(model, tmp_path / "net.onnx")
    made = convert_network(tmp_path / "net.onnx", IMAGES, ranges="minmax", target="x86-64-v3")
    found, expected = run(made.network, IMAGES), expected_of(model)
    assert np.mean((found - expected) ** 2) < 0.01 * expected.var()


@pytest.mark.parametrize("kind", ["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
@pytest.mark.parametrize("stride", [1, 2])
def test_automatic_padding(kind: str, stride: int) -> None:
    strides = [stride, stride]
    nodes = [
        node("Conv", ["x", "w"], ["c"], auto_pad=kind, strides=strides, kernel_shape=[2, 3]),
        node("MaxPool", ["c"], ["y"], auto_pad=kind, strides=strides, kernel_shape=[3, 2]),
    ]
    check(model_of(nodes, {"w": some(4, 3, 2, 3)}))


def test_shapes_that_are_computed() -> None:
    """The ways in which exporters write (N, −1), and a number of images that is fixed."""
    weights = {"zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1])}
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "zero"], ["n"], axis=0),
        node("Unsqueeze", ["n", "axes"], ["one"]),
        node("Concat", ["one", "rest"], ["wanted"], axis=0),
        node("Reshape", ["x", "wanted"], ["flat"]),
        node("Gemm", ["flat", "w"], ["y"]),
    ]
    check(model_of(nodes, {**weights, "w": some(216, 3)}))
    fixed = [node("Reshape", ["x", "to"], ["flat"]), node("Gemm", ["flat", "w"], ["y"])]
    to = {"to": np.array([50, -1]), "w": some(216, 3)}
    check(model_of(fixed, to, (50, *SHAPE)))
    with pytest.raises(UnsupportedLayerError, match="new shape"):
        graph_of(model_of(fixed, to), SHAPE)


def test_more_nodes() -> None:
    weights = {
        "pads": np.array([0, 0, 1, 0, 0, 0, 0, 2]),
        "w": some(4, 3, 3, 3),
        "half": np.float32(0.5),
        "axes": np.array([2, 3]),
    }
    nodes = [
        node("Pad", ["x", "pads"], ["padded"]),
        node("Conv", ["padded", "w"], ["c"], dilations=[2, 1]),
        node("Mul", ["half", "c"], ["halved"]),
        node("Identity", ["halved"], ["i"]),
        node("ReduceMean", ["i"], ["mean"], axes=[2, 3], keepdims=1),
        node("Squeeze", ["mean", "axes"], ["y"]),
    ]
    check(model_of(nodes, weights))
    plain = [node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]), node("Flatten", ["t"], ["f"])]
    check(model_of([*plain, node("MatMul", ["f", "w"], ["y"])], {"w": some(216, 2)}))


def test_quantised_models_clamp() -> None:
    """A scale of a quantised model says where numbers end; constants are taken as they are."""
    weights = {
        "scale": np.float32(0.01),
        "zero": np.uint8(0),
        "q": rng.integers(-128, 128, (4, 3, 3, 3), dtype=np.int8),
        "steps": np.full(4, 0.01, np.float32),
        "zeros": np.zeros(4, np.int8),
    }
    nodes = [
        node("DequantizeLinear", ["q", "steps", "zeros"], ["w"], axis=0),
        node("Conv", ["x", "w"], ["c"]),
        node("QuantizeLinear", ["c", "scale", "zero"], ["stored"]),
        node("DequantizeLinear", ["stored", "scale", "zero"], ["y"]),
    ]
    model = model_of(nodes, weights)
    graph = graph_of(model, SHAPE)
    assert len(graph.nodes) == 2
    found, expected = outputs(graph, IMAGES), expected_of(model)
    assert np.abs(found - expected).max() < 0.0051


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ([node("Softmax", ["x"], ["y"], name="last")], "last: a node of type Softmax"),
        ([node("Sigmoid", ["x"], ["y"])], "y: a node of type Sigmoid"),
        ([node("Mul", ["x", "x"], ["y"])], "product of two"),
        ([node("Conv", ["x", "x"], ["y"])], "weights that depend on the images"),
        ([node("Conv", ["x", "w"], ["y"], group=3)], "do not fit 3 planes"),
        ([node("Conv", ["x", "w"], ["y"], pads=[-1, 0, 0, 0])], "negative"),
        ([node("Flatten", ["x"], ["y"], axis=2)], "all axes but the first"),
        ([node("Concat", ["x", "x"], ["y"], axis=2)], "axis 2"),
        ([node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], pads=[1, 1, 1, 1])], "count"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_is_not_supported_is_named(nodes: list[Any], why: str) -> None:
    with pytest.raises(UnsupportedLayerError, match=why):
        graph_of(model_of(nodes, {"w": some(4, 3, 3, 3)}), SHAPE)


def test_one_input_and_one_output() -> None:
    model = model_of([node("Split", ["x"], ["y", "z"], axis=1)], {}, outputs=("y", "z"))
    with pytest.raises(UnsupportedLayerError, match="one output"):
        graph_of(model, SHAPE)
    with pytest.raises(TypeError, match="path or an onnx"):
        convert_network(3, IMAGES)
