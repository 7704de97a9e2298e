"""The exact Fashion-MNIST network in PyTorch and in onnxruntime, in float32 and in 8 bits."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import network
import numpy as np
from numpy.typing import NDArray

Call = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Takes images (N, 1, 28, 28) from 0 to 1 and returns logits (N, 10)."""

CHANNELS = (1, 24, 32, 40, 48, 96, 128)
STRIDES = (1, 2, 1, 1, 1, 1)


def weights_of(weights: dict[str, Any], i: int) -> NDArray[np.float32]:
    """Return the kernel (M, C, 3, 3) of convolution i, counted from 1."""
    kernel = weights[f"conv{i}"].reshape(3, 3, CHANNELS[i - 1], CHANNELS[i])
    return np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))


def hidden_of(weights: dict[str, Any]) -> NDArray[np.float32]:
    """Return the weights (512, 512) of the hidden layer, for planes flattened as (C, H, W)."""
    hidden = weights["hidden"].reshape(2, 2, 128, 512)
    return np.ascontiguousarray(hidden.transpose(3, 2, 0, 1).reshape(512, 512))


def in_torch() -> Any:
    """Return the network as a sequence of PyTorch's layers, in evaluation mode."""
    import torch
    from torch import nn

    weights, layers = network.load_weights(), OrderedDict[str, nn.Module]()

    def filled(layer: Any, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> nn.Module:
        layer.weight.data.copy_(torch.from_numpy(weight))
        layer.bias.data.copy_(torch.from_numpy(bias))
        made: nn.Module = layer
        return made

    for i, stride in enumerate(STRIDES, 1):
        layer = nn.Conv2d(CHANNELS[i - 1], CHANNELS[i], 3, stride, padding=1)
        layers[f"conv{i}"] = filled(layer, weights_of(weights, i), weights[f"conv{i}_bias"])
        layers[f"relu{i}"] = nn.ReLU()
        if i == 4:
            layers["pool4"] = nn.MaxPool2d(2)
    layers["pool6"], layers["flatten"] = nn.MaxPool2d(4, 3), nn.Flatten()
    layers["hidden"] = filled(nn.Linear(512, 512), hidden_of(weights), weights["hidden_bias"])
    layers["relu7"] = nn.ReLU()
    layers["head"] = filled(nn.Linear(512, 10), weights["head"].T, weights["head_bias"])
    return nn.Sequential(layers).eval().requires_grad_(False)


def by_torch() -> Call:
    """Return the network in PyTorch, in float32, channels last."""
    import torch

    torch.set_num_threads(1)
    net = in_torch().to(memory_format=torch.channels_last)

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        x = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            logits: NDArray[np.float32] = net(x).numpy()
        return logits

    return run


def _in_onnx() -> Any:
    """Return the network as an ONNX model."""
    from onnx import TensorProto, helper, numpy_helper

    weights, nodes, constants, last = network.load_weights(), [], {}, "images"

    def add(kind: str, *names: str, **options: Any) -> None:
        nonlocal last
        nodes.append(helper.make_node(kind, [last, *names], [f"value{len(nodes)}"], **options))
        last = f"value{len(nodes) - 1}"

    for i, stride in enumerate(STRIDES, 1):
        constants |= {f"w{i}": weights_of(weights, i), f"b{i}": weights[f"conv{i}_bias"]}
        add("Conv", f"w{i}", f"b{i}", pads=[1] * 4, strides=[stride] * 2, kernel_shape=[3, 3])
        add("Relu")
        if i == 4:
            add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    add("MaxPool", kernel_shape=[4, 4], strides=[3, 3])
    add("Flatten")
    constants |= {"w7": hidden_of(weights), "b7": weights["hidden_bias"]}
    constants |= {"w8": np.ascontiguousarray(weights["head"].T), "b8": weights["head_bias"]}
    add("Gemm", "w7", "b7", transB=1)
    add("Relu")
    add("Gemm", "w8", "b8", transB=1)
    kind = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "fashion",
        [helper.make_tensor_value_info("images", kind, ["n", 1, 28, 28])],
        [helper.make_tensor_value_info(last, kind, ["n", 10])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _session(model: bytes) -> Call:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = session.run(None, {"images": images})[0]
        return logits

    return run


def by_onnxruntime() -> Call:
    """Return the network in onnxruntime, in float32."""
    return _session(_in_onnx().SerializeToString())


def by_quantised_onnxruntime(calibration: NDArray[np.float32]) -> Call:
    """Return the network in onnxruntime in 8 bits: static, a scale for each output, calibrated."""
    import onnx
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(np.array_split(calibration, max(1, len(calibration) // 100)))

        def get_next(self) -> dict[str, Any] | None:
            images = next(self.left, None)
            return None if images is None else {"images": images}

    with tempfile.TemporaryDirectory() as folder:
        exact, whole = Path(folder, "exact.onnx"), Path(folder, "int8.onnx")
        onnx.save(_in_onnx(), exact)
        quantization.quantize_static(
            exact,
            whole,
            Reader(),
            quant_format=quantization.QuantFormat.QOperator,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return _session(whole.read_bytes())
