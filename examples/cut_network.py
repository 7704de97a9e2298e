"""Cuts PP-OCRv4's recogniser at its 1 × 1 convolutions, for `mobile_network.py`."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Operator = Callable[[Floats], Floats]


def session(model: bytes | str, profile: str = "") -> onnxruntime.InferenceSession:
    """Return a session with one thread, which may write a profile to a file with that prefix."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def runner(model: Any) -> Operator:
    """Return a function that runs a model of one input, and returns its first output."""
    made = session(model.SerializeToString())
    name = made.get_inputs()[0].name

    def run(x: Floats) -> Floats:
        found: Floats = made.run(None, {name: x})[0]
        return found

    return run


@dataclass(frozen=True, eq=False)
class Layer:
    """A 1 × 1 convolution, the tensors that it takes and gives, its weights (M, C, 1, 1)."""

    name: str
    source: str
    output: str
    weights: Floats
    bias: Floats

    def __call__(self, planes: Floats) -> Floats:
        """Return exact outputs of planes (1, C, H, W)."""
        _, channels, *size = planes.shape
        y = self.weights[:, :, 0, 0] @ planes.reshape(channels, -1) + self.bias[:, None]
        return y.reshape(1, -1, *size)


class Cut:
    """A network, cut at the 1 × 1 convolutions that every path from input to output crosses.

    `pieces[i]` leads from one of these layers to what the next one takes, `tails[i]` from what a
    layer gives to the output.
    """

    def __init__(self, path: Path) -> None:
        self.model = model = onnx.load(path)
        stored = [node for node in model.graph.node if node.op_type == "Constant"]
        for node in stored:  # as initialisers, which the parts and the quantiser take along
            node.attribute[0].t.name = node.output[0]
            model.graph.initializer.append(node.attribute[0].t)
            model.graph.node.remove(node)
        arrays = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
        image, last = model.graph.input[0].name, model.graph.output[0].name
        found = [
            Layer(node.name, node.input[0], node.output[0], *(arrays[n] for n in node.input[1:]))
            for node in model.graph.node
            if node.op_type == "Conv" and arrays[node.input[1]].shape[2:] == (1, 1)
            if len(node.input) == 3  # a few in the neck, off the trunk, have no bias
        ]
        for layer in found:
            outputs, inputs = layer.weights.shape[:2]
            for name, channels in ((layer.source, inputs), (layer.output, outputs)):
                shape = ["n", channels, "h", "w"]
                told = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
                model.graph.value_info.append(told)
        extractor = onnx.utils.Extractor(model)
        tails = [extractor.extract_model([layer.output], [last]) for layer in found]
        crossed = [
            not any(image in node.input for node in tail.graph.node)  # not around the layer
            for tail in tails
        ]
        self.layers = [
            layer for layer, is_crossed in zip(found, crossed, strict=True) if is_crossed
        ]
        self.tails = [runner(tail) for tail, own in zip(tails, crossed, strict=True) if own]
        starts = [image, *(layer.output for layer in self.layers)]
        ends = [*(layer.source for layer in self.layers), last]
        pairs = zip(starts, ends, strict=True)
        self.pieces = [runner(extractor.extract_model([start], [end])) for start, end in pairs]
        self.whole = runner(model)

    def run(self, operators: Sequence[Operator], x: Floats) -> Floats:
        """Return the output for an image, with operators in the place of the layers."""
        for piece, operator in zip(self.pieces[:-1], operators, strict=True):
            x = operator(piece(x))
        return self.pieces[-1](x)

    def metadata(self, key: str) -> str:
        """Return an entry that the file has about the network."""
        (found,) = (entry.value for entry in self.model.metadata_props if entry.key == key)
        return str(found)

    def share(self, image: Floats, runs: int) -> float:
        """Return the share of onnxruntime's time in float32 that the layers take.

        The time of each node is its least one, since the profile has wall time.
        """
        names = tuple(name for layer in self.layers for name in (layer.name, layer.output))
        durations: dict[str, list[float]] = defaultdict(list)
        with tempfile.TemporaryDirectory() as folder:
            made = session(self.model.SerializeToString(), str(Path(folder, "profile")))
            for _ in range(runs):
                made.run(None, {made.get_inputs()[0].name: image})
            for event in json.loads(Path(made.end_profiling()).read_text()):
                if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
                    durations[event["name"]].append(event["dur"])
        taken = {name: min(each) for name, each in durations.items()}
        own = sum(each for name, each in taken.items() if name.startswith(names))
        return own / sum(taken.values())

    def in_8_bits(self, images: Sequence[Floats]) -> Operator:
        """Return the network with exact 8-bit layers in their place, made by onnxruntime."""
        from onnxruntime import quantization

        name = self.model.graph.input[0].name

        class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self.left = iter(images)

            def get_next(self) -> dict[str, Any] | None:
                image = next(self.left, None)
                return None if image is None else {name: image}

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "int8.onnx")
            quantization.quantize_static(
                self.model,
                path,
                Reader(),
                quant_format=quantization.QuantFormat.QOperator,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_quantize=[layer.name for layer in self.layers],
            )
            return runner(onnx.load(path))
