"""ONNX: what each node reads, which tensors are the same for all feeds, and their values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from maddjit.integrations.onnx.sessions import check_loaded, failures, plain

DOMAINS = ("", "ai.onnx")
"""Names of ONNX's own set of operators."""

_WITH_DEFAULTS = 4
"""IR version from which on an initialiser that is an input, too, is a default."""

_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial"}
    | {"Bernoulli", "Dropout", "BiasDropout", "BitmaskDropout"}
)
"""Operators that may answer differently to the same inputs. Dropouts do when they train."""


@dataclass(frozen=True)
class Graph:
    """A model and what is where in it.

    Attributes
    ----------
    proto : onnx.ModelProto
    nodes : list of onnx.NodeProto
        Those of the graph itself, in an order in which they can run.
    stored : dict of str to onnx.TensorProto
        Constants whose value is in the file: initialisers and Constant nodes.
    free : set of str
        Initialisers that feeds may override.
    makers : dict of str to int
        The place of the node that makes a tensor.
    fixed : set of int
        Places of nodes whose outputs are the same for all feeds.
    """

    proto: Any
    nodes: list[Any]
    stored: dict[str, Any]
    free: set[str]
    makers: dict[str, int]
    fixed: set[int]


def indexed(proto: Any, varying: Collection[str] = ()) -> Graph:
    """Return a model with its index; nodes that depend on tensors in `varying` are not fixed."""
    graph, free = proto.graph, defaults(proto)
    nodes = list(graph.node)
    stored = {each.name: each for each in graph.initializer if each.name not in free}
    random = _RANDOM | {
        function.name
        for function in proto.functions
        if any(node.op_type in _RANDOM for node in every(function.node))
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
            and not any(each.op_type in random for each in every([node]))
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


def every(nodes: Iterable[Any]) -> Iterator[Any]:
    """Yield nodes and those of their branches."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from every(graph.node)


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


def before(graph: Graph, names: Iterable[str], cut: Iterable[str] = ()) -> list[int]:
    """Return the places of the nodes that tensors depend on, in their order.

    What makes the tensors in `cut` is left out.
    """
    ended, found, open_ = set(cut), set(), list(names)
    while open_:
        place = graph.makers.get(name) if (name := open_.pop()) not in ended else None
        if place is not None and place not in found:
            found.add(place)
            open_ += reads(graph.nodes[place])
    return sorted(found)


def part(graph: Graph, names: Sequence[str]) -> Any:
    """Return the smallest model that makes these tensors, its outputs, from the same inputs."""
    proto = graph.proto
    own = [graph.nodes[place] for place in before(graph, names)]
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
    """Return a model of some nodes of another, with those of its weights that are needed."""
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
    """Tell whether a tensor is the same for all feeds."""
    if name in graph.makers:
        return graph.makers[name] in graph.fixed
    sparse = (each.values.name for each in graph.proto.graph.sparse_initializer)
    return name in graph.stored or name in sparse


def why_not_constant(graph: Graph, name: str) -> str:
    """Return what a tensor depends on that is not the same for all feeds."""
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

    What is not in the file as it is, is computed by onnxruntime from what is, node by node.

    Raises
    ------
    ValueError
        If the weights are in another file, which was not loaded, or onnxruntime cannot compute it.
    """
    needed = {name}
    for place in before(graph, [name]) if name not in graph.stored else ():
        needed |= reads(graph.nodes[place])
    for each in needed & set(graph.stored):
        check_loaded(graph.stored[each])
    if name in graph.stored:
        found: NDArray[Any] = numpy_helper.to_array(graph.stored[name])
        return found
    made = f"{name}, known"
    model = part(graph, [name])
    model.graph.node.append(helper.make_node("Identity", [name], [made]))
    model.graph.output[0].name = made
    try:
        answer: NDArray[Any] = plain(model).run([made], {})[0]
    except failures() as error:
        kinds = ", ".join(sorted({graph.nodes[each].op_type for each in before(graph, [name])}))
        raise ValueError(
            f"{name!r} is computed from constants by {kinds or 'nothing'}, which onnxruntime "
            f"cannot do: {error}"
        ) from error
    return np.asarray(answer)
