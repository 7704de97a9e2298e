"""ONNX: what is found in a graph, what is taken from it, and the graph cut at operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from onnx import TensorProto, helper, numpy_helper

import maddjit
from maddjit.integrations.onnx import initialisers, loading, run_replaced, take

rng = np.random.default_rng(0)


def small(own: np.random.Generator, *shape: int) -> Any:
    """Return float32 integers from −2 to 2.

    Sums of the network are then exact in whatever order they are added up, and results are equal:
    |x| ≤ 3 · 2², |h| ≤ 16 · 12 · 2 = 384, |r| ≤ 384 + 24 · 384 · 2 = 18816, and a Gemm gives half
    of an integer of at most 24 · 18816 · 2 + 4 · 2 < 2²⁰; float32 has all integers up to 2²⁴.
    """
    return own.integers(-2, 3, shape).astype(np.float32)


W1, W2, W3, BIAS = small(rng, 16, 24), small(rng, 8, 24), small(rng, 24, 24), small(rng, 8)


def model() -> Any:
    """Return relu(x W1) → (+ relu(h W3)) → Gemm by W2ᵀ, with constants, a branch and a residual."""
    add = helper.make_graph(
        [helper.make_node("Add", ["h", "s"], ["then_out"])],
        "then",
        [],
        [helper.make_tensor_value_info("then_out", TensorProto.FLOAT, ["n", "t", 24])],
    )
    keep = helper.make_graph(
        [helper.make_node("Identity", ["h"], ["else_out"])],
        "else",
        [],
        [helper.make_tensor_value_info("else_out", TensorProto.FLOAT, ["n", "t", 24])],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], ["W3"], value=numpy_helper.from_array(W3)),
            helper.make_node(
                "Constant", [], ["flat"], value=numpy_helper.from_array(np.array([-1, 24]))
            ),
            helper.make_node("MatMul", ["x", "W1"], ["m"], name="first"),
            helper.make_node("Relu", ["m"], ["h"]),
            helper.make_node("MatMul", ["h", "W3"], ["k"]),
            helper.make_node("Relu", ["k"], ["s"]),
            helper.make_node("If", ["on"], ["r"], then_branch=add, else_branch=keep),
            helper.make_node("Reshape", ["r", "flat"], ["rows"]),
            helper.make_node(
                "Gemm", ["rows", "W2", "b"], ["y"], name="last", transB=1, alpha=0.5, beta=2.0
            ),
            helper.make_node("MatMul", ["y", "y2"], ["z"], name="unknown"),
        ],
        "net",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "t", 16]),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y2", TensorProto.FLOAT, [8, 2]),
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (("y", ["m", 8]), ("z", ["m", 2]), ("h", ["n", "t", 24]))
        ],
        [
            numpy_helper.from_array(array, name)
            for name, array in (("W1", W1), ("W2", W2), ("b", BIAS))
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made


def feed(n: int, seed: int = 0) -> dict[str, Any]:
    x = small(np.random.default_rng(seed), n, 5, 3) @ small(np.random.default_rng(9), 3, 16)
    return {"x": x, "on": np.array(seed % 2 == 0), "y2": np.eye(8, 2, dtype=np.float32)}


def expected(batch: dict[str, Any]) -> dict[str, Any]:
    h = np.maximum(batch["x"] @ W1, 0)
    r = h + np.maximum(h @ W3, 0) if batch["on"] else h
    y = 0.5 * r.reshape(-1, 24) @ W2.T + 2 * BIAS
    return {"y": y, "z": y @ batch["y2"], "h": h}


def test_products_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(model(), path)
    found = initialisers(path)
    assert [(each.node, each.kind, each.weight, each.shape) for each in found] == [
        ("first", "MatMul", "W1", (16, 24)),
        ("k", "MatMul", "W3", (24, 24)),
        ("last", "Gemm", "W2", (24, 8)),
    ]


def test_rows_matrix_and_bias_are_taken() -> None:
    batch = feed(3)
    A, B, bias = take(model(), "first", batch)
    assert np.array_equal(A, batch["x"].reshape(-1, 16))
    assert np.array_equal(B, W1)
    assert bias is None
    A, B, bias = take(model(), "last", [batch, feed(2, 1)])
    assert A.shape == (25, 24)
    assert bias is not None
    assert np.array_equal(A[:15] @ B + bias, expected(batch)["y"])


@pytest.mark.parametrize("nodes", [["first"], ["last"], ["k"], ["first", "k", "last"], []])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_rest_of_the_graph_stays(nodes: list[str], seed: int) -> None:
    calls = dict.fromkeys(nodes, 0)

    def exact(name: str) -> Any:
        _, B, bias = take(model(), name, feed(1))

        def multiply(A: Any) -> Any:
            calls[name] += 1
            assert A.ndim == 2
            return A @ B + (0 if bias is None else bias)

        return multiply

    batch = feed(4, seed)
    run = run_replaced(model(), {name: exact(name) for name in nodes}, sample=batch)
    calls |= dict.fromkeys(nodes, 0)
    found, wanted = run(batch), expected(batch)
    assert list(found) == ["y", "z", "h"]
    for name, array in wanted.items():
        assert np.array_equal(found[name], array), name
    assert all(count == 1 for count in calls.values())


def test_with_operators() -> None:
    A, B, bias = take(model(), "last", feed(400, 1))
    op = maddjit.compile(maddjit.fit(A, B, n_codebooks=16, bias=bias))
    batch = feed(50, 1)
    found = run_replaced(model(), {"last": op})(batch)["y"]
    assert np.array_equal(found, op(expected(batch)["h"].reshape(-1, 24)))


def test_sessions_have_the_options(tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "written.onnx")
    options.log_severity_level = 3  # it warns that such a file is for this machine
    run = run_replaced(model(), {"k": lambda A: A @ W3}, session_options=options)
    assert (tmp_path / "written.onnx").exists()
    assert np.array_equal(run(feed(3))["y"], expected(feed(3))["y"])


def with_default(ir_version: int = 8) -> Any:
    """Return x (s K W1) W3, and W2; s and W3 are inputs with defaults, and K is constant."""
    info, tensor = helper.make_tensor_value_info, numpy_helper.from_array
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["K", "W1"], ["m"], name="first"),
            helper.make_node("Mul", ["m", "s"], ["h"]),
            helper.make_node("MatMul", ["h", "W3"], ["k"], name="second"),
            helper.make_node("MatMul", ["x", "k"], ["y"]),
        ],
        "net",
        [
            info("x", TensorProto.FLOAT, ["n", 2]),
            info("s", TensorProto.FLOAT, []),
            info("W3", TensorProto.FLOAT, [24, 24]),
        ],
        [info("y", TensorProto.FLOAT, ["n", 24]), info("W2", TensorProto.FLOAT, [8, 24])],
        [
            tensor(array, name)
            for name, array in (
                ("K", W2[:2, :16]),
                ("W1", W1),
                ("W2", W2),
                ("W3", W3),
                ("s", np.float32(2)),
            )
        ],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 8)], ir_version=ir_version
    )


def test_defaults_are_overridden_and_constants_may_be_rows_or_outputs() -> None:
    made, x = with_default(), small(np.random.default_rng(3), 5, 2)
    assert [each.node for each in initialisers(made)] == ["first"]
    assert [each.node for each in initialisers(with_default(3))] == ["first", "second", "y"]
    A, B, _ = take(made, "first", {"x": x})
    assert np.array_equal(A, W2[:2, :16])
    run = run_replaced(made, {"first": lambda A: A @ B})
    for feed, scale, last in (
        ({}, 2, W3),
        ({"s": np.array(3, np.float32)}, 3, W3),
        ({"W3": W3.T.copy()}, 2, W3.T),
    ):
        found = run({"x": x, **feed})
        assert np.array_equal(found["y"], x @ (scale * (A @ B) @ last))
        assert np.array_equal(found["W2"], W2)
    with pytest.raises(
        ValueError, match="'W3', is not a constant: 'W3' is an input of the model, too"
    ):
        run_replaced(made, {"second": lambda A: A})


def test_models_that_are_too_large_for_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_LARGEST", 1000)
    with pytest.raises(ValueError, match="only models of less than 2 GB can be changed"):
        take(model(), "last", feed(1))
    with pytest.raises(ValueError, match="only models of less than 2 GB can be changed"):
        run_replaced(model(), {"last": lambda A: A})


def test_errors(tmp_path: Path) -> None:
    made = model()
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(ValueError, match=r"text.npz is no ONNX model"):
        initialisers(tmp_path / "text.npz")
    for feeds in (feed(1)["x"], [feed(1)["x"]]):
        with pytest.raises(TypeError, match=r"feeds must be mappings .*, not ndarray"):
            take(made, "first", feeds)
    with pytest.raises(TypeError, match="feeds must be mappings"):
        run_replaced(made, {})([feed(1)])  # type: ignore[arg-type]
    narrow = maddjit.compile(maddjit.fit_strassen_tile(W1[:, :9], tile=1))
    with pytest.raises(ValueError, match="must take 16 columns and return 24, not 16 and 9"):
        run_replaced(made, {"first": narrow})
    with pytest.raises(ValueError, match="'y2', is not a constant: it depends on 'y2', an input"):
        take(made, "unknown", feed(1))
    with pytest.raises(ValueError, match="is a Relu, not a MatMul"):
        run_replaced(made, {"h": lambda A: A})
    with pytest.raises(ValueError, match="no node 'middle'; products are first, k, last, unknown"):
        take(made, "middle", feed(1))
    with pytest.raises(ValueError, match="feeds must not be empty"):
        take(made, "first", [])
    made.graph.node[8].attribute.append(helper.make_attribute("transA", 1))
    with pytest.raises(ValueError, match="transposed"):
        take(made, "last", feed(1))
    assert [each.node for each in initialisers(made)] == ["first", "k"]
