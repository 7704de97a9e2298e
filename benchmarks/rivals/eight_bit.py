"""8-bit products, the real competitor: with the quantising of A and without it; and bfloat16.

Weights are quantised once and symmetrically, A for the whole matrix at each call. Weights have 7
bits where the CPU has no VNNI: with 8, onnxruntime and FBGEMM would saturate. Torch's `_int_mm`
does not saturate and keeps 8 bits. For arg-max all outputs share one scale, so that the winner
among the integers is the winner.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.machine import Missing, largest_weight, refuse_onnxruntime
from benchmarks.rivals.method import Apply, Floats, Method
from benchmarks.tasks.onnx_graphs import make_model, open_session
from maddjit.cli.peers import quantised as quantised_weights

ALONE, WHOLE = "8-bit", "8-bit with quantising"
WHOLE_BYTE = 127
"""The largest weight of products that never saturate."""
Sums = NDArray[np.int32]


class TorchInt8:
    """`torch._int_mm`, int8 by int8, with memory for one number of rows."""

    name = "torch _int_mm"

    def __init__(self, B: Floats, n_rows: int, per_output: bool = True) -> None:
        import torch

        integers, scale = quantised_weights(B, per_output, WHOLE_BYTE)
        self.torch, self.B = torch, torch.from_numpy(integers)
        self.scale = np.asarray(scale)
        self.steps = torch.empty((n_rows, len(B)))
        self.A8 = torch.empty(self.steps.shape, dtype=torch.int8)
        self.sums = torch.empty((n_rows, B.shape[1]), dtype=torch.int32)

    def quantise(self, A: Floats) -> float:
        """Write A in 8 bits; return its step."""
        rows = self.torch.from_numpy(A)
        low, high = self.torch.aminmax(rows)
        step = max(-float(low), float(high)) / 127 or 1.0
        self.A8.copy_(self.torch.mul(rows, 1 / step, out=self.steps).round_())
        return step

    def alone(self) -> Sums:
        """Multiply the A that is in 8 bits already."""
        sums: Sums = self.torch._int_mm(self.A8, self.B, out=self.sums).numpy()
        return sums

    def integers(self, A: Floats) -> Callable[[], Any]:
        """Return a call that quantises A, multiplies and returns the sums."""

        def run() -> Sums:
            self.quantise(A)
            return self.alone()

        return run

    def floats(self, A: Floats, Y: Floats) -> Callable[[], Any]:
        """Return a call that quantises A, multiplies, scales into Y and returns it."""
        scale, outputs = self.torch.from_numpy(self.scale), self.torch.from_numpy(Y)

        def run() -> Floats:
            step = self.quantise(A)
            sums = self.torch._int_mm(self.A8, self.B, out=self.sums)
            outputs.copy_(sums).mul_(scale * step)
            return Y

        return run


class OnnxInt8:
    """onnxruntime's uint8 by int8: DynamicQuantizeLinear and MatMulInteger, without copies of Y."""

    name = "onnxruntime u8s8"

    def __init__(self, B: Floats, n_rows: int, per_output: bool = True) -> None:
        refuse_onnxruntime()
        integers, scale = quantised_weights(B, per_output)
        self.scale = np.atleast_1d(scale)
        self.constants = {"B": integers, "scale": self.scale}
        self.sums = np.empty((n_rows, B.shape[1]), np.int32)
        self.A8 = np.zeros((n_rows, len(B)), np.uint8)
        self.zero = np.array(0, np.uint8)

    def quantise(self, A: Floats) -> np.float32:
        """Write A in 8 bits; return its step."""
        low, high = min(A.min(), 0), max(A.max(), 0)
        step = np.float32((high - low) / 255)
        zero = np.rint(-low / step)
        self.A8[:] = np.clip(np.rint(A / step) + zero, 0, 255)
        self.zero = zero.astype(np.uint8)
        return step

    @cached_property
    def alone(self) -> Callable[[], Any]:
        """A call that multiplies the A that is in 8 bits already and returns the sums."""
        product = _dynamic()[1]
        product.input[0], product.output[0] = "A", "Y"
        return self._bound([product], self.A8, self.sums, zero=self.zero)

    def integers(self, A: Floats) -> Callable[[], Any]:
        """Return a call that quantises A, multiplies and returns the sums."""
        quantised, product, *_ = _dynamic()
        product.output[0] = "Y"
        return self._bound([quantised, product], A, self.sums)

    def floats(self, A: Floats, Y: Floats) -> Callable[[], Any]:
        """Return a call that quantises A, multiplies, scales into Y and returns it."""
        return self._bound(_dynamic(), A, Y)

    def _bound(
        self, nodes: list[Any], A: NDArray[Any], Y: NDArray[Any], **more: NDArray[Any]
    ) -> Callable[[], Any]:
        """Return a call that runs nodes from A to Y in one thread, without copying either."""
        import onnxruntime

        used = {name for node in nodes for name in node.input}
        known = {name: array for name, array in (self.constants | more).items() if name in used}
        taken, given = ("A", A.dtype, list(A.shape)), ("Y", Y.dtype, list(Y.shape))
        session = open_session(make_model(nodes, known, taken, given))
        binding = session.io_binding()
        binding.bind_ortvalue_input("A", onnxruntime.OrtValue.ortvalue_from_numpy(A))
        binding.bind_output("Y", "cpu", 0, Y.dtype, Y.shape, Y.ctypes.data)

        def run() -> NDArray[Any]:
            session.run_with_iobinding(binding)
            return Y

        return run


