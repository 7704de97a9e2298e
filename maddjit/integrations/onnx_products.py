"""ONNX: the matrices of a file, and what a MatMul or Gemm multiplies by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

KINDS = ("MatMul", "Gemm")
_WITH_DEFAULTS = 4
"""IR version from which on an initialiser that is an input, too, is a default."""


def defaults(proto: Any) -> set[str]:
    """Return the names of initialisers that feeds may override."""
    if proto.ir_version < _WITH_DEFAULTS:
        return set()
    return {each.name for each in proto.graph.initializer} & {
        each.name for each in proto.graph.input
    }


def constants(proto: Any) -> dict[str, Any]:
    """Return the tensors that are the same for all feeds, by name."""
    free = defaults(proto)
    found = {each.name: each for each in proto.graph.initializer if each.name not in free}
    for node in proto.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            found[node.output[0]] = node.attribute[0].t
    return found


def name_of(node: Any) -> str:
    """Return a node's name, or that of its output if it has none."""
    return str(node.name or node.output[0])


def matrix(node: Any, known: Mapping[str, Any]) -> NDArray[np.float32]:
    """Return B (D, M) of a node, transposed and scaled as a Gemm's attributes say.

    Raises
    ------
    ValueError
        If it is no product, B is not a constant matrix, or A is transposed.
    """
    name = name_of(node)
    if node.op_type not in KINDS:
        raise ValueError(f"{name!r} is a {node.op_type}, not a MatMul or Gemm")
    B = _constant(node, 1, "right-hand side", known)
    if B.ndim != 2:
        raise ValueError(f"the right-hand side of {name!r} must be a matrix, not {B.shape}")
    if node.op_type == "MatMul":
        return B
    options = _options(node)
    if options.get("transA", 0):
        raise ValueError(f"the left-hand side of {name!r} is transposed (transA): its rows change")
    return np.float32(options.get("alpha", 1.0)) * (B.T if options.get("transB", 0) else B)


def right_hand_side(
    node: Any, known: Mapping[str, Any]
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Return B (D, M) and the bias of a node; errors are those of `matrix`, and for the bias."""
    B = matrix(node, known)
    if node.op_type == "MatMul" or len(node.input) < 3 or not node.input[2]:
        return B, None
    bias = _constant(node, 2, "bias", known)
    if bias.ndim > 1 and bias.shape[:-1] != (1,) * (bias.ndim - 1):
        raise ValueError(f"the bias of {name_of(node)!r} must be one row, not {bias.shape}")
    bias = np.broadcast_to(bias.reshape(-1), (B.shape[1],))
    return B, np.float32(_options(node).get("beta", 1.0)) * bias


def _constant(node: Any, place: int, what: str, known: Mapping[str, Any]) -> NDArray[np.float32]:
    name = node.input[place]
    if name not in known:
        raise ValueError(
            f"the {what} of {name_of(node)!r}, {name!r}, is not a constant of the graph, or is an "
            "input, too, which feeds may override"
        )
    array: NDArray[np.float32] = numpy_helper.to_array(known[name]).astype(np.float32)
    return array


def _options(node: Any) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}
