"""ONNX: compare a graph that is cut at operators with the original, with exact products in it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper

from maddjit.integrations.agreement import ReplacementError, check_same
from maddjit.integrations.onnx.check_products import check_operator_bias, check_product
from maddjit.integrations.onnx.graph import Graph
from maddjit.integrations.onnx.sessions import unfused_session
from maddjit.integrations.onnx.stages import Replacements, cut_into_stages, run_stages

_REMEDY = "leave these nodes to onnxruntime, or pass check=False if you know why"


class Comparison:
    """A function of a feed that compares the cut graph with the original.

    Both are run node by node, without onnxruntime's rewriting, which would round differently on
    the two sides of a cut. In the place of each operator stands its exact product: it is compared
    with the original's by `check_product`, and the original's bits are handed on. So every other
    node does the same to the same bits in both graphs, and what reaches a product and the outputs
    must be equal.

    Parameters
    ----------
    graph : Graph
        The original.
    replaced : mapping of str to Replaced
        By the names of their outputs.
    stored : mapping of str to array
        Initialisers that the cut graph hands on as they are.
    options : onnxruntime.SessionOptions or None
    """

    def __init__(
        self, graph: Graph, replaced: Replacements, stored: Mapping[str, Any], options: Any
    ) -> None:
        self._graph, self._replaced, self._stored = graph, replaced, stored
        self._outputs = [each.name for each in graph.proto.graph.output]
        self._parts = cut_into_stages(graph.proto, replaced, options, unfused_session)
        cut = {name for part in self._parts for name in part.inputs} | {*replaced}
        original = _rounded(graph, cut | {each.source for each in replaced.values()})
        self._watched: dict[str, str] = {}
        for name in dict.fromkeys(x for each in replaced.values() for x in _tensors(each.node)):
            own = self._watched[name] = f"{name}, watched"
            original.graph.node.append(helper.make_node("Identity", [name], [own]))
            original.graph.output.append(helper.make_empty_tensor_value_info(own))
        self._original = unfused_session(original, options)

    def __call__(self, feed: Mapping[str, Any]) -> bool:
        """Compare on a feed, and return whether it has rows for every product.

        Raises
        ------
        ReplacementError
            If anything differs, or if the original does not answer alike twice.
        """
        expected = self._ask_original(feed)
        counted = [expected[each.source].size for each in self._replaced.values()]
        try:
            found = run_stages(
                self._parts,
                {**self._stored, **feed},
                self._replaced,
                partial(self._checked_product, expected),
            )
            for name in self._outputs:
                _check_output(f"the output {name!r}", expected[name], found[name])
        except ReplacementError as error:
            self._check_repeatable(feed, expected, error)
            raise
        return all(counted)

    def _ask_original(self, feed: Mapping[str, Any]) -> dict[str, Any]:
        """Return the original's outputs, and the inputs and results of its products."""
        asked = [*self._outputs, *self._watched.values()]
        answers = self._original.run(asked, dict(feed))
        return dict(zip([*self._outputs, *self._watched], answers, strict=True))

    def _checked_product(
        self, expected: Mapping[str, Any], output: str, A: NDArray[Any]
    ) -> NDArray[Any]:
        """Check a product and its operator on A, and return the original's product."""
        each = self._replaced[output]
        check_same(f"what reaches {each.name!r}", expected[each.source], A, remedy=_REMEDY)
        others = [expected[x] for x in each.node.input[1:] if x]
        check_product(each.name, each.node, each.product, A, others)
        check_operator_bias(each, self._graph, A)
        y: NDArray[Any] = expected[output]
        return y

    def _check_repeatable(
        self, feed: Mapping[str, Any], expected: Mapping[str, Any], cause: ReplacementError
    ) -> None:
        """Raise an error that says so if the original itself answers differently each time."""
        again = self._ask_original(feed)
        try:
            for name, value in expected.items():
                _check_output(name, value, again[name])
        except ReplacementError:
            raise ReplacementError(
                "the model does not answer alike when it is asked the same twice, so it "
                "cannot be compared with the one that has operators in it: pass check=False"
            ) from cause


def _rounded(graph: Graph, names: set[str]) -> Any:
    """Return a copy of the model in which these tensors really have the type that they should have.

    onnxruntime lacks float16 kernels for some nodes. It computes these in float32, and hands the
    results on in float32 where it can. It cannot do so across a cut, nor across the Identity nodes
    that are added here.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(graph.proto)
    del copy.graph.node[:]
    for node in graph.nodes:
        own = copy.graph.node.add()
        own.CopyFrom(node)
        for place, name in enumerate(node.output):
            if name in names:
                own.output[place] = f"{name}, unrounded"
                copy.graph.node.append(helper.make_node("Identity", [own.output[place]], [name]))
    return copy


def _tensors(node: Any) -> list[str]:
    """Return the names of a product's A, B, C and result."""
    return [*(name for name in node.input if name), node.output[0]]


def _check_output(what: str, before: Any, after: Any) -> None:
    """Compare two outputs: tensors, or sequences of tensors or maps."""
    if isinstance(before, list):
        check_same(f"the length of {what}", len(before), len(after), remedy=_REMEDY)
        for place, (one, other) in enumerate(zip(before, after, strict=True)):
            _check_output(f"{what}, [{place}]", one, other)
    else:
        check_same(what, before, after, remedy=_REMEDY)