def _dynamic() -> list[Any]:
    """Return the nodes of a product of A with constants B and scale that quantises A."""
    from onnx.helper import make_node

    return [
        make_node("DynamicQuantizeLinear", ["A"], ["A8", "step", "zero"]),
        make_node("MatMulInteger", ["A8", "B", "zero"], ["sums"]),
        make_node("Cast", ["sums"], ["floats"], to=1),
        make_node("Mul", ["step", "scale"], ["scales"]),
        make_node("Mul", ["floats", "scales"], ["Y"]),
    ]


def torch_linear(B: Floats, bias: Floats | None = None) -> Apply:
    """Return `torch.ops.quantized.linear_dynamic` with packed weights. It quantises A by itself."""
    import torch

    right = torch.from_numpy(np.array(B)).t().contiguous()
    _, scale = quantised_weights(B, most=largest_weight())
    scales, zeros = torch.from_numpy(scale).double(), torch.zeros(len(scale), dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch means to take these tensors away one day
        given = torch.quantize_per_channel(right, scales, zeros, 0, torch.qint8)
        added = None if bias is None else torch.from_numpy(np.array(bias))
        packed = torch.ops.quantized.linear_prepack(given, added)
        multiply = torch.ops.quantized.linear_dynamic
        multiply(torch.zeros((1, len(B))), packed)
    return lambda A: multiply(torch.from_numpy(A), packed).numpy()


def _any_rows_torch(_: Floats, B: Floats, __: int, ___: int) -> Apply:
    """Use `_int_mm`; memory is kept for the next call with as many rows."""
    kept: dict[int, TorchInt8] = {}

    def apply(A: Floats) -> Floats:
        if len(A) not in kept:
            kept.clear()
            kept[len(A)] = TorchInt8(B, len(A))
        Y: Floats = kept[len(A)].floats(A, np.empty((len(A), B.shape[1]), np.float32))()
        return Y

    return apply


def _any_rows_onnx(_: Floats, B: Floats, __: int, ___: int) -> Apply:
    """Use DynamicQuantizeLinear and MatMulInteger."""
    refuse_onnxruntime()
    integers, scale = quantised_weights(B)
    taken, given = (
        (name, np.float32, ["N", size]) for name, size in zip("AY", B.shape, strict=True)
    )
    session = open_session(make_model(_dynamic(), {"B": integers, "scale": scale}, taken, given))
    return lambda A: session.run(None, {"A": A})[0]


def refuse_slow_bfloat16() -> None:
    """Raise `Missing` without AVX-512: torch then multiplies bfloat16 25 times slower than float32.

    That was measured with torch 2.13 at x86-64-v3 on an Emerald Rapids.
    """
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    if "AVX512" not in capability and "AVX2" in capability:
        raise Missing("torch has no fast bfloat16 products without AVX-512")


def _bfloat16(_: Floats, B: Floats, __: int, ___: int) -> Apply:
    """Use torch's mm in bfloat16, with the casts of A and of the outputs."""
    import torch

    refuse_slow_bfloat16()
    right = torch.from_numpy(np.array(B, np.float32)).bfloat16()
    return lambda A: torch.mm(torch.from_numpy(A).bfloat16(), right).float().numpy()


BFLOAT16 = Method("bfloat16", "", _bfloat16, needs=("torch",))
METHODS = (
    Method("8-bit, torch _int_mm", "", _any_rows_torch, needs=("torch",)),
    Method(
        "8-bit, torch linear_dynamic", "", lambda _, B, __, ___: torch_linear(B), needs=("torch",)
    ),
    Method("8-bit, onnxruntime", "", _any_rows_onnx, needs=("onnx", "onnxruntime")),
)
"""The MADDNESS paper's ScalarQuantize, by three libraries."""
