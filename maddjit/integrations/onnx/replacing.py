"""ONNX: run a model with compiled operators in the place of some of its nodes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray
from onnx import numpy_helper

from maddjit.integrations.onnx.comparison import Comparison
from maddjit.integrations.onnx.given import check_feed, check_operator, inputs_of, outputs_of
from maddjit.integrations.onnx.graph import Graph, indexed
from maddjit.integrations.onnx.loading import Feed, Source, loaded
from maddjit.integrations.onnx.products import find_node, product_of
from maddjit.integrations.onnx.stages import Replaced, cut_into_stages, run_stages, with_types

Operator = Callable[[NDArray[Any]], NDArray[Any]]


def run_replaced(
    model: Source,
    operators: Mapping[str, Operator],
    *,
    session_options: Any = None,
    sample: Feed | None = None,
    check: bool = True,
) -> Callable[[Feed], dict[str, NDArray[Any]]]:
    """Return a function that runs a model with operators in the place of some of its nodes.

    The graph is cut at these nodes. It becomes one session more than nodes follow each other on the
    longest path, and every other node runs once. Before operators answer, the cut graph is compared
    once with the original, with the exact product in the place of each operator.

    Parameters
    ----------
    model : path or onnx.ModelProto
    operators : mapping of str to callable
        By the names of MatMul and Gemm nodes, or of their outputs, as for `take`. Each takes rows
        (N, D) and returns outputs (N, M), with a Gemm's bias, as `take` returned it.
    session_options : onnxruntime.SessionOptions, optional
        Options of all sessions, such as their threads. Operators have the threads that they were
        compiled with.
    sample : mapping of str to array, optional
        A feed to compare on at once; a few rows will do. Without it, the first call that has rows
        compares on its own feed. That call then takes a few times as long as the original model
        does, and until then two more copies of the model are in memory.
    check : bool
        False leaves the comparison out. Models with random nodes cannot be compared and need this.

    Returns
    -------
    callable
        A function from inputs by name to outputs by name.

    Raises
    ------
    ValueError
        If there is no such node, or several; if its B is not a constant matrix of floating-point
        numbers; if its A is transposed; if the type of a tensor between two sessions is not known;
        if a compiled operator has another size; if `sample` has no rows; or if the weights of the
        model take more than 2 GB. The function raises it if a feed lacks an input or has an unknown
        name, and if an operator returns another shape.
    TypeError
        If an operator is a model or returns winners; if a feed is not a mapping, or an array has
        another dtype than the input. The function raises it if an operator returns anything but
        floating-point numbers.
    maddjit.integrations.onnx.ReplacementError
        A ValueError: the cut graph with exact products does not answer as the original does, or
        an operator leaves out a Gemm's bias, or adds what an Add after the product adds again.

    Warns
    -----
    AccuracyWarning
        If an operator is further from its product than zeros are, on the rows of the comparison.

    Notes
    -----
    A row with NaN or infinities has outputs of NaN. An operator alone would make ordinary numbers
    of it.
    """
    if not isinstance(operators, Mapping):
        raise TypeError(
            "operators must be a mapping of names of nodes to operators, not "
            f"{type(operators).__name__}"
        )
    proto = with_types(loaded(model))
    graph = indexed(proto)
    replaced = _replaced(graph, operators)
    parts = cut_into_stages(proto, replaced, session_options)
    stored = _stored(proto, replaced)
    first = _Once(
        Comparison(graph, replaced, stored, session_options) if check and replaced else None
    )
    inputs = inputs_of(graph)
    names = [each.name for each in proto.graph.output]
    if sample is not None:
        check_feed(sample, inputs)
        if not first(sample):
            raise ValueError("sample must have rows that reach every replaced node")

    def run(feed: Feed) -> dict[str, NDArray[Any]]:
        check_feed(feed, inputs)
        first(feed)
        known = run_stages(
            parts, {**stored, **feed}, replaced, lambda output, A: outputs_of(replaced[output], A)
        )
        return {name: known[name] for name in names}

    return run


def _replaced(graph: Graph, operators: Mapping[str, Operator]) -> dict[str, Replaced]:
    """Return the checked nodes that operators stand for, by the names of their outputs."""
    found: dict[str, Replaced] = {}
    for name, operator in operators.items():
        node = find_node(graph, name)
        output = node.output[0]
        if output in found:
            raise ValueError(
                f"{found[output].name!r} and {name!r} are names of the same node: give one "
                "operator for it"
            )
        product = product_of(node, graph)
        check_operator(name, operator, product.B.shape)
        found[output] = Replaced(name, node, product, operator)
    return found


def _stored(proto: Any, replaced: Mapping[str, Replaced]) -> dict[str, NDArray[Any]]:
    """Return the initialisers that are outputs of the model, or rows of a replaced product."""
    wanted = {each.name for each in proto.graph.output} | {x.source for x in replaced.values()}
    return {
        each.name: numpy_helper.to_array(each).copy()
        for each in proto.graph.initializer
        if each.name in wanted
    }


class _Once:
    """A check that calls make until one had rows; one thread makes it while others wait."""

    def __init__(self, check: Callable[[Feed], bool] | None) -> None:
        self._check = check
        self._lock = threading.Lock()

    def __call__(self, feed: Feed) -> bool:
        """Check, unless that is done, and return whether it is done now."""
        if self._check is not None:
            with self._lock:
                if self._check is not None and self._check(feed):
                    self._check = None  # frees its sessions
        return self._check is None
