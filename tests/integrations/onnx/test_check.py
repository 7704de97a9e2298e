"""ONNX: the cut graph is compared with the original; what callers hand in is checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from onnx import helper

import maddjit
from maddjit.integrations.agreement import ReplacementError
from maddjit.integrations.onnx import products, replacing, run_replaced, stages, take, taking
from maddjit.integrations.onnx.given import outputs_of
from maddjit.learning.accuracy import AccuracyWarning
from tests.integrations.onnx.graphs import model_of, node, small

X, W, V, C = (
    np.random.default_rng(i).standard_normal(s).astype(np.float32)
    for i, s in enumerate([(40, 12), (12, 6), (6, 5), (5,)])
)
NODES = [
    node("MatMul", ["x", "W"], ["h"], "first"),
    node("LayerNormalization", ["h", "g"], ["n"]),
    node("Gemm", ["n", "V", "C"], ["y"], "last", alpha=0.3, beta=1.7),
    node("Softmax", ["y"], ["p"]),
]
WEIGHTS = {"W": W, "V": V, "C": C, "g": small((6,), 5)}


def net(dtype: Any = np.float32) -> Any:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    weights = {name: array.astype(dtype) for name, array in WEIGHTS.items()}
    return model_of(NODES, weights, ["p", "h"], kind=kind)


def exact(made: Any, name: str, feed: Any) -> Any:
    _, B, bias = take(made, name, feed)
    return lambda A: A @ B + (0 if bias is None else bias)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_numbers_of_any_width_agree(dtype: Any) -> None:
    made, feed = net(dtype), {"x": X.astype(dtype)}
    operators = {name: exact(made, name, feed) for name in ("first", "last")}
    found = run_replaced(made, operators, sample=feed)(feed)
    assert [array.dtype for array in found.values()] == [dtype, dtype]


def test_a_wrong_matrix_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def off(node: Any, graph: Any) -> Any:
        true = products.product_of(node, graph)
        B = true.B.copy()
        B[3, 2] *= np.float32(1 + 2.0**-18)  # 64 roundings
        return replace(true, B=B)

    for module in (taking, replacing):
        monkeypatch.setattr(module, "product_of", off)
    said = "with its exact product in place, the product 'last' differs from the original"
    with pytest.raises(ReplacementError, match=said):
        take(net(), "last", {"x": X})
    with pytest.raises(ReplacementError, match=said):
        run_replaced(net(), {"last": lambda A: A @ V}, sample={"x": X})
    run = run_replaced(net(), {"last": lambda A: A @ V})
    for _ in range(2):  # it does not become right by asking again
        with pytest.raises(ReplacementError, match=said):
            run({"x": X})


@pytest.mark.parametrize(
    ("place", "said"), [(1, "what reaches 'last' differs"), (3, "the output 'p' differs")]
)
def test_a_graph_that_is_cut_wrongly_is_found(
    place: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(proto: Any, *given: Any) -> Any:
        other = onnx.ModelProto()
        other.CopyFrom(proto)
        old = proto.graph.node[place]
        other.graph.node[place].CopyFrom(node("Identity", old.input[:1], old.output))
        return stages.cut_into_stages(other, *given)

    monkeypatch.setattr("maddjit.integrations.onnx.comparison.cut_into_stages", wrong)
    with pytest.raises(ReplacementError, match=said):
        run_replaced(net(), {"last": exact(net(), "last", {"x": X})}, sample={"x": X})


def test_the_first_rows_are_compared_and_no_later_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []
    compare = stages.run_stages
    monkeypatch.setattr(
        "maddjit.integrations.onnx.comparison.run_stages",
        lambda *given: checked.append(len(given[1]["x"])) or compare(*given),
    )
    operators = {"last": exact(net(), "last", {"x": X})}
    run = run_replaced(net(), operators)
    for rows in (X[:0], X[:3], X, X[:2]):
        run({"x": rows})
    assert checked == [0, 3]
    run_replaced(net(), operators, sample={"x": X})({"x": X[:2]})
    assert checked == [0, 3, 40]
    run_replaced(net(), operators, check=False)({"x": X})
    assert checked == [0, 3, 40]
    with pytest.raises(ValueError, match="sample must have rows that reach every replaced node"):
        run_replaced(net(), operators, sample={"x": X[:0]})


def test_options_are_left_as_they_were() -> None:
    options = onnxruntime.SessionOptions()
    level = options.graph_optimization_level
    run_replaced(net(), {"first": lambda A: A @ W}, session_options=options, sample={"x": X})
    assert options.graph_optimization_level == level


def test_random_models_cannot_be_compared() -> None:
    nodes = [
        node("MatMul", ["x", "W"], ["h"], "mm"),
        node("RandomNormalLike", ["h"], ["noise"]),
        node("Add", ["h", "noise"], ["y"]),
    ]
    made = model_of(nodes, {"W": W})
    with pytest.raises(ReplacementError, match="does not answer alike when it is asked the same"):
        run_replaced(made, {"mm": lambda A: A @ W}, sample={"x": X})
    found = run_replaced(made, {"mm": lambda A: A @ W}, check=False)({"x": X})
    assert found["y"].shape == (40, 6)


def test_sequences_are_compared() -> None:
    nodes = [
        node("MatMul", ["x", "W"], ["h"], "mm"),
        node("SplitToSequence", ["h"], ["y"], axis=1, keepdims=0),
    ]
    made = model_of(nodes, {"W": W})
    found = run_replaced(made, {"mm": lambda A: A @ W}, sample={"x": X})({"x": X})["y"]
    assert np.array_equal(np.stack(found, 1), X @ W)


def test_a_bias_that_is_lost_or_added_twice() -> None:
    nodes = [
        node("Gemm", ["x", "W", "b"], ["h"], "gemm"),
        node("MatMul", ["h", "V"], ["k"], "mm"),
        node("Add", ["k", "C"], ["y"], "add"),
    ]
    weights = {"W": W, "b": small((6,), 8), "V": V, "C": C}
    made, sample = model_of(nodes, weights), {"x": X}
    A, B, bias = take(made, "gemm", sample)
    assert bias is not None
    noise = 0.1 * np.random.default_rng(0).standard_normal(A.shape[:1] + bias.shape)
    noise = noise.astype(np.float32)  # about that of an operator
    run_replaced(made, {"gemm": lambda A: A @ B + bias + noise[: len(A)]}, sample=sample)
    with pytest.raises(ReplacementError, match="'gemm' leaves out the bias of the Gemm: fit with"):
        run_replaced(made, {"gemm": lambda A: A @ B + noise}, sample=sample)
    run_replaced(made, {"mm": lambda A: A @ V}, sample=sample)
    with pytest.raises(ReplacementError, match="'mm' adds what 'add' adds again: fit without"):
        run_replaced(made, {"mm": lambda A: A @ V + C}, sample=sample)


def test_feeds_that_are_missing_or_of_another_kind() -> None:
    made = net()
    run = run_replaced(made, {"last": exact(made, "last", {"x": X})})
    for ask in (run, lambda feed: take(made, "last", feed)):
        with pytest.raises(ValueError, match=r"its name: 'x' is missing; they are 'x' \(float32\)"):
            ask({})
        with pytest.raises(ValueError, match="'x' is missing and 'z' is no input"):
            ask({"z": X})
        with pytest.raises(ValueError, match="'W' is no input"):
            ask({"x": X, "W": W})
        with pytest.raises(TypeError, match=r"'x' must be of float32, not float64: \.astype"):
            ask({"x": X.astype(float)})
        with pytest.raises(TypeError, match="'x' must be an array of float32, not list"):
            ask({"x": X.tolist()})


def test_rows_of_another_width() -> None:
    made = model_of([node("MatMul", ["x", "W"], ["y"], "mm")], {"W": W})
    run = run_replaced(made, {"mm": lambda A: A @ W}, check=False)
    for ask in (run, lambda feed: take(made, "mm", feed)):
        with pytest.raises(ValueError, match=r"reach 'mm' must have 12 columns, .* \(40, 6\)"):
            ask({"x": X[:, :6]})


def test_operators_that_cannot_stand_in_a_graph(tmp_path: Path) -> None:
    made = net()
    model = maddjit.fit(X, W, n_codebooks=2, validation=X)
    winners = maddjit.compile(maddjit.calibrate(model, X, W), result="argmax", coverage=0.5)
    winners.export(tmp_path, name="head")
    for operator, said in (
        (winners, 'returns the indices of winners, .* compile the model with result="outputs"'),
        (maddjit.native.load(tmp_path), "returns the indices of winners"),
        (model, r"a MaddnessModel, which must be compiled first: maddjit.compile\(model\)"),
        (maddjit.fit_strassen_tile(W, tile=1), "a StrassenTileModel, which must be compiled"),
        (W, r"must be callable, from \(N, 12\) to \(N, 6\), not a ndarray"),
    ):
        with pytest.raises(TypeError, match=said):
            run_replaced(made, {"first": operator})
    for answer, error, said in (
        (lambda A: (A @ W).T, ValueError, r"must return an array of shape \(40, 6\), not \(6, 40"),
        (lambda A: (A @ W).astype(np.int8), TypeError, "of floating-point numbers, not int8"),
        (lambda A: (A @ W).tolist(), TypeError, r"shape \(40, 6\), not list"),
    ):
        with pytest.raises(error, match=said):
            run_replaced(made, {"first": answer})({"x": X})


def test_operators_of_another_matrix_warn() -> None:
    made = model_of([node("MatMul", ["x", "S"], ["y"], "mm")], {"S": small((12, 12), 3)})
    S = small((12, 12), 3)
    for wrong in (S.T, 3 * S, S[::-1]):
        with pytest.warns(AccuracyWarning, match="'mm' is further from the product than zeros"):
            run_replaced(made, {"mm": lambda A, B=wrong: A @ B}, sample={"x": X})
    zeros = {"x": np.zeros_like(X)}  # to warm up
    run_replaced(made, {"mm": lambda A: A @ S}, sample=zeros)(zeros)


def test_rows_that_are_not_finite_are_not_looked_up() -> None:
    made = model_of([node("MatMul", ["x", "W"], ["y"], "mm")], {"W": W})
    op = maddjit.compile(maddjit.fit(X, W, n_codebooks=2, validation=X))
    rows = X.copy()
    rows[1, 2], rows[4, 0] = np.nan, np.inf
    y = run_replaced(made, {"mm": op})({"x": rows})["y"]
    assert np.isnan(y).all(axis=1).nonzero()[0].tolist() == [1, 4]
    kept = np.delete(np.arange(len(X)), [1, 4])
    assert np.array_equal(y[kept], op(X)[kept])


def test_operators_of_neighbouring_rows_are_told_the_sequences(tmp_path: Path) -> None:
    model = replace(maddjit.fit_strassen_tile(W, tile=2), rows="tokens")
    op = maddjit.compile(model)
    x = np.random.default_rng(0).standard_normal((3, 7, 12)).astype(np.float32)
    x[1, 6] = np.inf  # the last row of a sequence has a tile to itself
    operators: list[Any] = [op]
    if op.export(tmp_path).library:
        operators.append(maddjit.native.load(tmp_path))
    for operator in operators:
        replaced: Any = SimpleNamespace(name="it", product=SimpleNamespace(B=W), operator=operator)
        y = outputs_of(replaced, x)
        assert np.isnan(y[1, 6]).all()
        assert np.isfinite(y[2]).all()
        assert np.array_equal(y[2], op(x[2]))
        assert np.array_equal(outputs_of(replaced, x[0]), op(x[0]))


def test_models_and_operators_of_other_kinds() -> None:
    with pytest.raises(TypeError, match="operators must be a mapping of names of nodes to"):
        run_replaced(net(), [lambda A: A])
    with pytest.raises(TypeError, match=r"must be a path or an onnx\.ModelProto, not bytes"):
        take(net().SerializeToString(), "first", {"x": X})
