"""Reads an ONNX model as a `Graph` of exact layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import helper

from maddjit.integrations.networks import arithmetic
from maddjit.integrations.networks.drawing import BATCH, Drawing, Value
from maddjit.integrations.networks.folding import folded
from maddjit.integrations.networks.graph import Graph, Shape, UnsupportedLayerError
from maddjit.integrations.networks.sides import NO_SIDES, Sides
from maddjit.integrations.onnx.graph import DOMAINS, constant, indexed, is_constant
from maddjit.models.window import Window, same_padding

Given = Sequence[Any]
"""The inputs of a node: values, shapes, arrays for constants, None for those that are left out."""

Attributes = dict[str, Any]


def graph_of(proto: Any, shape: Shape) -> Graph:
    """Return the exact graph of a model with one input and one output, batch-norms folded.

    Raises
    ------
    UnsupportedLayerError
        If the model has a node that networks cannot have; the message names it.
    """
    index = indexed(proto)
    inputs = [each.name for each in proto.graph.input if each.name not in index.stored]
    outputs = [each.name for each in proto.graph.output]
    for names, what in ((inputs, "input"), (outputs, "output")):
        if len(names) != 1:
            raise UnsupportedLayerError(f"a network has one {what}, not {names}")
    draw = Drawing(shape)
    found: dict[str, Any] = {inputs[0]: draw.image, "": None}
    n_images = _n_images(proto, inputs[0])
    for node in index.nodes:
        if all(is_constant(index, name) for name in node.output if name):
            continue
        draw.name = node.name or node.output[0]
        given = [found[name] if name in found else _array(draw, index, name) for name in node.input]
        function = _FUNCTIONS.get(node.op_type) if node.domain in DOMAINS else None
        if function is None:
            raise draw.refuse(f"a node of type {node.op_type} is not supported")
        own = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        own["the images of the input"] = n_images
        found[node.output[0]] = function(draw, given, own)
    draw.name = outputs[0]
    return folded(draw.finish(found.get(outputs[0])))


def _n_images(proto: Any, name: str) -> int | None:
    """Return the number of images of an input, if the model fixes it."""
    (own,) = (each for each in proto.graph.input if each.name == name)
    axes = own.type.tensor_type.shape.dim
    return axes[0].dim_value or None if axes else None


def _array(draw: Drawing, index: Any, name: str) -> Any:
    if not is_constant(index, name):
        raise draw.refuse(f"its input {name!r} is neither constant nor made of the images")
    return constant(index, name)


def _window(draw: Drawing, x: Any, kernel: Sequence[int], own: Attributes) -> Window:
    """Return the window of a node, with its padding."""
    if len(kernel) != 2:
        raise draw.refuse(f"kernels have 2 axes, not {len(kernel)}")
    rows, columns = map(int, kernel)
    down, across = own.get("strides", (1, 1))
    dilation = own.get("dilations", (1, 1))
    window = Window((rows, columns), (down, across), dilation=(dilation[0], dilation[1]))
    kind = own.get("auto_pad", b"NOTSET").decode()
    sides: Sides = NO_SIDES
    if kind == "SAME_UPPER" or kind == "SAME_LOWER":
        where = "upper" if kind == "SAME_UPPER" else "lower"
        _, *size = draw.shape(x)
        geometry = window.kernel, window.stride, window.dilation
        sides = same_padding(where, *geometry, (size[0], size[1]))
    elif kind == "NOTSET":
        top, left, bottom, right = own.get("pads", (0, 0, 0, 0))
        sides = (top, bottom, left, right)
    if min(sides) < 0:
        raise draw.refuse("negative padding is not supported")
    return Window(window.kernel, window.stride, sides, window.dilation)


def _value(draw: Drawing, x: Any) -> Any:
    if not isinstance(x, Value):
        raise draw.refuse("its first input must depend on the images")
    return x


def _constants(draw: Drawing, given: Given) -> list[Any]:
    """Return inputs that must be constants or left out."""
    if any(isinstance(each, Value) for each in given):
        raise draw.refuse("weights that depend on the images are not supported")
    return list(given)


def _conv(draw: Drawing, given: Given, own: Attributes) -> Value:
    x = _value(draw, given[0])
    weights, bias = (*_constants(draw, given[1:]), None)[:2]
    window = _window(draw, x, weights.shape[2:], own)
    return draw.convolution(x, weights, bias, window, own.get("group", 1))


def _batch_norm(draw: Drawing, given: Given, own: Attributes) -> Value:
    if own.get("training_mode", 0):
        raise draw.refuse("a batch-norm in training mode is not supported")
    weight, bias, mean, variance = (
        np.asarray(each, np.float64) for each in _constants(draw, given[1:5])
    )
    # The definition has a float32 attribute.
    scale = weight / np.sqrt(variance + float(own.get("epsilon", 1e-5)))
    return draw.norm(given[0], scale, bias - mean * scale)


def _clip(draw: Drawing, given: Given, own: Attributes) -> Value:
    low, high = own.get("min", -math.inf), own.get("max", math.inf)
    limits = _constants(draw, given[1:])
    if limits and limits[0] is not None:
        low = float(np.asarray(limits[0]).item())
    if len(limits) > 1 and limits[1] is not None:
        high = float(np.asarray(limits[1]).item())
    return draw.clamp(given[0], low, high)


def _max_pool(draw: Drawing, given: Given, own: Attributes) -> Value:
    x = _value(draw, given[0])
    window = _window(draw, x, own["kernel_shape"], own)
    return draw.max_pool(x, window, bool(own.get("ceil_mode", 0)))


def _average_pool(draw: Drawing, given: Given, own: Attributes) -> Value:
    x = _value(draw, given[0])
    window = _window(draw, x, own["kernel_shape"], own)
    counts = bool(own.get("count_include_pad", 0))
    return draw.average_pool(x, window, bool(own.get("ceil_mode", 0)), counts)


def _reduce_mean(draw: Drawing, given: Given, own: Attributes) -> Value:
    axes = own.get("axes")
    if len(given) > 1:
        axes = np.asarray(_constants(draw, given[1:])[0]).tolist()
    if axes is None or sorted(axis % 4 for axis in axes) != [2, 3]:
        raise draw.refuse("a mean is supported over rows and columns alone")
    made = draw.global_average(given[0])
    return made if own.get("keepdims", 1) else draw.flatten(made)


def _concat(draw: Drawing, given: Given, own: Attributes) -> Any:
    if any(isinstance(each, Value) for each in given):
        return draw.join(given, own["axis"])
    return [size for each in given for size in _sizes(each)]


def _sizes(given: Any) -> list[Any]:
    """Return a shape as a list: of numbers, and of `BATCH` where the images are counted."""
    return given if isinstance(given, list) else np.atleast_1d(given).tolist()


def _shape(draw: Drawing, given: Given, own: Attributes) -> list[Any]:
    x = _value(draw, given[0])
    sizes = draw.shape(x)
    whole = [BATCH, math.prod(sizes)] if x.is_flat else [BATCH, *sizes]
    return whole[own.get("start", 0) : own.get("end")]


def _gather(draw: Drawing, given: Given, own: Attributes) -> list[Any]:
    if isinstance(given[0], Value) or own.get("axis", 0):
        raise draw.refuse("only entries of a shape can be gathered")
    return [_sizes(given[0])[int(at)] for at in np.atleast_1d(given[1])]


def _slice(draw: Drawing, given: Given, own: Attributes) -> list[Any]:
    if isinstance(given[0], Value) or len(given) > 4 or not len(given) > 2:
        raise draw.refuse("only parts of a shape can be taken")
    first, last = (int(np.asarray(each).item()) for each in given[1:3])
    return _sizes(given[0])[first:last]


def _unsqueeze(draw: Drawing, given: Given, own: Attributes) -> Any:
    if isinstance(given[0], Value):
        raise draw.refuse("new axes are not supported")
    return given[0]


def _squeeze(draw: Drawing, given: Given, own: Attributes) -> Any:
    if not isinstance(given[0], Value):
        return given[0]
    axes = own.get("axes")
    if len(given) > 1 and given[1] is not None:
        axes = np.asarray(given[1]).tolist()
    if axes is None or sorted(axis % 4 for axis in axes) != [2, 3]:
        raise draw.refuse("only rows and columns can be squeezed")
    if draw.shape(given[0])[1:] != (1, 1):
        raise draw.refuse("only planes of 1 × 1 can be squeezed")
    return draw.flatten(given[0])


def _flatten(draw: Drawing, given: Given, own: Attributes) -> Value:
    if own.get("axis", 1) != 1:
        raise draw.refuse("only all axes but the first can be flattened")
    return draw.flatten(given[0])


def _reshape(draw: Drawing, given: Given, own: Attributes) -> Value:
    x = _value(draw, given[0])
    channels, *size = draw.shape(x)
    wanted = _sizes(given[1])
    flat, whole = math.prod(draw.shape(x)), [channels, *size]
    before = [flat] if x.is_flat else whole
    rest = [
        before[i] if each == 0 and i < len(before) and not own.get("allowzero") else each
        for i, each in enumerate(wanted[1:])
    ]
    is_first = wanted[0] in (BATCH, 0, own["the images of the input"])
    if (rest == [flat] and (is_first or wanted[0] == -1)) or (rest == [-1] and is_first):
        return draw.flatten(x)
    if rest == whole and (is_first or wanted[0] == -1):
        return draw.unflatten(x)
    raise draw.refuse(f"the new shape {tuple(wanted)} is not supported, only (N, −1)")


def _gemm(draw: Drawing, given: Given, own: Attributes) -> Value:
    if own.get("transA", 0):
        raise draw.refuse("transA is not supported")
    weights, bias = (*_constants(draw, given[1:]), None)[:2]
    matrix = np.asarray(weights, np.float64) * own.get("alpha", 1.0)
    matrix = matrix if own.get("transB", 0) else matrix.T
    if bias is not None:
        scaled = np.asarray(bias, np.float64) * own.get("beta", 1.0)
        bias = np.broadcast_to(scaled.reshape(-1) if scaled.size > 1 else scaled, len(matrix))
    return draw.linear(given[0], matrix, bias)


def _matmul(draw: Drawing, given: Given, own: Attributes) -> Value:
    (weights,) = _constants(draw, given[1:])
    if weights.ndim != 2:
        raise draw.refuse(f"a matrix has 2 axes, not {weights.ndim}")
    return draw.linear(given[0], weights.T, None)


def _pad(draw: Drawing, given: Given, own: Attributes) -> Value:
    pads: list[int] = list(own.get("pads", ()))
    value = own.get("value", 0.0)
    others = _constants(draw, given[1:])
    if others:
        pads = np.asarray(others[0]).tolist()
    if len(others) > 1 and others[1] is not None:
        value = float(np.asarray(others[1]).item())
    is_plain = own.get("mode", b"constant") == b"constant" and value == 0 and len(others) < 3
    if not is_plain or len(pads) != 8 or any(pads[i] for i in (0, 1, 4, 5)):
        raise draw.refuse("only padding of rows and columns by zeros is supported")
    return draw.pad(given[0], (pads[2], pads[6], pads[3], pads[7]))


def _quantise(draw: Drawing, given: Given, own: Attributes) -> Value:
    """Clamp to what the 8-bit numbers of a quantised model can stand for."""
    scale, zero = (*_constants(draw, given[1:]), np.uint8(0))[:2]
    zero = np.asarray(zero)
    if np.size(scale) != 1 or zero.size != 1 or zero.dtype not in (np.int8, np.uint8):
        raise draw.refuse("only one scale and zero point of 8 bits is supported")
    limits = np.iinfo(zero.dtype)
    low, high = (
        float((end - int(zero.item())) * np.float64(scale)) for end in (limits.min, limits.max)
    )
    return draw.clamp(given[0], low, high)


def _same(draw: Drawing, given: Given, own: Attributes) -> Any:
    return given[0]


_FUNCTIONS: dict[str, Callable[[Drawing, Given, Attributes], Any]] = {
    "Add": lambda draw, given, own: arithmetic.add(draw, *given),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "DequantizeLinear": _same,
    "Div": lambda draw, given, own: arithmetic.divide(draw, *given),
    "Dropout": _same,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda draw, given, own: draw.global_average(given[0]),
    "Identity": _same,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "Mul": lambda draw, given, own: arithmetic.multiply(draw, *given),
    "Pad": _pad,
    "QuantizeLinear": _quantise,
    "ReduceMean": _reduce_mean,
    "Relu": lambda draw, given, own: draw.clamp(given[0], 0.0, math.inf),
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": lambda draw, given, own: arithmetic.subtract(draw, *given),
    "Transpose": lambda draw, given, own: draw.permute(given[0], own.get("perm", (3, 2, 1, 0))),
    "Unsqueeze": _unsqueeze,
}
