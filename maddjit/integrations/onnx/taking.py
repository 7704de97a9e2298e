"""ONNX: list the known products of a graph, and take what is needed to learn one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from maddjit.integrations.onnx.check_products import check_product
from maddjit.integrations.onnx.given import check_feed, flat_rows, inputs_of
from maddjit.integrations.onnx.graph import Graph, constant, indexed, is_constant, smallest_model
from maddjit.integrations.onnx.loading import Feed, Source, loaded
from maddjit.integrations.onnx.products import find_node, names_of_products, product_of
from maddjit.integrations.onnx.sessions import session


@dataclass(frozen=True)
class KnownProduct:
    """A MatMul or Gemm whose right-hand side does not depend on feeds.

    Attributes
    ----------
    node : str
        The name of the node; or of its output, if the node has no name or shares it with another
        product.
    kind : {"MatMul", "Gemm"}
    weight : str
        The name of B.
    shape : (int, int)
        The sizes D and M.
    """

    node: str
    kind: str
    weight: str
    shape: tuple[int, int]


def initialisers(model: Source) -> list[KnownProduct]:
    """Return the products of a graph that can be replaced, in the order of the graph.

    A product can be replaced if its B is a constant matrix of floating-point numbers: an
    initialiser, the value of a Constant node, or what nodes such as DequantizeLinear, Transpose or
    Cast make of one. It must belong to the graph itself, not to a branch of an If or Loop. From IR
    version 4 on, an initialiser that is also an input of the graph is a default, not a constant.
    Products of integers and operators of other domains are not listed. `take` says why it refuses
    a node.

    Parameters
    ----------
    model : path or onnx.ModelProto

    Returns
    -------
    list of KnownProduct

    Raises
    ------
    TypeError
        If `model` is neither a path nor a ModelProto.
    ValueError
        If the file holds no ONNX model.
    """
    graph = indexed(loaded(model))
    found = []
    for place, name in names_of_products(graph).items():
        node = graph.nodes[place]
        try:
            shape = product_of(node, graph).B.shape
        except ValueError:
            continue
        found.append(KnownProduct(name, node.op_type, node.input[1], (shape[0], shape[1])))
    return found


def take(
    model: Source, node: str, feeds: Feed | Sequence[Feed]
) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32] | None]:
    """Return what `maddjit.fit` needs to learn a node: the rows that reach it, its matrix and bias.

    Parameters
    ----------
    model : path or onnx.ModelProto
    node : str
        The name of a MatMul or Gemm, or of its output, as `initialisers` lists them. A name that
        could mean two products is refused.
    feeds : mapping, or sequence of mappings, of str to array
        Inputs of the model by name, like those that will come. Inputs that the node does not
        depend on may be left out.

    Returns
    -------
    A : (N, D) array
        The rows; leading axes of what reaches the node are rows, too.
    B : (D, M) float32
        The matrix, transposed and scaled as a Gemm's attributes say.
    bias : (M,) float32 or None
        A Gemm's bias. What is added after a MatMul is a node of its own, and stays in the graph.

    Raises
    ------
    ValueError
        If there is no such node, or several; if its B is not a constant matrix of floating-point
        numbers; if its A is transposed; if a feed lacks an input or has an unknown name; or if the
        weights that the node depends on take more than 2 GB.
    TypeError
        If `model` is neither a path nor a ModelProto, a feed is not a mapping, or an array has
        another dtype than the input.
    maddjit.integrations.onnx.ReplacementError
        A ValueError: ``A @ B + bias`` is not what the node gives for the first rows of A.

    Examples
    --------
    For a model whose input is called "input", from its file to a function that looks up its head::

        feeds = [{"input": batch} for batch in batches]
        A, B, bias = take("net.onnx", "/head/Gemm", feeds)
        op = maddjit.compile(maddjit.fit(A, B, bias=bias))
        run = run_replaced("net.onnx", {"/head/Gemm": op})
    """
    graph = indexed(loaded(model))
    found = find_node(graph, node)
    product = product_of(found, graph)
    batches = [feeds] if isinstance(feeds, Mapping) else list(feeds)
    if not batches:
        raise ValueError("feeds must not be empty: rows are taken from them")
    watched = smallest_model(graph, [found.input[0]])
    inputs = inputs_of(graph, {each.name for each in watched.graph.input})
    for batch in batches:
        check_feed(batch, inputs)
    parts = _values(graph, found.input[0], watched, batches)
    A = np.concatenate([flat_rows(node, each, len(product.B)) for each in parts])
    others = [constant(graph, name) for name in found.input[1:] if name]
    check_product(node, found, product, A, others)
    return A, product.B, product.bias


def _values(graph: Graph, name: str, made_by: Any, batches: Sequence[Feed]) -> list[NDArray[Any]]:
    """Return a tensor's value for each feed; `made_by` is the model that computes it."""
    if is_constant(graph, name):
        return [constant(graph, name)] * len(batches)
    if name in graph.makers:
        watching = session(made_by)
        given = {each.name for each in made_by.graph.input}
        return [
            watching.run([name], {key: x for key, x in batch.items() if key in given})[0]
            for batch in batches
        ]
    default = {each.name: each for each in graph.proto.graph.initializer}
    return [
        batch[name] if name in batch else numpy_helper.to_array(default[name]) for batch in batches
    ]
