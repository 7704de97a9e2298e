"""8-bit products of other libraries, for comparison: float32 rows, one thread.

B is int8 with a scale for each output. Rows are quantised at each call, and that is part of its
time. Where these libraries add pairs of products in 16 bits, weights have 7 bits, which never
saturate.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler import llvm
from maddjit.compiler.target import Host

Multiply = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""A product with a fixed B, as a function of rows."""


def eight_bit(
    B: NDArray[np.float32], bias: NDArray[np.float32], rows: NDArray[np.float32]
) -> tuple[dict[str, Multiply], dict[str, str]]:
    """Return the products that work here, each tried once, and why the others do not."""
    found: dict[str, Multiply] = {}
    missing: dict[str, str] = {}
    for name, make in (("8-bit torch", _torch), ("8-bit onnxruntime", _onnxruntime)):
        try:
            found[name] = _with_bias(make(B), bias)
            found[name](rows[:2])
        except ModuleNotFoundError as error:
            missing[name] = f"{error.name} is not installed"
        except Exception as error:  # other people's libraries fail in many ways
            missing[name] = f"it fails: {str(error) or type(error).__name__}"
            found.pop(name, None)
    return found, missing


def _with_bias(product: Multiply, bias: NDArray[np.float32]) -> Multiply:
    if not bias.any():
        return product

    def biased(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        Y = product(rows)
        Y += bias
        return Y

    return biased


def largest_weight(host: Host) -> int:
    """Return the largest integer weight with which 8-bit products are exact on a CPU.

    On x86 CPUs without VNNI, two libraries add two products of an unsigned and a signed byte in 16
    bits, and saturate (``vpmaddubsw``): onnxruntime, and FBGEMM, which torch's ``linear_dynamic``
    uses. onnxruntime's guide advises weights of 7 bits there: 2 · 255 · 64 = 32640 is below 2¹⁵.
    """
    saturates = host.architecture == "x86_64" and not {"avx512vnni", "avxvnni"} & host.features
    return 64 if saturates else 127


def quantised(
    B: NDArray[np.float32], per_output: bool = True, most: int | None = None
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return B as int8, and the scale of each output or one for all; it is 1 where all is 0.

    The largest weight is `most`, by default the largest that this CPU multiplies exactly.
    """
    most = most or largest_weight(llvm.host())
    largest = np.abs(B).max(axis=0 if per_output else None)
    scale = (np.where(largest > 0, largest, most) / np.float32(most)).astype(np.float32)
    return np.rint(B / scale).astype(np.int8), scale


def _torch(B: NDArray[np.float32]) -> Multiply:
    """Return torch's product with dynamic quantisation of the rows."""
    import torch

    _, scale = quantised(B)
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that it will drop these tensors one day
        weights = torch.quantize_per_channel(
            torch.from_numpy(np.ascontiguousarray(B.T)),
            torch.from_numpy(scale).double(),
            torch.zeros(len(scale), dtype=torch.long),
            0,
            torch.qint8,
        )
        packed = torch.ops.quantized.linear_prepack(weights, None)
    multiply = torch.ops.quantized.linear_dynamic

    def product(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        answer: NDArray[np.float32] = multiply(torch.from_numpy(rows), packed).numpy()
        return answer

    return product


def _onnxruntime(B: NDArray[np.float32]) -> Multiply:
    """Return onnxruntime's product by DynamicQuantizeLinear and MatMulInteger."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    weights, scale = quantised(B)
    node = helper.make_node
    nodes = [
        node("DynamicQuantizeLinear", ["A"], ["A8", "step", "zero"]),
        node("MatMulInteger", ["A8", "B", "zero"], ["sums"]),
        node("Cast", ["sums"], ["floats"], to=TensorProto.FLOAT),
        node("Mul", ["step", "scale"], ["scales"]),
        node("Mul", ["floats", "scales"], ["Y"]),
    ]
    taken, given = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size])
        for name, size in zip(("A", "Y"), B.shape, strict=True)
    )
    constants = [numpy_helper.from_array(weights, "B"), numpy_helper.from_array(scale, "scale")]
    graph = helper.make_graph(nodes, "product", [taken], [given], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def product(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        answer: NDArray[np.float32] = session.run(None, {"A": rows})[0]
        return answer

    return product
