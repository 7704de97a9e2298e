"""ONNX: check a product that was taken from a graph, and the operator that stands for it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from maddjit.arrays.formats import UNIT_ROUNDOFF
from maddjit.integrations.agreement import ReplacementError, check_same
from maddjit.integrations.onnx.given import outputs_of
from maddjit.integrations.onnx.graph import DOMAINS, Graph, constant, is_constant
from maddjit.integrations.onnx.products import Product
from maddjit.integrations.onnx.sessions import unfused_session
from maddjit.integrations.onnx.stages import Replaced
from maddjit.learning.accuracy import AccuracyWarning

_ROWS = 256
"""The number of rows of each product that are compared: a wrong matrix is wrong in every row."""

_ERRORS = 64
"""The number of outputs that are needed to tell a wrong bias from an operator's errors."""

_DOUBLES = 13
"""A version of ONNX's operators in which MatMul and Gemm take float64."""


def check_product(
    name: str, node: Any, product: Product, A: NDArray[Any], inputs: Sequence[NDArray[Any]]
) -> None:
    """Compare the B and bias that were taken from a node with what the node itself computes.

    onnxruntime runs the node in float64 on what reaches it, with B and C as the graph computes
    them. ONNX's own definition has then applied attributes, scales and zero points, not this code.

    The bound: B and bias are the graph's numbers, times alpha or beta, rounded once to float32.
    With u = 2⁻²⁴ each entry is off by at most u times itself, or by 2⁻¹⁵⁰ if it is denormal. So an
    output is off by at most u · (|A| |B| + |bias|) + 2⁻¹⁵⁰ · (Σ|A| + 1). On each side, sums in
    float64 add (D + 3) · 2⁻⁵³ · (|A| |B| + |bias|), together less than .01 u of it up to D = 2²¹.
    Twice that is allowed, for the rounding of the bound itself.

    Parameters
    ----------
    name : str
        What errors call the node.
    node : onnx.NodeProto
        A MatMul or Gemm.
    product : Product
        What was taken from it.
    A : (…, D) array
        What reaches the node.
    inputs : sequence of array
        The node's other inputs, B and C.

    Raises
    ------
    ReplacementError
        If an output differs by more than the bound.
    """
    rows = A.reshape(-1, len(product.B))[:_ROWS].astype(np.float64)
    B, bias = product.B.astype(np.float64), product.bias
    with np.errstate(all="ignore"):
        found, size = rows @ B, np.abs(rows) @ np.abs(B)
        if bias is not None:
            found, size = found + bias, size + np.abs(bias)
        bound = 1.02 * UNIT_ROUNDOFF * size + 2.0**-149 * (np.abs(rows).sum(1, keepdims=True) + 1)
    check_same(
        f"the product {name!r}",
        _in_float64(node, [rows, *inputs]),
        found,
        np.nan_to_num(bound, nan=0.0),
        "its matrix cannot be taken: leave it to onnxruntime",
    )


def _in_float64(node: Any, inputs: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Return what a MatMul or Gemm gives for inputs that are converted to float64."""
    names = ["A", "B", "C"][: len(inputs)]
    kinds = [helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, None) for name in names]
    alone = helper.make_node(node.op_type, names, ["Y"])
    alone.attribute.extend(each for each in node.attribute if each.name != "broadcast")
    graph = helper.make_graph([alone], "product", kinds, [helper.make_empty_tensor_value_info("Y")])
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _DOUBLES)], ir_version=7
    )
    feed = {n: np.asarray(x).astype(np.float64) for n, x in zip(names, inputs, strict=True)}
    answer: NDArray[np.float64] = unfused_session(model).run(["Y"], feed)[0]
    return answer


def check_operator_bias(replaced: Replaced, graph: Graph, A: NDArray[Any]) -> None:
    """Refuse an operator whose bias is wrong, and warn of one that is worse than zeros.

    A bias is wrong if it is left out of a Gemm, or is what an Add after the product adds again.
    The operator's errors e are its N · M outputs less the exact ones; s is the bias, negative if it
    is left out, once for each row. The operator is refused if |e − s|² < |e|²/4: then e and s have
    a correlation above √3/2. Errors that are independent of s have one of about 1/√(N · M), which
    is 7 times less for the 64 outputs that are asked for. Errors larger than the bias hide it.

    Operators that are swapped, transposed or scaled have errors larger than the product itself. A
    right operator may have them, too, on rows unlike those that it was fitted to. So this is only a
    warning.

    Raises
    ------
    ReplacementError
        If the bias is wrong.

    Warns
    -----
    AccuracyWarning
        If the operator's errors are larger than the product.
    """
    product = replaced.product
    rows = A.reshape(-1, len(product.B))[:_ROWS]
    rows = rows[np.isfinite(rows).all(axis=1)]
    if len(rows) * product.B.shape[1] < _ERRORS:
        return
    with np.errstate(all="ignore"):
        exact = rows.astype(np.float64) @ product.B + (0 if product.bias is None else product.bias)
        errors = outputs_of(replaced, rows).astype(np.float64) - exact
        size = np.square(errors).sum()
        for what, shift in _shifts(replaced.node, graph, product).items():
            if np.square(errors - shift).sum() < size / 4:
                raise ReplacementError(f"the operator for {replaced.name!r} {what}")
        if size > np.square(exact).sum():
            warnings.warn(
                f"the operator for {replaced.name!r} is further from the product than zeros are, "
                "on the rows that reach it: either it was made for another node or matrix, or "
                "these rows are unlike those that it was fitted to",
                AccuracyWarning,
                stacklevel=2,
            )


def _shifts(node: Any, graph: Graph, product: Product) -> dict[str, NDArray[np.float32]]:
    """Return the row (M,) by which each wrong bias shifts outputs, by its fault in words."""
    found = {}
    if product.bias is not None:
        what = "leaves out the bias of the Gemm: fit with bias=, as `take` returned it"
        found[what] = -product.bias
    for after in graph.nodes:
        if after.op_type == "Add" and after.domain in DOMAINS and node.output[0] in after.input:
            others = [name for name in after.input if name != node.output[0]]
            row = constant(graph, others[0]) if others and is_constant(graph, others[0]) else None
            if row is not None and row.size in (1, product.B.shape[1]):
                what = f"adds what {after.name or after.output[0]!r} adds again: fit without bias="
                found[what] = row.astype(np.float32).reshape(-1)
    return found
