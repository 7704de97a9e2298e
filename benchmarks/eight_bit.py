"""The real competitor: 8-bit products, with the quantising of A and without, and their arg-max.

Weights are quantised once, for each output apart, symmetrically to int8; A for the whole matrix.
Weights have 7 bits where the CPU has no VNNI: with 8, onnxruntime and FBGEMM would saturate.
Torch's `_int_mm` does not, and keeps 8 bits.
For arg-max all outputs share one scale, so that the winner among the integers is the winner.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from data import Floats, Product
from measuring import Candidate
from numpy.typing import NDArray

from maddjit.cli.peers import quantised as quantised_weights

Info = tuple[str, Any, list[Any]]
"""Name, dtype and sizes of what goes into or comes out of a session."""

WHOLE_BYTE = 127
"""The largest weight of products that never saturate."""
PLAIN, QUANTISING = "8-bit", "8-bit with quantising"


def weights(
    product: Product, per_output: bool = True, most: int | None = None
) -> tuple[NDArray[np.int8], Any]:
    """Return B as int8, and the scale of each output or of all."""
    return quantised_weights(product.B, per_output, most)


def with_torch(product: Product) -> list[Candidate]:
    """`torch._int_mm`, int8 by int8."""
    import torch

    A, Y = torch.from_numpy(product.A), torch.from_numpy(product.Y)
    integers, scale = weights(product, most=WHOLE_BYTE)
    B, scales = torch.from_numpy(integers), torch.from_numpy(scale)
    sums = torch.empty(Y.shape, dtype=torch.int32)
    A8, steps = torch.empty(A.shape, dtype=torch.int8), torch.empty_like(A)

    def quantise() -> float:
        low, high = torch.aminmax(A)
        step = max(-float(low), float(high)) / 127
        A8.copy_(torch.mul(A, 1 / step, out=steps).round_())
        return step

    def run() -> None:
        step = quantise()
        Y.copy_(torch._int_mm(A8, B, out=sums)).mul_(scales * step)

    step = quantise()
    return [
        Candidate(
            "torch _int_mm",
            PLAIN,
            lambda: torch._int_mm(A8, B, out=sums),
            {},
            lambda: (sums * (scales * step)).numpy(),
        ),
        Candidate("torch _int_mm, quantising A", QUANTISING, run, {}, lambda: product.Y),
    ]


def with_torch_linear(product: Product) -> list[Candidate]:
    """`torch.ops.quantized.linear_dynamic` with packed weights: torch's own dynamic quantising."""
    import torch

    A, (multiply, packed) = torch.from_numpy(product.A), packed_linear(product.B)
    return [
        Candidate(
            "torch linear_dynamic, quantising A",
            QUANTISING,
            lambda: multiply(A, packed),
            {},
            lambda: multiply(A, packed).numpy(),
        )
    ]


