"""The 8-bit product of onnxruntime, from float32 rows, in one thread: a strong rival.

B is int8 with a scale for each output. Each call converts the rows to uint8, and its time includes
that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Floats = NDArray[np.float32]
Call = Callable[[], NDArray[Any]]


@cache
def saturates() -> bool:
    """Tell whether onnxruntime clamps sums of uint8 · int8 here, as on x86 CPUs without VNNI."""
    product = helper.make_node("MatMulInteger", ["A", "B"], ["Y"])
    A, B = np.full((4, 64), 255, np.uint8), np.full((64, 16), 127, np.int8)
    Y = np.empty((4, 16), np.int32)
    _bound([product], {"B": B}, A, Y)()
    return bool((Y != 64 * 255 * 127).any())


def prepared(B: Floats, bias: Floats) -> Callable[[Floats], Call]:
    """Return a function that takes rows and returns a call, which computes ``rows @ B + bias``.

    Where sums would be clamped, B has 7 bits, as onnxruntime's guide to quantisation advises.
    """
    scale = np.abs(B).max(axis=0) / np.float32(63 if saturates() else 127)
    weights = np.rint(B / scale).astype(np.int8)
    constants = {"B": weights, "scale": scale, "bias": bias}
    node = helper.make_node
    nodes = [
        node("DynamicQuantizeLinear", ["A"], ["A8", "step", "zero"]),
        node("MatMulInteger", ["A8", "B", "zero"], ["sums"]),
        node("Cast", ["sums"], ["floats"], to=1),
        node("Mul", ["step", "scale"], ["scales"]),
        node("Mul", ["floats", "scales"], ["product"]),
        node("Add", ["product", "bias"], ["Y"]),
    ]

    def prepare(rows: Floats) -> Call:
        return _bound(nodes, constants, rows, np.empty((len(rows), len(bias)), np.float32))

    return prepare


def _bound(
    nodes: list[Any], constants: dict[str, NDArray[Any]], A: NDArray[Any], Y: NDArray[Any]
) -> Call:
    """Return a call that runs the nodes, reading A and writing Y in place."""
    taken, given = (
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for name, x in (("A", A), ("Y", Y))
    )
    fixed = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "product", [taken], [given], fixed)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    binding = session.io_binding()
    binding.bind_ortvalue_input("A", onnxruntime.OrtValue.ortvalue_from_numpy(A))
    binding.bind_output("Y", "cpu", 0, Y.dtype, Y.shape, Y.ctypes.data)

    def run() -> NDArray[Any]:
        session.run_with_iobinding(binding)
        return Y

    return run
