"""Chains of equal 1 × 1 layers for `mobile_network.py`: by look-ups, and exact in onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from cut_network import Floats, session
from measure import clock
from onnx import helper, numpy_helper

import maddjit
from maddjit.models.network import LookUp, Planes, Quantise, Step

LENGTHS = 1, 5
"""Layers of a short and of a long chain. A layer takes a quarter of the difference."""

Call = Callable[[], object]


def by_look_ups(model: maddjit.ConvolutionModel, size: tuple[int, int], n_layers: int) -> Call:
    """Return a chain over planes of int8. The time does not depend on what they hold."""
    (product,) = model.products
    step = 2 * float(product.scale.max())  # of results; sums can be requantised to it
    planes = Planes(model.n_outputs, *size, step, 0)
    end = maddjit.Epilogue("int8", step=step, arithmetic="integer")
    layer = LookUp(maddjit.ConvolutionModel((product,), model.window), end)
    layers = [Quantise("uint8"), *[layer] * n_layers]
    steps = tuple(Step(layer, (i,), planes) for i, layer in enumerate(layers))
    op = maddjit.compile(maddjit.Network(steps, (model.n_channels, *size)))
    x = np.random.default_rng(0).integers(0, 256, (1, model.n_channels, *size), dtype=np.uint8)
    out = op(x)
    return lambda: op(x, out=out)


def by_onnxruntime(weights: Floats, size: tuple[int, int], bits: int, n_layers: int) -> Call:
    """Return a chain in onnxruntime, in 8 bits or in float32."""
    channels = len(weights)
    dtype: Any = np.uint8 if bits == 8 else np.float32
    steps = np.abs(weights).max(axis=(1, 2, 3)) / 127
    constants = {"w": weights}
    if bits == 8:
        constants = {
            "w": np.rint(weights / steps[:, None, None, None]).astype(np.int8),
            "step": np.array(0.02, np.float32),
            "zero": np.array(128, np.uint8),
            "steps": steps.astype(np.float32),
            "zeros": np.zeros(channels, np.int8),
        }
    names = ["step", "zero", "w", "steps", "zeros", "step", "zero"] if bits == 8 else ["w"]
    kind = "QLinearConv" if bits == 8 else "Conv"
    nodes = [helper.make_node(kind, [f"y{i}", *names], [f"y{i + 1}"]) for i in range(n_layers)]
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    ends = [
        [helper.make_tensor_value_info(name, element, [1, channels, *size])]
        for name in ("y0", f"y{n_layers}")
    ]
    stored = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "chain", *ends, stored)
    opset = [helper.make_opsetid("", 13)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    bound = (made := session(model.SerializeToString())).io_binding()
    x = np.random.default_rng(0).integers(0, 256, (1, channels, *size))
    bound.bind_cpu_input("y0", x.astype(dtype))
    bound.bind_output(f"y{n_layers}")
    return lambda: made.run_with_iobinding(bound)


def seconds_a_layer(
    chains: Sequence[Callable[[int], Call]], rounds: int, least: float = 2e-3
) -> list[float]:
    """Return the seconds that a layer of each chain takes, the median of so many turns.

    All chains take turns. Each turn repeats a call for at least `least` seconds.
    """
    calls = [make(length) for make in chains for length in LENGTHS]
    repeats = [max(1, round(least / _seconds(call, 2))) for call in calls]
    found = []
    for _ in range(rounds):
        taken = [_seconds(call, n) for call, n in zip(calls, repeats, strict=True)]
        found.append(np.subtract(taken[1::2], taken[::2]) / (LENGTHS[1] - LENGTHS[0]))
    return [float(each) for each in np.median(found, axis=0)]


def _seconds(call: Call, repeats: int) -> float:
    call()
    start = clock()
    for _ in range(repeats):
        call()
    return (clock() - start) / repeats
