"""ONNX: a graph cut at operators into stages, each a session of onnxruntime, and how they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper

from maddjit.integrations.onnx.graph import before, indexed, is_constant, model_of, reads
from maddjit.integrations.onnx.products import Product
from maddjit.integrations.onnx.sessions import check_weights, session


@dataclass(frozen=True)
class Replaced:
    """A node in whose place an operator stands, and the name that it was called by."""

    name: str
    node: Any
    product: Product
    operator: Callable[[NDArray[Any]], NDArray[Any]]

    @property
    def source(self) -> str:
        """The name of A."""
        return str(self.node.input[0])


Replacements = Mapping[str, Replaced]
"""By the names of their outputs."""


@dataclass
class Stage:
    """Nodes that run together, after the operators whose outputs they need.

    Its inputs are what others hand to it; those that have a default may be left out.
    """

    replaced: list[str]
    inputs: list[str]
    outputs: list[str]
    session: Any = None


def stages(
    proto: Any,
    replaced: Replacements,
    options: Any = None,
    make: Callable[[Any, Any], Any] = session,
) -> list[Stage]:
    """Cut a graph: a tensor's level is how many operators lie on the longest way to it.

    What is the same for all feeds is in every stage that needs it, and what nothing needs is in
    none. `make` makes a session of a model and options.
    """
    graph = indexed(proto, replaced)
    wanted = {each.name for each in proto.graph.output} | {x.source for x in replaced.values()}
    level: dict[str, int] = {}
    placed: dict[int, list[int]] = {}
    made: dict[int, list[str]] = {}
    needed_nodes = {*before(graph, wanted, replaced), *(graph.makers[name] for name in replaced)}
    for place in sorted(needed_nodes - graph.fixed):  # in an order in which they can run
        node = graph.nodes[place]
        output = node.output[0]
        if output in replaced:
            level[output] = level.get(replaced[output].source, 0) + 1
            made.setdefault(level[output], []).append(output)
            continue
        here = max((level.get(name, 0) for name in reads(node)), default=0)
        level |= dict.fromkeys(node.output, here)
        placed.setdefault(here, []).append(place)
    read = {
        here: {name for place in own for name in reads(graph.nodes[place])}
        for here, own in placed.items()
    }
    types = _types(proto, replaced)
    found = []
    for here in range(max([*placed, *made], default=0) + 1):
        needed = read.get(here, set()) | (wanted if here == 0 else set())
        copied = before(graph, [x for x in needed if graph.makers.get(x) in graph.fixed])
        nodes = [graph.nodes[place] for place in sorted({*placed.get(here, []), *copied})]
        inner = {name for node in nodes for name in node.output if name}
        needed = {name for node in nodes for name in reads(node)}
        asked = wanted.union(*(names for other, names in read.items() if other != here))
        outputs = sorted(
            name
            for name in inner & asked
            if graph.makers[name] not in graph.fixed or (name in wanted and here == 0)
        )
        inputs = sorted(x for x in needed - inner - {""} if not is_constant(graph, x))
        stage = Stage(made.get(here, []), inputs, outputs)
        if outputs:
            given = [_info(name, types) for name in inputs]
            stage.session = make(model_of(proto, nodes, given, outputs, needed), options)
        found.append(stage)
    return found


def run_stages(
    parts: Sequence[Stage],
    known: dict[str, Any],
    replaced: Replacements,
    answer: Callable[[str, NDArray[Any]], NDArray[Any]],
) -> dict[str, Any]:
    """Return every tensor that stages and operators hand on, and what was known before.

    Parameters
    ----------
    parts : sequence of Stage
    known : dict of str to array
        Feeds, and what is stored and asked for.
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
    """Return the element types of tensors, where they are known; 0 if they are no tensors."""
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
    """Return the type of a tensor that one part hands to another, without its shape."""
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
