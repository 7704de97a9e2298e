"""ONNX: the array that a name means, which is a constant or the matrix of a product."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from maddjit.integrations.onnx.graph import (
    Graph,
    constant,
    indexed,
    is_constant,
    nodes_before,
    reads,
)
from maddjit.integrations.onnx.products import find_node, is_product, names_of_products, product_of


def array_named(
    proto: Any, name: str | None, choose: Callable[[Iterable[str]], str]
) -> NDArray[Any]:
    """Return the array of a model that a name means.

    Parameters
    ----------
    proto : onnx.ModelProto
    name : str or None
        The name of a constant, or of a MatMul or Gemm or its output, as `find_node` takes it. None
        means the one matrix in the file, if products multiply by it as it is.
    choose : callable
        Takes the names that there are and returns the one that is meant, or raises an error.

    Raises
    ------
    ValueError
        If the name means two different arrays, or a node that is not a product by a constant.
    """
    graph = indexed(proto)
    tensors = graph.stored | {each.name: each for each in proto.graph.initializer}
    if name is None:
        chosen = choose([key for key, tensor in tensors.items() if len(tensor.dims) == 2])
        _check_direct(graph, chosen)
        return np.asarray(numpy_helper.to_array(tensors[chosen]))
    answering = [node for node in graph.nodes if name in (node.name, *node.output)]
    makers = [node for node in answering if name in node.output and not is_product(node)]
    found: NDArray[Any] | None = None
    if name in tensors:
        found = numpy_helper.to_array(tensors[name])
    elif makers and is_constant(graph, name):
        found = constant(graph, name)
    if found is None and not answering:
        choose([*tensors, *names_of_products(graph).values()])  # raises: there is no such name
    if found is not None and not any(map(is_product, answering)):
        return found
    product = product_of(find_node(graph, name), graph).B
    if found is None or np.array_equal(found, product):
        return product
    raise ValueError(
        f"{name!r} is the name of a constant and of a product by another matrix: call the product "
        "by its output's name, or give one of them a name of its own"
    )


def _check_direct(graph: Graph, name: str) -> None:
    """Refuse a matrix if products multiply by what other nodes make of it."""
    products = {
        graph.nodes[place].input[1]: product for place, product in names_of_products(graph).items()
    }
    for weight, product in products.items() if name not in products else ():
        if not is_constant(graph, weight):
            continue
        on_the_way = [graph.nodes[each] for each in nodes_before(graph, [weight])]
        if any(name in reads(node) for node in on_the_way):
            kinds = ", ".join(node.op_type for node in on_the_way if node.op_type != "Constant")
            raise ValueError(
                f"its one matrix, {name!r}, goes through {kinds} before {product!r} multiplies by "
                f"it: name {product!r}, or {name!r} if it is meant as it is"
            )
