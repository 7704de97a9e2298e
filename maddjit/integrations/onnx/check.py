"""ONNX: does the graph with exact products in it answer as the original does?"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from maddjit.integrations.agreement import ReplacementError, check_same
from maddjit.integrations.onnx.given import apply
from maddjit.integrations.onnx.graph import DOMAINS, Graph, constant, is_constant
from maddjit.integrations.onnx.products import Product
from maddjit.integrations.onnx.sessions import plain
from maddjit.integrations.onnx.stages import Replaced, Replacements, run_stages, stages
from maddjit.learning.accuracy import AccuracyWarning

_ROWS = 256
"""As many rows of each product are compared: a wrong matrix is wrong in every row."""

_ERRORS = 64
"""As many outputs are needed to tell a wrong bias from an operator's errors."""

_DOUBLES = 13
"""A set of ONNX's operators that has MatMul and Gemm of float64."""

_REMEDY = "leave these nodes to onnxruntime, or pass check=False if you know why"


def check_product(
    name: str, node: Any, product: Product, A: NDArray[Any], inputs: Sequence[NDArray[Any]]
) -> None:
    """Compare B and bias, as they were taken, with what the graph's node itself says.

    onnxruntime runs the node in float64 on what reaches it, B and C as the graph computes them:
    attributes, scales and zero points have then been applied by ONNX's definition, not by us.

    The bound: B and bias are the graph's numbers, times alpha or beta, rounded once to float32.
    With u = 2⁻²⁴ each entry is off by u of itself at most, or by 2⁻¹⁵⁰ if it is denormal, so an
    output is off by u · (|A| |B| + |bias|) + 2⁻¹⁵⁰ · (Σ|A| + 1) at most. Sums in float64 add
    (D + 3) · 2⁻⁵³ of the same on either side, together less than .01 u up to D = 2²¹. Twice that
    is allowed for the rounding of the bound itself.

    Parameters
    ----------
    name : str
    node : onnx.NodeProto
    product : Product
    A : (…, D) array
        What reaches the node.
    inputs : sequence of array
        Its others, B and C.

    Raises
    ------
    ReplacementError
    """
    rows = A.reshape(-1, len(product.B))[:_ROWS].astype(np.float64)
    B, bias = product.B.astype(np.float64), product.bias
    with np.errstate(all="ignore"):
        found, size = rows @ B, np.abs(rows) @ np.abs(B)
        if bias is not None:
            found, size = found + bias, size + np.abs(bias)
        bound = 1.02 * 2.0**-24 * size + 2.0**-149 * (np.abs(rows).sum(1, keepdims=True) + 1)
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
    answer: NDArray[np.float64] = plain(model).run(["Y"], feed)[0]
    return answer


def check_answers(replaced: Replaced, graph: Graph, A: NDArray[Any]) -> None:
    """Refuse an operator whose bias is wrong, and warn of one that is worse than zeros.

    A bias is wrong if it is left out of a Gemm, or is what an Add after the product adds again.
    The operator's errors e are its outputs less exact ones, N · M of them; s is the bias, negative
    if it is left out, once for each row. It is refused if |e − s|² < |e|²/4: then e and s have a
    correlation above √3/2, of which errors that are independent of s have about 1/√(N · M); it is
    7 times that for the 64 that are asked for. Errors that are larger than the bias hide it.

    Operators that are swapped, transposed or scaled have errors larger than the product itself. So
    may a right one on rows unlike those that it was fitted to, hence a warning.
    """
    product = replaced.product
    rows = A.reshape(-1, len(product.B))[:_ROWS]
    rows = rows[np.isfinite(rows).all(axis=1)]
    if len(rows) * product.B.shape[1] < _ERRORS:
        return
    with np.errstate(all="ignore"):
        exact = rows.astype(np.float64) @ product.B + (0 if product.bias is None else product.bias)
        errors = apply(replaced, rows).astype(np.float64) - exact
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
    """Return rows by which an operator is off if its bias is wrong, by what is wrong then."""
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


def checker(
    graph: Graph, replaced: Replacements, stored: Mapping[str, Any], options: Any
) -> Callable[[Mapping[str, Any]], bool]:
    """Return a function that compares the cut graph with the original on a feed.

    Both are run node by node, without onnxruntime's rewriting, which would round otherwise on
    either side of a cut. In the place of each operator stands its exact product: it is compared
    with the original's by `check_product`, and the original's bits are handed on. Every other node
    then does the same to the same bits in both, so rows and outputs must be equal.

    The function raises ReplacementError if anything differs, and returns whether there were rows.
    """
    outputs = [each.name for each in graph.proto.graph.output]
    parts = stages(graph.proto, replaced, options, plain)
    cut = {name for part in parts for name in part.inputs} | {*replaced}
    watched = _rounded(graph, cut | {each.source for each in replaced.values()})
    seen = {}
    for name in dict.fromkeys(x for each in replaced.values() for x in _tensors(each.node)):
        seen[name] = f"{name}, watched"
        watched.graph.node.append(helper.make_node("Identity", [name], [seen[name]]))
        watched.graph.output.append(helper.make_empty_tensor_value_info(seen[name]))
    original = plain(watched, options)

    def ask(feed: Mapping[str, Any]) -> dict[str, Any]:
        answers = original.run([*outputs, *seen.values()], dict(feed))
        return dict(zip([*outputs, *seen], answers, strict=True))

    def check(feed: Mapping[str, Any]) -> bool:
        before = ask(feed)
        counted = [before[each.source].size for each in replaced.values()]

        def answer(output: str, A: NDArray[Any]) -> NDArray[Any]:
            each = replaced[output]
            check_same(f"what reaches {each.name!r}", before[each.source], A, remedy=_REMEDY)
            others = [before[x] for x in each.node.input[1:] if x]
            check_product(each.name, each.node, each.product, A, others)
            check_answers(each, graph, A)
            y: NDArray[Any] = before[output]
            return y

        try:
            after = run_stages(parts, {**stored, **feed}, replaced, answer)
            for name in outputs:
                _check_output(f"the output {name!r}", before[name], after[name])
        except ReplacementError as error:
            again = ask(feed)
            try:
                for name, value in before.items():
                    _check_output(name, value, again[name])
            except ReplacementError:
                raise ReplacementError(
                    "the model does not answer alike when it is asked the same twice, so it "
                    "cannot be compared with the one that has operators in it: pass check=False"
                ) from error
            raise
        return all(counted)

    return check


def _rounded(graph: Graph, names: set[str]) -> Any:
    """Return a copy of the model in which these tensors really have the type that they should have.

    What onnxruntime computes in float32 for want of kernels for float16, it hands on in float32 if
    it can. Across a cut it cannot, nor across an Identity.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(graph.proto)
    del copy.graph.node[:]
    for node in graph.nodes:
        own = copy.graph.node.add()
        own.CopyFrom(node)
        for place, name in enumerate(node.output):
            if name in names:
                own.output[place] = f"{name}, unrounded"
                copy.graph.node.append(helper.make_node("Identity", [own.output[place]], [name]))
    return copy


def _tensors(node: Any) -> list[str]:
    """Return the names of a product's A, B, C and result."""
    return [*(name for name in node.input if name), node.output[0]]


def _check_output(what: str, before: Any, after: Any) -> None:
    if isinstance(before, list):  # a sequence of tensors, or of maps
        check_same(f"the length of {what}", len(before), len(after), remedy=_REMEDY)
        for place, (one, other) in enumerate(zip(before, after, strict=True)):
            _check_output(f"{what}, [{place}]", one, other)
    else:
        check_same(what, before, after, remedy=_REMEDY)
