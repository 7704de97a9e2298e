"""ONNX: the node that a name means, and the matrix and bias of a MatMul or Gemm."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from maddjit.integrations.onnx.graph import (
    DOMAINS,
    Graph,
    constant,
    is_constant,
    why_not_constant,
    with_branches,
)

KINDS = ("MatMul", "Gemm")
"""The operators that are products."""

_INTEGERS = frozenset(
    {"MatMulInteger", "QLinearMatMul", "ConvInteger", "QLinearConv"}
    | {"QGemm", "MatMulInteger16", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"}
)
"""Products of integers; some of these operators are onnxruntime's own."""


@dataclass(frozen=True)
class Product:
    """The matrix and the bias of a MatMul or Gemm.

    Attributes
    ----------
    B : (D, M) float32
        The matrix, transposed and scaled as a Gemm's attributes say.
    bias : (M,) float32 or None
        A Gemm's bias, scaled as its attributes say.
    dtype : numpy.dtype
        The dtype of B in the graph.
    """

    B: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    dtype: np.dtype[Any]


def is_product(node: Any) -> bool:
    """Return whether a node is ONNX's own MatMul or Gemm."""
    return node.op_type in KINDS and node.domain in DOMAINS


def names_of_products(graph: Graph) -> dict[int, str]:
    """Return, by place, a name for each product of the graph itself that `find_node` takes.

    It is the node's own name if that means no other product or its output; else its output's name.
    """
    answering = _answering(graph)
    return {
        place: node.name if answering[node.name] == 1 else node.output[0]
        for place, node in enumerate(graph.nodes)
        if is_product(node)
    }


def find_node(graph: Graph, name: str) -> Any:
    """Return the node that has a name, or whose output has it.

    A product is preferred to other nodes; among these, a node's own name to its output's.

    Raises
    ------
    ValueError
        If there is no such node, if the name may mean several products, by their own names or by
        their outputs', or if the product is in a branch of another node.
    """
    answering = [node for node in graph.nodes if name and name in (node.name, *node.output)]
    products = [node for node in answering if is_product(node)]
    n_inner = _answering(graph)[name] - len(products)
    if len(products) + n_inner > 1:
        meant = [f"the {each.op_type} that makes {each.output[0]!r}" for each in products]
        meant += [f"{n_inner} in branches of other nodes"] if n_inner else []
        raise ValueError(
            f"{name!r} may mean {' or '.join(meant)}, because names of nodes and of outputs count "
            "alike: use a name that only one of them has, or give the nodes names of their own"
        )
    if n_inner:
        raise ValueError(
            f"{name!r} is in a branch of an If, Loop or Scan, and only products of the graph "
            "itself can be taken and replaced"
        )
    if products:
        return products[0]
    if answering:
        return next((node for node in answering if node.name == name), answering[0])
    known = ", ".join(names_of_products(graph).values())
    others = f"products are {known}" if known else "there are no products in this graph"
    raise ValueError(f"there is no node {name!r}; {others}")


def product_of(node: Any, graph: Graph) -> Product:
    """Return what a node multiplies by and adds.

    Raises
    ------
    ValueError
        If the node is not a product of real numbers, if its B is not a constant matrix, if its A is
        transposed, or if what a Gemm adds is not one constant row.
    """
    name = node.name or node.output[0]
    if not is_product(node):
        raise ValueError(f"{name!r} is a {_kind(node)}, {_why_not(node)}")
    if is_constant(graph, node.input[0]) and not is_constant(graph, node.input[1]):
        raise ValueError(
            f"the constant of {name!r}, {node.input[0]!r}, is on the left, and only right-hand "
            "sides can be replaced: export the model with both sides transposed"
        )
    given = _constant(node, 1, "right-hand side", graph)
    if given.ndim != 2:
        raise ValueError(f"the right-hand side of {name!r} must be a matrix, not {given.shape}")
    if node.op_type == "MatMul":
        return Product(_scaled(given, 1.0), None, given.dtype)
    options = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    if options.get("transA", 0):
        raise ValueError(
            f"the left-hand side of {name!r} is transposed (transA), which changes "
            "its rows: export the model with a Transpose before it"
        )
    B = _scaled(given.T if options.get("transB", 0) else given, options.get("alpha", 1.0))
    if len(node.input) < 3 or not node.input[2]:
        return Product(B, None, given.dtype)
    bias = _constant(node, 2, "bias", graph)
    if bias.ndim > 1 and bias.shape[:-1] != (1,) * (bias.ndim - 1):
        raise ValueError(f"the bias of {name!r} must be one row, not {bias.shape}")
    row = np.broadcast_to(bias.reshape(-1), (B.shape[1],))
    return Product(B, _scaled(row, options.get("beta", 1.0)), given.dtype)


def _scaled(array: NDArray[Any], scale: float) -> NDArray[np.float32]:
    """Return an array times a number, rounded once to float32."""
    if array.dtype != np.float64:
        array = array.astype(np.float32)
    scaled: NDArray[np.float32] = (array.dtype.type(scale) * array).astype(np.float32)
    return scaled


def _answering(graph: Graph) -> Counter[str]:
    """Return how many products each name may mean, those in branches included."""
    return Counter(
        name
        for node in with_branches(graph.nodes)
        if is_product(node)
        for name in {node.name, *node.output} - {""}
    )


def _constant(node: Any, place: int, what: str, graph: Graph) -> NDArray[Any]:
    """Return the value of a node's input, which must be constant and of real numbers."""
    name, called = node.input[place], node.name or node.output[0]
    if not is_constant(graph, name):
        raise ValueError(
            f"the {what} of {called!r}, {name!r}, is not a constant: "
            f"{why_not_constant(graph, name)}"
        )
    array = constant(graph, name)
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        raise ValueError(
            f"the {what} of {called!r}, {name!r}, is of {array.dtype}, and operators stand for "
            "products of real numbers: leave it to onnxruntime, or replace it in a model that "
            "multiplies floating-point matrices"
        )
    return array


def _kind(node: Any) -> str:
    """Return the node's operator, with its domain if that is not ONNX's own."""
    return str(node.op_type) if node.domain in DOMAINS else f"{node.domain}::{node.op_type}"


def _why_not(node: Any) -> str:
    """Return why an operator does not count as a product."""
    if node.op_type in _INTEGERS:
        return (
            "a product of integers, and operators stand for products of real numbers, a MatMul or "
            "Gemm: replace it in the model as it was before it was quantised"
        )
    if node.domain not in DOMAINS:
        return (
            "which is not of ONNX's own operators, and only their MatMul and Gemm can be "
            "replaced: use the model as it was before a runtime rewrote it"
        )
    return "not a MatMul or Gemm"