def packed_linear(right: Floats) -> tuple[Any, Any]:
    """Return `linear_dynamic` and B as it takes it."""
    import torch

    B = torch.from_numpy(right).t().contiguous()
    _, scale = quantised_weights(right)
    scales, zeros = torch.from_numpy(scale).double(), torch.zeros(len(scale), dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch means to take these tensors away one day
        given = torch.quantize_per_channel(B, scales, zeros, 0, torch.qint8)
        packed = torch.ops.quantized.linear_prepack(given, None)
        multiply = torch.ops.quantized.linear_dynamic
        multiply(torch.zeros((1, len(right))), packed)
    return multiply, packed


def with_onnxruntime(product: Product) -> list[Candidate]:
    """The product of uint8 by int8 of onnxruntime: MatMulInteger."""
    from onnx import helper

    B, scale = weights(product)
    A8, step, zero = quantised(product.A)
    sums, node = np.empty(product.Y.shape, np.int32), helper.make_node
    plain = [node("MatMulInteger", ["A", "B", "zero"], ["Y"])]
    return [
        Candidate(
            "onnxruntime u8s8",
            PLAIN,
            *_session(plain, {"B": B, "zero": zero}, A8, sums),
            lambda: sums * (scale * step),
        ),
        Candidate(
            "onnxruntime u8s8, quantising A",
            QUANTISING,
            *_session(dynamic_nodes(), {"B": B, "scale": scale}, product.A, product.Y),
            lambda: product.Y,
        ),
    ]


def dynamic_nodes() -> list[Any]:
    """Return the nodes of a product of A and constants B and scale, with the quantising of A."""
    from onnx.helper import make_node as node

    return [
        node("DynamicQuantizeLinear", ["A"], ["A8", "step", "zero"]),
        node("MatMulInteger", ["A8", "B", "zero"], ["sums"]),
        node("Cast", ["sums"], ["floats"], to=1),
        node("Mul", ["step", "scale"], ["scales"]),
        node("Mul", ["floats", "scales"], ["Y"]),
    ]


def argmax_with_onnxruntime(product: Product) -> list[Candidate]:
    """The same and the arg-max of its integers, by onnxruntime itself or by NumPy."""
    from onnx import helper

    B, _ = weights(product, per_output=False)
    A8, _, zero = quantised(product.A)
    node, sums = helper.make_node, np.empty(product.Y.shape, np.int32)
    winners = np.empty(len(A8), np.int64)
    multiply = node("MatMulInteger", ["A8", "B", "zero"], ["sums"])
    choose = node("ArgMax", ["sums"], ["Y"], axis=1, keepdims=0)
    first = node("DynamicQuantizeLinear", ["A"], ["A8", "step", "zero"])
    candidates = []
    for suffix, kind, before, A, constants in (
        ("", PLAIN, [node("Identity", ["A"], ["A8"])], A8, {"B": B, "zero": zero}),
        (", quantising A", QUANTISING, [first], product.A, {"B": B}),
    ):
        statement, names = _session([*before, multiply, choose], constants, A, winners)
        name = f"onnxruntime u8s8 + ArgMax{suffix}"
        candidates.append(Candidate(name, kind, statement, names, lambda: winners))
        last = node("Identity", ["sums"], ["Y"])
        statement, names = _session([*before, multiply, last], constants, A, sums)
        names |= {"sums": sums, "answer": winners}
        statement += "; sums.argmax(axis=1, out=answer)"
        name = f"onnxruntime u8s8 + numpy argmax{suffix}"
        candidates.append(Candidate(name, kind, statement, names, lambda: winners))
    return candidates


def argmax_with_torch(product: Product) -> list[Candidate]:
    """`torch._int_mm` and the arg-max of its integers by NumPy."""
    import torch

    A8, _, _ = quantised(product.A, symmetric=True)
    B, _ = weights(product, per_output=False, most=WHOLE_BYTE)
    rows, columns = torch.from_numpy(A8), torch.from_numpy(B)
    sums = torch.empty(product.Y.shape, dtype=torch.int32)
    seen, winners = sums.numpy(), np.empty(len(A8), np.int64)

    def run() -> None:
        torch._int_mm(rows, columns, out=sums)
        seen.argmax(axis=1, out=winners)

    return [Candidate("torch _int_mm + numpy argmax", PLAIN, run, {}, lambda: winners)]


def quantised(
    A: NDArray[np.float32], symmetric: bool = False
) -> tuple[NDArray[Any], np.float32, NDArray[np.uint8]]:
    """Return A as uint8 (int8 if symmetric), its step and its zero point."""
    if symmetric:
        step = np.float32(np.abs(A).max() / 127)
        return np.rint(A / step).astype(np.int8), step, np.array(0, np.uint8)
    low, high = min(A.min(), 0), max(A.max(), 0)
    step = np.float32((high - low) / 255)
    zero = np.rint(-low / step)
    return np.clip(np.rint(A / step) + zero, 0, 255).astype(np.uint8), step, zero.astype(np.uint8)


def _session(
    nodes: list[Any], constants: dict[str, NDArray[Any]], A: NDArray[Any], Y: NDArray[Any]
) -> tuple[str, dict[str, Any]]:
    """Return a statement that runs nodes from A to Y in one thread, without copying either."""
    import onnxruntime

    session = open_session(
        nodes, constants, ("A", A.dtype, list(A.shape)), ("Y", Y.dtype, list(Y.shape))
    )
    binding = session.io_binding()
    binding.bind_ortvalue_input("A", onnxruntime.OrtValue.ortvalue_from_numpy(A))
    binding.bind_output("Y", "cpu", 0, Y.dtype, Y.shape, Y.ctypes.data)
    names = {"run": session.run_with_iobinding, "binding": binding, "A": A, "Y": Y}
    return "run(binding)", names


def open_session(
    nodes: list[Any], constants: dict[str, NDArray[Any]], taken: Info, given: Info
) -> Any:
    """Return a session that runs nodes in one thread; sizes may be names, for any number."""
    import onnxruntime

    graph = onnx_model(nodes, constants, taken, given).SerializeToString()
    return onnxruntime.InferenceSession(graph, one_thread(), providers=["CPUExecutionProvider"])


def onnx_model(
    nodes: list[Any], constants: dict[str, NDArray[Any]], taken: Info, given: Info
) -> Any:
    """Return nodes as a model."""
    from onnx import helper, numpy_helper

    def info(name: str, dtype: Any, sizes: list[int | str]) -> Any:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return helper.make_tensor_value_info(name, kind, sizes)

    fixed = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "product", [info(*taken)], [info(*given)], fixed)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def one_thread() -> Any:
    """Return a session's options."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options
