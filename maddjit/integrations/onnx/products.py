"""ONNX: which node a name means, and what a MatMul or Gemm multiplies by."""

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
    every,
    is_constant,
    why_not_constant,
)

KINDS = ("MatMul", "Gemm")

_INTEGERS = frozenset(
    {"MatMulInteger", "QLinearMatMul", "ConvInteger", "QLinearConv"}
    | {"QGemm", "MatMulInteger16", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"}
)
"""Products of integers, some of them of onnxruntime's own."""


@dataclass(frozen=True)
class Product:
    """The matrix and the bias of a MatMul or Gemm.

    Attributes
    ----------
    B : (D, M) float32
        Transposed and scaled as a Gemm's attributes say.
    bias : (M,) float32 or None
        A Gemm's, scaled, too.
    dtype : numpy.dtype
        That of B in the graph.
    """

    B: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    dtype: np.dtype[Any]


def is_product(node: Any) -> bool:
    """Tell whether a node is a MatMul or Gemm of ONNX's own."""
    return node.op_type in KINDS and node.domain in DOMAINS


def names_of_products(graph: Graph) -> dict[int, str]:
    """Return a name for each product of the graph itself, by its place: one that `find` takes.

    It is the node's own if no other product is called so, nor its output, else its output's.
    """
    answering = _answering(graph)
    return {
        place: node.name if answering[node.name] == 1 else node.output[0]
        for place, node in enumerate(graph.nodes)
        if is_product(node)
    }


def find(graph: Graph, name: str) -> Any:
    """Return the node that is called so, or whose output is.

    Products come before other nodes, and then names of nodes before names of outputs.

    Raises
    ------
    ValueError
        If there is none, if several products answer to the name, one by its own and one by its
        output's, or if the product is in a branch of another node.
    """
    answering = [node for node in graph.nodes if name and name in (node.name, *node.output)]
    products = [node for node in answering if is_product(node)]
    n_inner = _answering(graph)[name] - len(products)
    if len(products) + n_inner > 1:
        meant = [f"the {each.op_type} that makes {each.output[0]!r}" for each in products]
        meant += [f"{n_inner} in branches of other nodes"] if n_inner else []
        raise ValueError(
            f"{name!r} may mean {' or '.join(meant)}, for names of nodes and of outputs count "
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
    raise ValueError(f"there is no node {name!r}; products are {known or 'not in this graph'}")


def product_of(node: Any, graph: Graph) -> Product:
    """Return what a node multiplies by and adds.

    Raises
    ------
    ValueError
        If it is not a product of real numbers, B is not a constant matrix, A is transposed, or
        what a Gemm adds is not one constant row.
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
        raise ValueError(f"the left-hand side of {name!r} is transposed (transA): its rows change")
    B = _scaled(given.T if options.get("transB", 0) else given, options.get("alpha", 1.0))
    if len(node.input) < 3 or not node.input[2]:
        return Product(B, None, given.dtype)
    bias = _constant(node, 2, "bias", graph)
    if bias.ndim > 1 and bias.shape[:-1] != (1,) * (bias.ndim - 1):
        raise ValueError(f"the bias of {name!r} must be one row, not {bias.shape}")
    row = np.broadcast_to(bias.reshape(-1), (B.shape[1],))
    return Product(B, _scaled(row, options.get("beta", 1.0)), given.dtype)


def _scaled(array: NDArray[Any], scale: float) -> NDArray[np.float32]:
    """Return an array times a number, rounded to float32 once."""
    if array.dtype != np.float64:
        array = array.astype(np.float32)
    scaled: NDArray[np.float32] = (array.dtype.type(scale) * array).astype(np.float32)
    return scaled


def _answering(graph: Graph) -> Counter[str]:
    """Return how many products answer to each name, those in branches included."""
    return Counter(
        name
        for node in every(graph.nodes)
        if is_product(node)
        for name in {node.name, *node.output} - {""}
    )


def _constant(node: Any, place: int, what: str, graph: Graph) -> NDArray[Any]:
    """Return an input of a node that must be the same for all feeds, and of real numbers."""
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
    return str(node.op_type) if node.domain in DOMAINS else f"{node.domain}::{node.op_type}"


def _why_not(node: Any) -> str:
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
