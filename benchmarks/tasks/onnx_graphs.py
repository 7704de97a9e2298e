"""ONNX graphs: small ones made here, sessions of one thread, and the last product of a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.tasks.cache import needs

Info = tuple[str, Any, list[Any]]
"""Name, dtype and sizes of a graph's input or output. Sizes may be names, for any number."""


def make_model(
    nodes: list[Any], constants: dict[str, NDArray[Any]], taken: Info, given: Info
) -> Any:
    """Return nodes as a model of one input and one output."""
    from onnx import helper, numpy_helper

    def info(name: str, dtype: Any, sizes: list[int | str]) -> Any:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return helper.make_tensor_value_info(name, kind, sizes)

    fixed = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "product", [info(*taken)], [info(*given)], fixed)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def one_thread() -> Any:
    """Return the options of a session that uses one thread."""
    options = needs("onnxruntime", "onnxruntime").SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


def open_session(model: Any) -> Any:
    """Return a session that runs a model in one thread."""
    return needs("onnxruntime", "onnxruntime").InferenceSession(
        model.SerializeToString(), one_thread(), providers=["CPUExecutionProvider"]
    )


@dataclass(frozen=True)
class LastProduct:
    """The last MatMul: `inputs` runs the graph up to it."""

    B: NDArray[np.float32]
    bias: NDArray[np.float32]
    inputs: Callable[[NDArray[Any]], NDArray[np.float32]]


def last_product(path: Path) -> LastProduct:
    """Cut the graph at the input of its last MatMul, which an Add of a constant must follow."""
    onnx = needs("onnx", "onnx")
    model = onnx.load(path)
    nodes = list(model.graph.node)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    constants |= {
        node.output[0]: node.attribute[0].t for node in nodes if node.op_type == "Constant"
    }

    def array(name: str) -> NDArray[np.float32]:
        values: NDArray[np.float32] = onnx.numpy_helper.to_array(constants[name])
        return values.astype(np.float32)

    product = next(node for node in reversed(nodes) if node.op_type == "MatMul")
    source, B = product.input
    add = next(node for node in nodes if product.output[0] in node.input)
    if add.op_type != "Add":
        raise ValueError(f"{path.name}: no bias follows the last product")
    (bias,) = set(add.input) - set(product.output)

    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(source))
    session = open_session(model)
    name = session.get_inputs()[0].name
    return LastProduct(
        array(B), array(bias).reshape(-1), lambda batch: session.run(None, {name: batch})[0]
    )
