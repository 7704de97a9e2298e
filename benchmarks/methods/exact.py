"""The exact product, and products nearly as good: in bfloat16 and in 8 bits, quantising A too."""

from __future__ import annotations

from typing import Any

import eight_bit
import numpy as np

from methods.record import Apply, Floats, Method


def float32(_: Floats, B: Floats, __: int, ___: int) -> Apply:
    """NumPy's own product."""
    right = np.ascontiguousarray(B, np.float32)
    return lambda A: A @ right


def bfloat16(_: Floats, B: Floats, __: int, ___: int) -> Apply:
    """The product of torch in bfloat16, with the casts of A and of the outputs."""
    import torch

    right = torch.from_numpy(np.ascontiguousarray(B, np.float32)).bfloat16()
    return lambda A: torch.mm(torch.from_numpy(A).bfloat16(), right).float().numpy()


def torch_int8(_: Floats, B: Floats, __: int, ___: int) -> Apply:
    """`_int_mm` of torch, int8 by int8; A is quantised as a whole, symmetrically.

    Memory for what lies between is kept for the next call with as many rows.
    """
    import torch

    integers, scale = eight_bit.quantised_weights(B, most=eight_bit.WHOLE_BYTE)
    right, scales = torch.from_numpy(integers), torch.from_numpy(scale)
    scratch: dict[int, Any] = {}

    def apply(A: Floats) -> Floats:
        if len(A) not in scratch:
            scratch.clear()
            sums = torch.empty((len(A), B.shape[1]), dtype=torch.int32)
            scratch[len(A)] = torch.empty(A.shape), torch.empty(A.shape, dtype=torch.int8), sums
        steps, small, sums = scratch[len(A)]
        rows = torch.from_numpy(A)
        low, high = torch.aminmax(rows)
        step = max(-float(low), float(high)) / 127 or 1.0
        small.copy_(torch.mul(rows, 1 / step, out=steps).round_())
        return torch._int_mm(small, right, out=sums).mul(scales * step).numpy()

    return apply


def torch_linear(_: Floats, B: Floats, __: int, ___: int) -> Apply:
    """`linear_dynamic` of torch, which quantises A by itself, with packed weights."""
    multiply, packed = eight_bit.packed_linear(B)
    import torch

    return lambda A: multiply(torch.from_numpy(A), packed).numpy()


def onnxruntime_int8(_: Floats, B: Floats, __: int, ___: int) -> Apply:
    """DynamicQuantizeLinear and MatMulInteger of onnxruntime, uint8 by int8."""
    integers, scale = eight_bit.quantised_weights(B)
    constants = {"B": integers, "scale": scale}
    n_features, n_outputs = B.shape
    session = eight_bit.open_session(
        eight_bit.dynamic_nodes(),
        constants,
        ("A", np.float32, ["N", n_features]),
        ("Y", np.float32, ["N", n_outputs]),
    )
    return lambda A: session.run(None, {"A": A})[0]


METHODS = (
    Method("exact", "", float32, "NumPy's matmul in float32", in_paper=True),
    Method("bfloat16", "", bfloat16, "torch's mm in bfloat16", needs=("torch",)),
    Method(
        "8-bit, torch _int_mm",
        "",
        torch_int8,
        "ScalarQuantize of the MADDNESS paper, by torch's _int_mm",
        in_paper=True,
        needs=("torch",),
    ),
    Method(
        "8-bit, torch linear_dynamic",
        "",
        torch_linear,
        "ScalarQuantize of the MADDNESS paper, by torch's quantized linear_dynamic (FBGEMM)",
        in_paper=True,
        needs=("torch",),
    ),
    Method(
        "8-bit, onnxruntime",
        "",
        onnxruntime_int8,
        "ScalarQuantize of the MADDNESS paper, by onnxruntime's MatMulInteger",
        in_paper=True,
        needs=("onnx", "onnxruntime"),
    ),
)
