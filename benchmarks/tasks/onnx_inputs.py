"""What enters the last product of an ONNX graph, and that product's constant and bias."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cache import needs


@dataclass(frozen=True)
class LastProduct:
    """The last MatMul: `inputs` runs the graph up to it."""

    B: NDArray[np.float32]
    bias: NDArray[np.float32]
    inputs: Callable[[NDArray[Any]], NDArray[np.float32]]


def last_product(path: Path) -> LastProduct:
    """Cut the graph at the input of its last MatMul, which an Add of a constant must follow."""
    onnx = needs("onnx", "onnx")
    onnxruntime = needs("onnxruntime", "onnxruntime")
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
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return LastProduct(
        array(B), array(bias).reshape(-1), lambda batch: session.run(None, {name: batch})[0]
    )
