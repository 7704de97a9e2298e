"""ONNX: a graph with an index of its nodes and constants, and the values of the constants."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from maddjit.integrations.onnx.loading import check_loaded
from maddjit.integrations.onnx.sessions import failures, unfused_session

DOMAINS = ("", "ai.onnx")
"""The names of ONNX's own domain of operators."""

_WITH_DEFAULTS = 4
"""From this IR version on, an initialiser that is also an input of the graph is a default."""

_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial"}
    | {"Bernoulli", "Dropout", "BiasDropout", "BitmaskDropout"}
)
"""Operators that may answer differently to the same inputs; dropouts may in training."""


@dataclass(frozen=True)
class Graph:
    """A model and an index of its graph.

    Attributes
    ----------
    proto : onnx.ModelProto
    nodes : list of onnx.NodeProto
        The nodes of the graph itself, in an order in which they can run. A node's place in this
        list stands for the node in other lists.
    stored : dict of str to onnx.TensorProto
        Constants whose value is in the file: initialisers and Constant nodes.
    free : set of str
        Initialisers that feeds may override.
    makers : dict of str to int
        For each tensor that a node makes, the place of that node.
    fixed : set of int
        The places of nodes whose outputs are the same for all feeds.
    """

    proto: Any
    nodes: list[Any]
    stored: dict[str, Any]
    free: set[str]
    makers: dict[str, int]
    fixed: set[int]


def indexed(proto: Any, varying: Collection[str] = ()) -> Graph:
    """Return a model with an index; nodes that depend on tensors in `varying` are not fixed."""
    graph, free = proto.graph, defaults(proto)
    nodes = list(graph.node)
    stored = {each.name: each for each in graph.initializer if each.name not in free}
    random = _RANDOM | {
        function.name
        for function in proto.functions
        if any(node.op_type in _RANDOM for node in with_branches(function.node))
    }
    known = {*stored, *(each.values.name for each in graph.sparse_initializer), ""}
    makers: dict[str, int] = {}
    fixed: set[int] = set()
    for place, node in enumerate(nodes):
        makers |= {name: place for name in node.output if name}
        is_given = node.op_type == "Constant" and node.domain in DOMAINS
        if (
            (node.input or is_given)
            and reads(node) <= known
            and node.output[0] not in varying
            and not any(each.op_type in random for each in with_branches([node]))
        ):
            fixed.add(place)
            known |= set(node.output)
        if is_given and node.attribute and node.attribute[0].name == "value":
            stored[node.output[0]] = node.attribute[0].t
    return Graph(proto, nodes, stored, free, makers, fixed)


def defaults(proto: Any) -> set[str]:
    """Return the names of initialisers that feeds may override."""
    if proto.ir_version < _WITH_DEFAULTS:
        return set()
    return {each.name for each in proto.graph.initializer} & {
        each.name for each in proto.graph.input
    }


def with_branches(nodes: Iterable[Any]) -> Iterator[Any]:
    """Yield nodes, and after each the nodes of its branches."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from with_branches(graph.node)


def reads(node: Any) -> set[str]:
    """Return the names of the tensors that a node reads, its branches included."""
    found = set(node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            inner = {each.name for each in (*graph.input, *graph.initializer)}
            for below in graph.node:
                found |= reads(below) - inner
                inner |= set(below.output)
            found |= {each.name for each in graph.output} - inner
    return found


def nodes_before(graph: Graph, names: Iterable[str], cut: Iterable[str] = ()) -> list[int]:
    """Return the places, in order, of the nodes that tensors depend on.

    Nodes that make the tensors in `cut`, and what only these depend on, are left out.
    """
    ended, found, open_ = set(cut), set(), list(names)
    while open_:
        place = graph.makers.get(name) if (name := open_.pop()) not in ended else None
        if place is not None and place not in found:
            found.add(place)
            open_ += reads(graph.nodes[place])
    return sorted(found)


def smallest_model(graph: Graph, names: Sequence[str]) -> Any:
    """Return the smallest model whose outputs are these tensors, made from the same inputs."""
    proto = graph.proto
    own = [graph.nodes[place] for place in nodes_before(graph, names)]
    needed = {name for node in own for name in reads(node)} | set(names)
    inputs = [each for each in proto.graph.input if each.name in needed]
    return model_of(proto, own, inputs, names, needed)


def model_of(
    proto: Any,
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[str],
    needed: set[str],
) -> Any:
    """Return a model of some nodes of another, with the weights of the other that are needed."""
    stored = {each.name for each in proto.graph.initializer}
    stored |= {each.values.name for each in proto.graph.sparse_initializer}
    constants = stored - defaults(proto)
    return helper.make_model(
        helper.make_graph(
            nodes,
            proto.graph.name or "graph",
            [each for each in inputs if each.name not in constants],
            [helper.make_empty_tensor_value_info(name) for name in outputs],
            [each for each in proto.graph.initializer if each.name in needed],
            sparse_initializer=[
                each for each in proto.graph.sparse_initializer if each.values.name in needed
            ],
        ),
        opset_imports=proto.opset_import,
        functions=proto.functions,
        ir_version=max(proto.ir_version, _WITH_DEFAULTS),
    )


def is_constant(graph: Graph, name: str) -> bool:
    """Return whether a tensor is the same for all feeds."""
    if name in graph.makers:
        return graph.makers[name] in graph.fixed
    sparse = (each.values.name for each in graph.proto.graph.sparse_initializer)
    return name in graph.stored or name in sparse


def why_not_constant(graph: Graph, name: str) -> str:
    """Return in words what makes a tensor differ from feed to feed."""
    while name in graph.makers:
        node = graph.nodes[graph.makers[name]]
        varying = sorted(each for each in reads(node) if each and not is_constant(graph, each))
        if not varying:
            return f"it depends on a {node.op_type}, which may answer differently each time"
        name = varying[0]
    if name in graph.free:
        return f"{name!r} is an input of the model, too, so feeds may override it"
    return f"it depends on {name!r}, an input of the model"


def constant(graph: Graph, name: str) -> NDArray[Any]:
    """Return the value of a tensor for which `is_constant` holds.

    onnxruntime computes a value that is not in the file from values that are, node by node.

    Raises
    ------
    ValueError
        If the weights are in another file that was not loaded, or if onnxruntime cannot compute the
        value.
    """
    needed = {name}
    for place in nodes_before(graph, [name]) if name not in graph.stored else ():
        needed |= reads(graph.nodes[place])
    for each in needed & set(graph.stored):
        check_loaded(graph.stored[each])
    if name in graph.stored:
        found: NDArray[Any] = numpy_helper.to_array(graph.stored[name])
        return found
    made = f"{name}, known"
    model = smallest_model(graph, [name])
    model.graph.node.append(helper.make_node("Identity", [name], [made]))
    model.graph.output[0].name = made
    try:
        answer: NDArray[Any] = unfused_session(model).run([made], {})[0]
    except failures() as error:
        kinds = ", ".join(
            sorted({graph.nodes[each].op_type for each in nodes_before(graph, [name])})
        )
        raise ValueError(
            f"{name!r} is computed from constants by {kinds or 'nothing'}, which onnxruntime "
            f"cannot do: {error}"
        ) from error
    return np.asarray(answer)
