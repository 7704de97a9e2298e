"""ONNX: cut a graph at operators into stages, each a session of onnxruntime, and run them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper

from maddjit.integrations.onnx.graph import (
    Graph,
    indexed,
    is_constant,
    model_of,
    nodes_before,
    reads,
)
from maddjit.integrations.onnx.loading import check_weights
from maddjit.integrations.onnx.products import Product
from maddjit.integrations.onnx.sessions import session


@dataclass(frozen=True)
class Replaced:
    """A node in whose place an operator stands, and the name by which the caller meant it."""

    name: str
    node: Any
    product: Product
    operator: Callable[[NDArray[Any]], NDArray[Any]]

    @property
    def source(self) -> str:
        """The name of the tensor that is A."""
        return str(self.node.input[0])


Replacements = Mapping[str, Replaced]
"""Replaced nodes by the names of their outputs."""


@dataclass
class GraphStage:
    """Nodes that run together, after the operators whose outputs they need.

    Attributes
    ----------
    replaced : list of str
        The outputs of the operators that run first.
    inputs, outputs : list of str
        What other stages hand to it, and what it hands on. Inputs that have a default may be left
        out.
    session : onnxruntime.InferenceSession or None
        What runs the nodes; None if there are none.
    """

    replaced: list[str]
    inputs: list[str]
    outputs: list[str]
    session: Any = None


def cut_into_stages(
    proto: Any,
    replaced: Replacements,
    options: Any = None,
    make: Callable[[Any, Any], Any] = session,
) -> list[GraphStage]:
    """Cut a graph at replaced nodes into stages, in the order in which they run.

    A tensor's level is the number of operators on the longest path to it, and the nodes of a level
    are a stage. Nodes whose outputs are the same for all feeds are in every stage that needs them;
    nodes that nothing needs are in none.

    Parameters
    ----------
    proto : onnx.ModelProto
    replaced : mapping of str to Replaced
    options : onnxruntime.SessionOptions, optional
    make : callable
        Makes a session from a model and options.

    Raises
    ------
    ValueError
        If the type of a tensor between two stages is not known.
    """
    graph = indexed(proto, replaced)
    wanted = {each.name for each in proto.graph.output} | {x.source for x in replaced.values()}
    levels = _levels(graph, wanted, replaced)
    types = _types(proto, replaced)
    found = []
    for level in range(levels.n):
        nodes, inputs, outputs = _cut(graph, wanted, levels, level)
        stage = GraphStage(levels.operators.get(level, []), inputs, outputs)
        if outputs:
            given = [_info(name, types) for name in inputs]
            needed = {name for node in nodes for name in reads(node)}
            stage.session = make(model_of(proto, nodes, given, outputs, needed), options)
        found.append(stage)
    return found


@dataclass(frozen=True)
class _Levels:
    """The levels of a graph: the nodes and operators that run at each, if they depend on feeds.

    Attributes
    ----------
    nodes : dict of int to list of int
        The nodes' places.
    operators : dict of int to list of str
        The operators' outputs.
    reads : dict of int to set of str
        The tensors that the nodes read.
    """

    nodes: dict[int, list[int]]
    operators: dict[int, list[str]]
    reads: dict[int, set[str]]

    @property
    def n(self) -> int:
        return max([*self.nodes, *self.operators], default=0) + 1


def _levels(graph: Graph, wanted: set[str], replaced: Replacements) -> _Levels:
    """Return the levels of the nodes and operators that the wanted tensors depend on."""
    level: dict[str, int] = {}
    nodes: dict[int, list[int]] = {}
    operators: dict[int, list[str]] = {}
    needed = {*nodes_before(graph, wanted, replaced), *(graph.makers[name] for name in replaced)}
    for place in sorted(needed - graph.fixed):  # in an order in which they can run
        node = graph.nodes[place]
        output = node.output[0]
        if output in replaced:
            level[output] = level.get(replaced[output].source, 0) + 1
            operators.setdefault(level[output], []).append(output)
            continue
        here = max((level.get(name, 0) for name in reads(node)), default=0)
        level |= dict.fromkeys(node.output, here)
        nodes.setdefault(here, []).append(place)
    read = {
        here: {name for place in own for name in reads(graph.nodes[place])}
        for here, own in nodes.items()
    }
    return _Levels(nodes, operators, read)


def _cut(
    graph: Graph, wanted: set[str], levels: _Levels, level: int
) -> tuple[list[Any], list[str], list[str]]:
    """Return the nodes of a level's stage, and the names of its inputs and outputs.

    The first stage also makes the wanted tensors that are the same for all feeds.
    """
    needed = levels.reads.get(level, set()) | (wanted if level == 0 else set())
    fixed = [name for name in needed if graph.makers.get(name) in graph.fixed]
    places = {*levels.nodes.get(level, []), *nodes_before(graph, fixed)}
    nodes = [graph.nodes[place] for place in sorted(places)]
    inner = {name for node in nodes for name in node.output if name}
    outer = {name for node in nodes for name in reads(node)} - inner - {""}
    inputs = sorted(name for name in outer if not is_constant(graph, name))
    asked = wanted.union(*(names for other, names in levels.reads.items() if other != level))
    outputs = sorted(
        name
        for name in inner & asked
        if graph.makers[name] not in graph.fixed or (name in wanted and level == 0)
    )
    return nodes, inputs, outputs


def run_stages(
    parts: Sequence[GraphStage],
    known: dict[str, Any],
    replaced: Replacements,
    answer: Callable[[str, NDArray[Any]], NDArray[Any]],
) -> dict[str, Any]:
    """Run stages and operators; return all tensors that they hand on and those known before.

    Parameters
    ----------
    parts : sequence of GraphStage
    known : dict of str to array
        The feed, and initialisers that are outputs of the model or rows of a product.
    replaced : dict of str to Replaced
    answer : callable
        Takes the name of a product's output and its A, and returns the product.
    """
    known = dict(known)
    for stage in parts:
        for output in stage.replaced:
            known[output] = answer(output, known[replaced[output].source])
        if stage.session is not None:
            own = {name: known[name] for name in stage.inputs if name in known}
            known |= zip(stage.outputs, stage.session.run(stage.outputs, own), strict=True)
    return known


def _types(proto: Any, replaced: Replacements) -> dict[str, int]:
    """Return the element types of tensors, as far as known; 0 for what is not a tensor."""
    graph = proto.graph
    found = {
        each.name: each.type.tensor_type.elem_type
        for each in (*graph.input, *graph.value_info, *graph.output)
    }
    for output, each in replaced.items():  # a product has the type of its matrix, and so has A
        kind = helper.np_dtype_to_tensor_dtype(each.product.dtype)
        for name in (output, each.source):
            found[name] = found.get(name) or kind
    return found


def _info(name: str, types: Mapping[str, int]) -> Any:
    """Return the type of a tensor between two stages, without its shape."""
    if not types.get(name):
        raise ValueError(
            f"the type of {name!r} is not known, so the graph cannot be cut there: replace other "
            "nodes, or add its type to the model's value_info"
        )
    return helper.make_tensor_value_info(name, types[name], None)


def with_types(proto: Any) -> Any:
    """Return a model with the types of the tensors between its nodes, where they are known."""
    check_weights(proto)
    return onnx.shape_inference.infer_shapes(proto)
