"""ONNX: products with a known matrix in a graph, their rows, and the graph run with operators."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.integrations.extras import missing

try:
    import onnx
    import onnxruntime  # noqa: F401
    from onnx import numpy_helper
except ImportError as error:
    raise missing("onnx and onnxruntime", "onnx") from error

from maddjit.integrations.agreement import ReplacementError
from maddjit.integrations.onnx.check import check_product, checker
from maddjit.integrations.onnx.given import apply, as_rows, check_feed, check_operator, inputs_of
from maddjit.integrations.onnx.graph import Graph, constant, indexed, is_constant, part
from maddjit.integrations.onnx.products import find, names_of_products, product_of
from maddjit.integrations.onnx.sessions import session
from maddjit.integrations.onnx.stages import Replaced, run_stages, stages, with_types

__all__ = ["KnownProduct", "ReplacementError", "initialisers", "run_replaced", "take"]

Feed = Mapping[str, NDArray[Any]]
Source = str | os.PathLike[str] | Any
"""A path, or an `onnx.ModelProto`."""


@dataclass(frozen=True)
class KnownProduct:
    """A MatMul or Gemm whose right-hand side does not depend on feeds.

    Attributes
    ----------
    node : str
        Its name; or that of its output, if it has none or shares it with another product.
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
        Those of a constant matrix B of floating-point numbers: an initialiser, a Constant's, or
        what nodes such as DequantizeLinear, Transpose or Cast make of them. Those of the graph
        itself, not of the branches of If and Loop. From IR version 4 on an initialiser that is an
        input of the graph, too, is no constant but a default. Products of integers and the
        operators of other domains are not listed; `take` says why a node is not.
    """
    graph = indexed(_loaded(model))
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
    """Return what `maddjit.fit` needs of a node: rows that reach it, its matrix, its bias.

    Parameters
    ----------
    model : path or onnx.ModelProto
    node : str
        Name of a MatMul or Gemm, or of its output, as `initialisers` lists them. Names of nodes
        come before names of outputs; what could mean two products is refused.
    feeds : mapping, or sequence of mappings, of str to array
        Inputs of the model by name, like those that will come. Inputs that the node does not
        depend on may be left out.

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
        If there is no such node, or several; if its B is not a constant matrix of floating-point
        numbers, A is transposed, a feed lacks an input or has another name, or the weights that
        the node depends on take more than 2 GB.
    TypeError
        If `model` is neither a path nor a ModelProto, feeds are no mappings, or an array has
        another dtype than the input.
    maddjit.integrations.onnx.ReplacementError
        A ValueError: ``A @ B + bias`` is not what the node gives for the first rows of A.

    Examples
    --------
    With ``feeds = [{"input": batch} for batch in batches]``, by the name of the model's input,
    ``A, B, bias = take("net.onnx", "/head/Gemm", feeds)``, then
    ``op = maddjit.compile(maddjit.fit(A, B, bias=bias))`` and
    ``run = run_replaced("net.onnx", {"/head/Gemm": op})``.
    """
    graph = indexed(_loaded(model))
    found = find(graph, node)
    product = product_of(found, graph)
    batches = [feeds] if isinstance(feeds, Mapping) else list(feeds)
    if not batches:
        raise ValueError("feeds must not be empty")
    watched = part(graph, [found.input[0]])
    inputs = inputs_of(graph, {each.name for each in watched.graph.input})
    for batch in batches:
        check_feed(batch, inputs)
    parts = _rows(graph, found.input[0], watched, batches)
    A = np.concatenate([as_rows(node, each, len(product.B)) for each in parts])
    others = [constant(graph, name) for name in found.input[1:] if name]
    check_product(node, found, product, A, others)
    return A, product.B, product.bias


def run_replaced(
    model: Source,
    operators: Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]],
    *,
    session_options: Any = None,
    sample: Feed | None = None,
    check: bool = True,
) -> Callable[[Feed], dict[str, NDArray[Any]]]:
    """Return a function that runs a model with operators in the place of some of its nodes.

    The graph is cut at these nodes into as many sessions as they follow each other, and one more;
    every other node runs once. Before operators answer, the cut graph is compared with the
    original once, with the exact product in the place of each operator.

    Parameters
    ----------
    model : path or onnx.ModelProto
    operators : mapping of str to callable
        By the names of MatMul and Gemm nodes, or of their outputs, as for `take`:
        (N, D) → (N, M), with a Gemm's bias, as `take` returned it.
    session_options : onnxruntime.SessionOptions, optional
        Of all parts: their threads, say. Operators have the threads that they were compiled with.
    sample : mapping of str to array, optional
        A feed to compare on, at once; a few rows will do. Without it that is done in the first call
        that has rows, on its feed, which then takes a few times as long as the original model
        does; until then two more copies of the model are in memory.
    check : bool
        False leaves the comparison out: for models with random nodes, which cannot be compared.

    Returns
    -------
    callable
        From inputs by name to outputs by name.

    Raises
    ------
    ValueError
        If there is no such node, or several; if its B is not a constant matrix of floating-point
        numbers, A is transposed, the type of a tensor between the parts is not known, a compiled
        operator is of another size, `sample` has no rows, or the weights of the model take more
        than 2 GB. The function itself raises it if a feed lacks an input or has another name, and
        if an operator returns another shape.
    TypeError
        If an operator is a model or returns winners, or, in a call, other than floating-point
        numbers; if feeds are no mappings, or an array has another dtype than the input.
    maddjit.integrations.onnx.ReplacementError
        A ValueError: the cut graph with exact products does not answer as the original does, or
        an operator leaves out a Gemm's bias, or adds what an Add adds again.

    Warns
    -----
    AccuracyWarning
        If an operator is further from its product than zeros are, on the rows of the comparison.

    Notes
    -----
    A row with NaN or infinities has outputs of NaN, where an operator alone would make ordinary
    numbers of it.
    """
    if not isinstance(operators, Mapping):
        raise TypeError(
            "operators must be a mapping of names of nodes to operators, not "
            f"{type(operators).__name__}"
        )
    proto = with_types(_loaded(model))
    graph = indexed(proto)
    replaced: dict[str, Replaced] = {}
    for name, operator in operators.items():
        node = find(graph, name)
        output = node.output[0]
        if output in replaced:
            raise ValueError(f"{replaced[output].name!r} and {name!r} are names of the same node")
        product = product_of(node, graph)
        check_operator(name, operator, product.B.shape)
        replaced[output] = Replaced(name, node, product, operator)
    parts = stages(proto, replaced, session_options)
    names = [each.name for each in proto.graph.output]
    wanted = {*names, *(each.source for each in replaced.values())}
    stored = {
        each.name: numpy_helper.to_array(each).copy()
        for each in proto.graph.initializer
        if each.name in wanted
    }
    first = _Once(checker(graph, replaced, stored, session_options) if check and replaced else None)
    inputs = inputs_of(graph)
    if sample is not None:
        check_feed(sample, inputs)
        if not first(sample):
            raise ValueError("sample must have rows that reach every replaced node")

    def run(feed: Feed) -> dict[str, NDArray[Any]]:
        check_feed(feed, inputs)
        first(feed)
        known = run_stages(
            parts, {**stored, **feed}, replaced, lambda output, A: apply(replaced[output], A)
        )
        return {name: known[name] for name in names}

    return run


class _Once:
    """A check that is made until it was made on rows, by one thread while others wait."""

    def __init__(self, check: Callable[[Feed], bool] | None) -> None:
        self._check = check
        self._lock = threading.Lock()

    def __call__(self, feed: Feed) -> bool:
        """Return whether it has been made on rows, or need not be."""
        if self._check is not None:
            with self._lock:
                if self._check is not None and self._check(feed):
                    self._check = None  # and its sessions go
        return self._check is None


def _rows(graph: Graph, name: str, made_by: Any, batches: Sequence[Feed]) -> list[NDArray[Any]]:
    """Return a tensor's value for each feed."""
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


def _loaded(model: Source) -> Any:
    if isinstance(model, onnx.ModelProto):
        return model
    if not isinstance(model, str | os.PathLike):
        raise TypeError(
            f"model must be a path or an onnx.ModelProto, not {type(model).__name__}; "
            "onnx.load_from_string makes one of bytes"
        )
    path = os.fspath(model)
    try:
        return onnx.load(path)
    except OSError:
        raise
    except Exception as error:  # of protobuf, and others by the suffix
        raise ValueError(f"{path} is no ONNX model: {error}") from error
