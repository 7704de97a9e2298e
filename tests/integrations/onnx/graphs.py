"""Small models of ONNX for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

node = helper.make_node


def model_of(
    nodes: Sequence[Any],
    weights: Mapping[str, Any],
    outputs: Sequence[str] = ("y",),
    *,
    kind: int = TensorProto.FLOAT,
    opset: int = 21,
    **more: Any,
) -> Any:
    """Return a model with the input x, a matrix, and its weights as initialisers."""
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", kind, ["n", None])],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    domains = [helper.make_opsetid(name, 1) for name in ("com.microsoft", "com.example")]
    domains.append(helper.make_opsetid("", opset))
    return helper.make_model(graph, opset_imports=domains, ir_version=10, **more)


def small(shape: tuple[int, ...], seed: int = 0, dtype: Any = np.float32) -> Any:
    """Return integers from −2 to 2: their products and sums are exact."""
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(dtype)
