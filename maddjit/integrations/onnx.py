"""ONNX: products with a known matrix in a graph, their rows, and the graph run with operators."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.integrations.extras import missing

try:
    import onnx
    import onnxruntime  # noqa: F401
    from onnx import helper, numpy_helper
except ImportError as error:
    raise missing("onnx and onnxruntime", "onnx") from error

from maddjit.integrations.onnx_products import (
    KINDS,
    constants,
    defaults,
    name_of,
    right_hand_side,
)
from maddjit.integrations.onnx_stages import session, stages, with_types

Feed = Mapping[str, NDArray[Any]]
Source = str | os.PathLike[str] | Any
"""A path, or an `onnx.ModelProto`."""


@dataclass(frozen=True)
class KnownProduct:
    """A MatMul or Gemm whose right-hand side is in the file.

    Attributes
    ----------
    node : str
        Its name, or that of its output if it has none.
    kind : {"MatMul", "Gemm"}
    weight : str
        The name of B.
    shape : (int, int)
        D and M.
    """

    node: str
    kind: str
    weight: str
    shape: tuple[int, int]


def initialisers(model: Source) -> list[KnownProduct]:
    """List the products of a graph that can be replaced, in the order of the graph.

    Parameters
    ----------
    model : path or onnx.ModelProto

    Returns
    -------
    list of KnownProduct
        Those of a constant matrix B, an initialiser or a Constant's; of the graph itself, not of
        the branches of If and Loop. From IR version 4 on an initialiser that is an input of the
        graph, too, is no constant but a default.
    """
    proto = _loaded(model)
    known = constants(proto)
    found = []
    for node in proto.graph.node:
        try:
            B, _ = right_hand_side(node, known)
        except ValueError:
            continue
        found.append(KnownProduct(name_of(node), node.op_type, node.input[1], B.shape))
    return found


def take(
    model: Source, node: str, feeds: Feed | Sequence[Feed]
) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32] | None]:
    """Return what `maddjit.fit` needs of a node: rows that reach it, its matrix, its bias.

    Parameters
    ----------
    model : path or onnx.ModelProto
    node : str
        Name of a MatMul or Gemm, or of its output.
    feeds : mapping, or sequence of mappings, of str to array
        Inputs of the model by name, like those that will come.

    Returns
    -------
    A : (N, D) array
        Leading axes are rows, too.
    B : (D, M) float32
        Transposed and scaled as a Gemm's attributes say.
    bias : (M,) float32 or None
        A Gemm's. What is added after a MatMul is a node of its own, and stays in the graph.

    Raises
    ------
    ValueError
        If there is no such node, its B is not a constant matrix, A is transposed, or the weights
        of the model take more than 2 GB.
    TypeError
        If feeds are no mappings.

    Examples
    --------
    With ``feeds = [{"input": batch} for batch in batches]``, by the name of the model's input,
    ``A, B, bias = take("net.onnx", "/head/Gemm", feeds)``, then
    ``op = maddjit.compile(maddjit.fit(A, B, bias=bias))`` and
    ``run = run_replaced("net.onnx", {"/head/Gemm": op})``.
    """
    proto = _loaded(model)
    found = _find(proto.graph, node)
    B, bias = right_hand_side(found, constants(proto))
    name = found.input[0]
    watched = onnx.ModelProto()
    watched.CopyFrom(proto)
    del watched.graph.output[:]
    watched.graph.output.append(helper.make_empty_tensor_value_info(name))
    batches = [feeds] if isinstance(feeds, Mapping) else list(feeds)
    for batch in batches:
        _check_feed(batch)
    if not batches:
        raise ValueError("feeds must not be empty")
    if any(name == each.name for each in proto.graph.input) and name not in defaults(proto):
        parts = [np.asarray(batch[name]) for batch in batches]
    else:
        watching = session(watched)
        parts = [watching.run([name], dict(batch))[0] for batch in batches]
    return np.concatenate([part.reshape(-1, len(B)) for part in parts]), B, bias


def run_replaced(
    model: Source,
    operators: Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]],
    *,
    session_options: Any = None,
) -> Callable[[Feed], dict[str, NDArray[Any]]]:
    """Return a function that runs a model with operators in the place of some of its nodes.

    The graph is cut at these nodes into as many sessions as they follow each other, and one more;
    every other node runs once.

    Parameters
    ----------
    model : path or onnx.ModelProto
    operators : mapping of str to callable
        By the names of MatMul and Gemm nodes, or of their outputs: (N, D) → (N, M), with a Gemm's
        bias, as `take` returned it.
    session_options : onnxruntime.SessionOptions, optional
        Of all parts: their threads, say. Operators have the threads that they were compiled with.

    Returns
    -------
    callable
        From inputs by name to outputs by name.

    Raises
    ------
    ValueError
        If there is no such node, its B is not a constant matrix, A is transposed, the type of a
        tensor between the parts is not known, a compiled operator is of another size, or the
        weights of the model take more than 2 GB.
    """
    proto = with_types(_loaded(model))
    fixed = constants(proto)
    replaced = {}
    for name, operator in operators.items():
        node = _find(proto.graph, name)
        B, _ = right_hand_side(node, fixed)
        _check_size(name, operator, B.shape)
        replaced[node.output[0]] = (node.input[0], B.shape[1], operator)
    parts = stages(proto, replaced, session_options)
    names = [each.name for each in proto.graph.output]
    wanted = {*names, *(source for source, _, _ in replaced.values())}
    stored = [each for each in proto.graph.initializer if each.name in wanted]

    def run(feed: Feed) -> dict[str, NDArray[Any]]:
        _check_feed(feed)
        known = {each.name: numpy_helper.to_array(each).copy() for each in stored}
        known |= feed
        for stage in parts:
            for output in stage.replaced:
                source, width, operator = replaced[output]
                x = known[source]
                y = operator(x.reshape(-1, x.shape[-1]))
                known[output] = y.astype(x.dtype, copy=False).reshape(*x.shape[:-1], width)
            if stage.session is not None:
                own = {name: known[name] for name in stage.inputs if name in known}
                known |= zip(stage.outputs, stage.session.run(stage.outputs, own), strict=True)
        return {name: known[name] for name in names}

    return run


def _loaded(model: Source) -> Any:
    if isinstance(model, onnx.ModelProto):
        return model
    path = os.fspath(model)
    try:
        return onnx.load(path)
    except OSError:
        raise
    except Exception as error:  # of protobuf, and others by the suffix
        raise ValueError(f"{path} is no ONNX model: {error}") from error


def _check_feed(feed: object) -> None:
    if not isinstance(feed, Mapping):
        raise TypeError(
            f"feeds must be mappings of input names to arrays, not {type(feed).__name__}"
        )


def _check_size(name: str, operator: object, shape: tuple[int, int]) -> None:
    """Refuse a compiled operator that is not of this size; that of other callables is not known."""
    model = getattr(operator, "model", None)
    found = getattr(model, "n_features", None), getattr(model, "n_outputs", None)
    if None not in found and found != shape:
        raise ValueError(
            f"the operator for {name!r} must take {shape[0]} columns and return {shape[1]}, "
            f"not {found[0]} and {found[1]}"
        )


def _find(graph: Any, name: str) -> Any:
    for node in graph.node:
        if name in (node.name, *node.output):
            return node
    known = ", ".join(name_of(node) for node in graph.node if node.op_type in KINDS)
    raise ValueError(f"there is no node {name!r}; products are {known or 'not in this graph'}")
