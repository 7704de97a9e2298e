"""ONNX: matrices behind constant expressions are found, what cannot be replaced is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from onnx import TensorProto, helper, numpy_helper

from maddjit.integrations.onnx import initialisers, run_replaced, stages, take
from tests.integrations.onnx.graphs import model_of, node, small

X, W = small((9, 6)), small((6, 4), 1)
CODES, ZEROS = small((6, 4), 2, np.int8), np.array([0, 1, -1, 2], np.int8)
SCALES = np.array([0.5, 2.0, 0.1, 0.3], np.float32)
DEQUANTISED = (CODES - ZEROS).astype(np.float32) * SCALES  # ONNX: integers, then one product


def tensor(array: Any) -> Any:
    return numpy_helper.from_array(np.asarray(array))


def branch(name: str, array: Any) -> Any:
    own = node("Constant", [], [name], value=tensor(array))
    info = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    return helper.make_graph([own], name, [], [info])


CHAINS: dict[str, tuple[list[Any], dict[str, Any], Any]] = {
    "dequantised by column": (
        [node("DequantizeLinear", ["Q", "s", "z"], ["B"], axis=1)],
        {"Q": CODES, "s": SCALES, "z": ZEROS},
        DEQUANTISED,
    ),
    "dequantised by row and turned": (
        [
            node("DequantizeLinear", ["Q", "s", "z"], ["D"], axis=0),
            node("Transpose", ["D"], ["B"], perm=[1, 0]),
        ],
        {"Q": CODES.T.copy(), "s": SCALES, "z": ZEROS},
        DEQUANTISED,
    ),
    "onnxruntime's own dequantising": (
        [node("DequantizeLinear", ["Q", "s", "z"], ["B"], domain="com.microsoft")],
        {"Q": CODES, "s": SCALES[0], "z": ZEROS[1]},
        (CODES - 1).astype(np.float32) * SCALES[0],
    ),
    "from half": (
        [node("Cast", ["H"], ["C"], to=TensorProto.FLOAT), node("Identity", ["C"], ["B"])],
        {"H": W.astype(np.float16)},
        W,
    ),
    "reshaped": (
        [
            node("Constant", [], ["flat"], value_ints=[1, 4, 6]),
            node("Reshape", ["F", "flat"], ["R"]),
            node("Constant", [], ["first"], value=tensor(np.array([0]))),
            node("Squeeze", ["R", "first"], ["S"]),
            node("Unsqueeze", ["S", "first"], ["U"]),
            node("Transpose", ["U"], ["T"], perm=[0, 2, 1]),
            node("Squeeze", ["T", "first"], ["B"]),
        ],
        {"F": W.T.reshape(-1)},
        W,
    ),
    "a constant of numbers": (
        [
            node("Constant", [], ["F"], value_floats=W.reshape(-1).tolist()),
            node("Reshape", ["F", "shape"], ["B"]),
        ],
        {"shape": np.array([6, 4])},
        W,
    ),
    "one of two branches": (
        [
            node("Constant", [], ["on"], value=tensor(np.array(True))),
            node("If", ["on"], ["B"], then_branch=branch("t", W), else_branch=branch("e", -W)),
        ],
        {},
        W,
    ),
    "one of two halves": (
        [node("Split", ["both"], ["other", "B"], axis=1, num_outputs=2)],
        {"both": np.hstack([W + 1, W])},
        W,
    ),
}


@pytest.mark.parametrize("chain", CHAINS)
def test_matrices_behind_constant_expressions(chain: str) -> None:
    nodes, weights, wanted = CHAINS[chain]
    made = model_of([*nodes, node("MatMul", ["x", "B"], ["y"], "mm")], weights)
    (known,) = initialisers(made)
    assert (known.node, known.weight, known.shape) == ("mm", "B", (6, 4))
    A, B, bias = take(made, "mm", {"x": X})
    assert np.array_equal(A, X)
    assert np.array_equal(B, wanted)
    assert bias is None
    run = run_replaced(made, {"mm": lambda A: A @ B})
    assert np.array_equal(run({"x": X})["y"], X @ wanted)


def test_gemm_by_a_chain_and_an_add_after_a_matmul() -> None:
    nodes = [
        node("DequantizeLinear", ["Q", "s"], ["D"]),
        node("Cast", ["c"], ["C"], to=TensorProto.FLOAT),
        node("Gemm", ["x", "D", "C"], ["h"], "gemm", transB=1, alpha=0.25, beta=-3.0),
        node("MatMul", ["h", "V"], ["k"], "mm"),
        node("Add", ["C", "k"], ["y"]),
    ]
    weights = {"Q": CODES.T.copy(), "s": np.float32(2), "c": ZEROS, "V": small((4, 4), 3)}
    made, V = model_of(nodes, weights), weights["V"]
    _, B, bias = take(made, "gemm", {"x": X})
    assert np.array_equal(B, CODES / np.float32(2))
    assert bias is not None
    assert np.array_equal(bias, -3.0 * ZEROS)
    run = run_replaced(made, {"gemm": lambda A: A @ B + bias, "mm": lambda A: A @ V})
    assert np.array_equal(run({"x": X})["y"], (X @ B + bias) @ V + ZEROS)


def test_stages_have_the_constants_that_they_need_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nodes = [
        node("Cast", ["H1"], ["B1"], to=TensorProto.FLOAT),
        node("Cast", ["H2"], ["B2"], to=TensorProto.FLOAT),
        node("MatMul", ["x", "B1"], ["h"], "first"),
        node("MatMul", ["h", "B2"], ["y"], "second"),
    ]
    square = small((6, 6), 4)
    made = model_of(nodes, {"H1": square.astype(np.float16), "H2": W.astype(np.float16)})
    parts = []
    monkeypatch.setattr(
        "maddjit.integrations.onnx.replacing.cut_into_stages",
        lambda *given: parts.extend(stages.cut_into_stages(*given)) or parts,
    )
    run = run_replaced(made, {"first": lambda A: A @ square})
    assert np.array_equal(run({"x": X})["y"], X @ square @ W)
    assert [(part.replaced, part.inputs, part.outputs) for part in parts] == [
        ([], [], []),
        (["h"], ["h"], ["y"]),
    ]


def test_what_varies_is_not_constant() -> None:
    drawn = node("RandomNormalLike", ["W"], ["noise"])
    noisy = [drawn, node("Add", ["W", "noise"], ["B"]), node("MatMul", ["x", "B"], ["y"], "mm")]
    made = model_of(noisy, {"W": W})
    assert initialisers(made) == []
    with pytest.raises(ValueError, match="'B', is not a constant: it depends on a RandomNormalL"):
        take(made, "mm", {"x": X})
    made = model_of([node("Neg", ["W"], ["B"]), noisy[-1]], {"W": W})
    made.graph.input.append(helper.make_tensor_value_info("W", TensorProto.FLOAT, [6, 4]))
    with pytest.raises(ValueError, match="'W' is an input of the model, too, so feeds may over"):
        take(made, "mm", {"x": X})
    assert np.array_equal(run_replaced(made, {})({"x": X, "W": -W})["y"], X @ W)


@pytest.mark.parametrize(
    ("last", "weights", "kind", "reason"),
    [
        (node("MatMul", ["x", "W"], ["y"], "n"), {"W": W.astype(np.int32)}, 6, "is of int32, and"),
        (node("MatMulInteger", ["x", "W"], ["y"], "n"), {"W": CODES}, 3, "product of integers"),
        (
            node("FusedMatMul", ["x", "W"], ["y"], "n", domain="com.microsoft"),
            {"W": W},
            1,
            "is a com.microsoft::FusedMatMul, which is not of ONNX's own operators",
        ),
        (
            node("MatMul", ["x", "W"], ["y"], "n", domain="com.example"),
            {"W": W},
            1,
            "is a com.example::MatMul, which is not of ONNX's own operators",
        ),
        (node("MatMul", ["x", "W"], ["y"], "n"), {"W": W[np.newaxis]}, 1, "must be a matrix, not"),
        (
            node("MatMul", ["W", "x"], ["y"], "n"),
            {"W": W.T.copy()},
            1,
            "the constant of 'n', 'W', is on the left",
        ),
    ],
)
def test_other_products_are_refused_by_name(
    last: Any, weights: dict[str, Any], kind: int, reason: str
) -> None:
    made = model_of([last], weights, kind=kind)
    assert initialisers(made) == []
    rows = X.astype(helper.tensor_dtype_to_np_dtype(kind))
    for refused in (
        lambda: take(made, "n", {"x": rows}),
        lambda: run_replaced(made, {"n": lambda A: A}),
    ):
        with pytest.raises(ValueError, match=reason) as raised:
            refused()
        assert "'n'" in str(raised.value)


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (node("Unpack", ["W"], ["B"], domain="com.example"), "by Unpack, which onnxruntime cannot"),
        (node("Cast", ["W"], ["B"], to=TensorProto.BFLOAT16), "by Cast, which onnxruntime cannot"),
    ],
)
def test_an_expression_that_onnxruntime_cannot_compute(first: Any, reason: str) -> None:
    made = model_of([first, node("MatMul", ["x", "B"], ["y"], "mm")], {"W": W})
    assert initialisers(made) == []
    with pytest.raises(ValueError, match=f"'B' is computed from constants {reason}"):
        take(made, "mm", {"x": X})


def test_weights_in_files_of_their_own(tmp_path: Path) -> None:
    path, data = tmp_path / "net.onnx", tmp_path / "net.data"
    made = model_of([node("MatMul", ["x", "W"], ["y"], "mm")], {"W": W})
    onnx.save(made, path, save_as_external_data=True, location=data.name, size_threshold=0)
    assert np.array_equal(take(path, "mm", {"x": X})[1], W)
    unread = onnx.load(path, load_external_data=False)
    for refused in (
        lambda: take(unread, "mm", {"x": X}),
        lambda: run_replaced(unread, {"mm": lambda A: A @ W}),
        lambda: run_replaced(unread, {}),
    ):
        with pytest.raises(ValueError, match=r"'W' are in a file beside the model .* not loaded"):
            refused()
    data.unlink()
    with pytest.raises((ValueError, OSError), match=r"net\.data"):
        take(path, "mm", {"x": X})
