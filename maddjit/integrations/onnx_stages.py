"""An ONNX graph cut at operators into stages, each a session of onnxruntime."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx
import onnxruntime
from onnx import helper

from maddjit.integrations.onnx_products import defaults

_LARGEST = 2**31 - 2**20
"""Bytes of weights that fit into a message of protobuf, less room for the graph itself."""


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
    proto: Any, replaced: Mapping[str, tuple[str, int, Any]], options: Any = None
) -> list[Stage]:
    """Cut a graph: a tensor's level is how many operators lie on the longest way to it."""
    graph = proto.graph
    level: dict[str, int] = {}
    nodes: dict[int, list[Any]] = {}
    made: dict[int, list[str]] = {}
    copied = {node.output[0]: node for node in graph.node if node.op_type == "Constant"}
    for node in graph.node:  # in an order in which they can run
        output = node.output[0]
        if output in copied:
            continue
        if output in replaced:
            level[output] = level.get(replaced[output][0], 0) + 1
            made.setdefault(level[output], []).append(output)
            continue
        here = max((level.get(name, 0) for name in _inputs(node)), default=0)
        level |= dict.fromkeys(node.output, here)
        nodes.setdefault(here, []).append(node)
    wanted = {each.name for each in graph.output} | {source for source, _, _ in replaced.values()}
    free = defaults(proto)
    types = {each.name: each for each in (*graph.input, *graph.value_info, *graph.output)}
    found = []
    for here in range(max([*nodes, *made], default=0) + 1):
        own = nodes.get(here, [])
        needed = {name for node in own for name in _inputs(node)}
        asked = needed | (wanted if here == 0 else set())
        own = [node for name, node in copied.items() if name in asked] + own
        inner = {name for node in own for name in node.output if name}
        elsewhere = {
            name
            for other, theirs in nodes.items()
            if other != here
            for node in theirs
            for name in _inputs(node)
        }
        weights = [each for each in graph.initializer if each.name in needed]
        sparse = [each for each in graph.sparse_initializer if each.values.name in needed]
        stored = {each.name for each in weights} | {each.values.name for each in sparse}
        inputs = sorted(needed - inner - (stored - free) - {""})
        outputs = sorted(inner & (wanted | (elsewhere - set(copied))))
        stage = Stage(made.get(here, []), inputs, outputs)
        if outputs:
            part = helper.make_graph(
                own,
                f"{graph.name or 'graph'}_{here}",
                [_info(name, types, replaced) for name in inputs],
                [helper.make_empty_tensor_value_info(name) for name in outputs],
                weights,
                sparse_initializer=sparse,
            )
            stage.session = session(
                helper.make_model(
                    part,
                    opset_imports=proto.opset_import,
                    functions=proto.functions,
                    ir_version=proto.ir_version,
                ),
                options,
            )
        found.append(stage)
    return found


def _info(name: str, types: Mapping[str, Any], replaced: Mapping[str, Any]) -> Any:
    """Return the type of a tensor that one part hands to another, without its shape."""
    kind = types[name].type.tensor_type.elem_type if name in types else 0
    if not kind and name in replaced:
        kind = onnx.TensorProto.FLOAT
    if not kind:
        raise ValueError(f"the type of {name!r} is not known, so the graph cannot be cut there")
    return helper.make_tensor_value_info(name, kind, None)


def _inputs(node: Any) -> set[str]:
    """Return what a node reads, its branches included."""
    found = set(node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            inner = {each.name for each in (*graph.input, *graph.initializer)}
            for below in graph.node:
                found |= _inputs(below) - inner
                inner |= set(below.output)
            found |= {each.name for each in graph.output} - inner
    return found


def with_types(proto: Any) -> Any:
    """Return a model with the types of the tensors between its nodes, where they are known."""
    _check_size(proto)
    return onnx.shape_inference.infer_shapes(proto)


def session(proto: Any, options: Any = None) -> Any:
    """Return what runs a graph, by onnxruntime on the CPU."""
    _check_size(proto)
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _check_size(proto: Any) -> None:
    n_bytes = sum(
        math.prod(each.dims) * helper.tensor_dtype_to_np_dtype(each.data_type).itemsize
        for each in proto.graph.initializer
    )
    if n_bytes > _LARGEST:
        raise ValueError(
            f"the weights of the model take {n_bytes / 2**30:.3g} GB, and only models of less than "
            "2 GB can be changed and handed to onnxruntime"
        )
