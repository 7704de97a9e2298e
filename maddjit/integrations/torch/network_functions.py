"""What PyTorch's functions add to a `Drawing`, each with the arguments that PyTorch gives it."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional

from maddjit.integrations.networks import arithmetic
from maddjit.integrations.networks.drawing import BATCH, Drawing, Value
from maddjit.models.window import Window, same_padding

Function = Callable[..., Any]
"""A function of a drawing and of the arguments of PyTorch's function."""


def numbers(given: Any) -> Any:
    """Return a tensor, or a number, as an array of float64; None stays None."""
    if given is None:
        return None
    return torch.as_tensor(given).detach().to("cpu", torch.float64).numpy()


def pair(given: Any) -> tuple[int, int]:
    """Return rows and columns: a single number is for both."""
    both = (given, given) if isinstance(given, int) else tuple(given)
    both = both * 2 if len(both) == 1 else both
    return int(both[0]), int(both[1])


def convolution(
    draw: Drawing,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Value:
    """Add a convolution."""
    if isinstance(weight, Value) or isinstance(bias, Value):
        raise draw.refuse("weights that depend on the images are not supported")
    weights = numbers(weight)
    if weights.ndim != 4:
        raise draw.refuse(f"weights must have 4 axes, not {weights.ndim}")
    window = Window(pair(weights.shape[2:]), pair(stride), dilation=pair(dilation))
    if padding == "same":
        _, height, width = draw.shape(x)
        geometry = window.kernel, window.stride, window.dilation
        sides = same_padding("upper", *geometry, (height, width))
    else:
        down, across = (0, 0) if padding == "valid" else pair(padding)
        sides = (down, down, across, across)
    window = Window(window.kernel, window.stride, sides, window.dilation)
    return draw.convolution(x, weights, numbers(bias), window, groups)


def linear(draw: Drawing, x: Any, weight: Any, bias: Any = None) -> Value:
    """Add a linear layer."""
    return draw.linear(x, numbers(weight), numbers(bias))


def batch_norm(
    draw: Drawing,
    x: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Value:
    """Add a batch-norm in evaluation mode: a scale and a shift."""
    if training or running_mean is None:
        raise draw.refuse("a batch-norm needs running statistics")
    mean, variance = numbers(running_mean), numbers(running_var)
    scale = (1 if weight is None else numbers(weight)) / (variance + eps) ** 0.5
    shift = (0 if bias is None else numbers(bias)) - mean * scale
    return draw.norm(x, scale, shift)


def relu(draw: Drawing, x: Any, inplace: bool = False) -> Value:
    """Add a ReLU."""
    return draw.clamp(x, 0.0, math.inf)


def relu6(draw: Drawing, x: Any, inplace: bool = False) -> Value:
    """Add a ReLU6."""
    return draw.clamp(x, 0.0, 6.0)


def hardtanh(
    draw: Drawing, x: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Value:
    """Add a clamp."""
    return draw.clamp(x, float(min_val), float(max_val))


def clamp(draw: Drawing, x: Any, min: Any = None, max: Any = None) -> Value:
    """Add a clamp of which one limit may be missing."""
    if not all(limit is None or isinstance(limit, int | float) for limit in (min, max)):
        raise draw.refuse("the limits of a clamp must be numbers")
    return draw.clamp(x, -math.inf if min is None else min, math.inf if max is None else max)


def max_pool(
    draw: Drawing,
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Value:
    """Add the maxima of windows."""
    if return_indices:
        raise draw.refuse("indices of maxima are not supported")
    window = _pooling(kernel_size, stride, padding, dilation)
    return draw.max_pool(x, window, ceil_mode)


def average_pool(
    draw: Drawing,
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: Any = None,
) -> Value:
    """Add the means of windows."""
    if divisor_override is not None:
        raise draw.refuse("divisor_override is not supported")
    window = _pooling(kernel_size, stride, padding, 1)
    return draw.average_pool(x, window, ceil_mode, count_include_pad)


def _pooling(kernel: Any, stride: Any, padding: Any, dilation: Any) -> Window:
    down, across = pair(padding)
    stride = kernel if stride is None or stride == [] else stride
    return Window(pair(kernel), pair(stride), (down, down, across, across), pair(dilation))


def adaptive_average_pool(draw: Drawing, x: Any, output_size: Any) -> Value:
    """Add the means of as many windows as are asked for, if all of them have the same size."""
    wanted = (output_size,) * 2 if isinstance(output_size, int) else tuple(output_size)
    size = draw.shape(x)[1:]
    rows, columns = (own if want is None else want for own, want in zip(size, wanted, strict=True))
    if size[0] % rows or size[1] % columns:
        raise draw.refuse(
            f"means of {rows} × {columns} windows of unequal sizes are not supported: the planes "
            f"have {size[0]} × {size[1]}"
        )
    kernel = size[0] // rows, size[1] // columns
    return draw.average_pool(x, Window(kernel, kernel))


def mean(draw: Drawing, x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Value:
    """Add the means of whole planes."""
    axes = tuple(dim) if isinstance(dim, list | tuple) else (dim,)
    if None in axes or sorted(axis % 4 for axis in axes) != [2, 3] or dtype is not None:
        raise draw.refuse("a mean is supported over rows and columns alone")
    made = draw.global_average(x)
    return made if keepdim else draw.flatten(made)


def identity(draw: Drawing, x: Any, *_: Any, **__: Any) -> Any:
    """Add nothing: dropout in evaluation mode, `contiguous`."""
    return x


def copy(draw: Drawing, x: Any, **_: Any) -> Any:
    """Add nothing; what is written to the copy or to the tensor is not seen in the other one."""
    return draw.copy(x)


def dropout(draw: Drawing, x: Any, p: float = 0.5, training: bool = True, **_: Any) -> Any:
    """Add nothing; refuse a dropout that is always on."""
    if training:
        raise draw.refuse("a dropout that is always on is not supported")
    return x


def flatten(draw: Drawing, x: Any, start_dim: int = 0, end_dim: int = -1) -> Value:
    """See planes as rows."""
    if start_dim != 1 or end_dim not in (-1, 3):
        raise draw.refuse("only all axes but the first can be flattened")
    return draw.flatten(x)


def reshape(draw: Drawing, x: Any, *shape: Any) -> Value:
    """See planes as rows, or rows of single numbers as planes of 1 × 1."""
    given = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    first, *rest = given
    channels, *size = draw.shape(x)
    if first in (BATCH, -1) and rest in ([-1] * (first == BATCH), [math.prod(draw.shape(x))]):
        return draw.flatten(x)
    if first in (BATCH, -1) and rest == [channels, *size]:
        return draw.unflatten(x)
    raise draw.refuse(f"the new shape {tuple(given)} is not supported, only (N, −1)")


def permute(draw: Drawing, x: Any, *axes: Any) -> Value:
    """Reorder axes."""
    given = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
    return draw.permute(x, tuple(given))


def pad(
    draw: Drawing, x: Any, pad: Sequence[int], mode: str = "constant", value: Any = None
) -> Value:
    """Put zeros around planes."""
    if mode != "constant" or value not in (None, 0, 0.0) or len(pad) != 4:
        raise draw.refuse("only padding of rows and columns by zeros is supported")
    left, right, top, bottom = pad
    return draw.pad(x, (top, bottom, left, right))


def concatenate(draw: Drawing, tensors: Sequence[Any], dim: int = 0) -> Value:
    """Put planes one after another."""
    return draw.join(tensors, dim)


def add(draw: Drawing, x: Any, other: Any, *, alpha: Any = 1) -> Value:
    """Add two tensors, or a constant to one."""
    if alpha != 1:
        raise draw.refuse("alpha is not supported")
    return arithmetic.add(draw, _constant(x), _constant(other))


def subtract(draw: Drawing, x: Any, other: Any, *, alpha: Any = 1) -> Value:
    """Subtract a constant from a tensor, or a tensor from a constant."""
    if alpha != 1:
        raise draw.refuse("alpha is not supported")
    return arithmetic.subtract(draw, _constant(x), _constant(other))


def multiply(draw: Drawing, x: Any, other: Any) -> Value:
    """Multiply a tensor by a constant."""
    return arithmetic.multiply(draw, _constant(x), _constant(other))


def divide(draw: Drawing, x: Any, other: Any) -> Value:
    """Divide a tensor by a constant."""
    return arithmetic.divide(draw, _constant(x), _constant(other))


def _constant(given: Any) -> Any:
    """Return a value as it is, and a constant as an array."""
    return given if isinstance(given, Value) else numbers(given)


def size(draw: Drawing, x: Any, dim: int | None = None) -> Any:
    """Return the shape of a tensor, or one of its axes."""
    channels, *own = draw.shape(x)
    top, bottom, left, right = x.zeros
    rows, columns = own[0] + top + bottom, own[1] + left + right
    planes = (rows, columns, channels) if x.channels_last else (channels, rows, columns)
    whole = (BATCH, math.prod(planes)) if x.is_flat else (BATCH, *planes)
    return whole if dim is None else whole[dim]


def attribute(draw: Drawing, x: Any, name: str) -> Any:
    """Return the shape of a tensor."""
    if name != "shape" or not isinstance(x, Value):
        raise draw.refuse(f"the attribute {name!r} of a tensor is not supported")
    return size(draw, x)


def item(draw: Drawing, x: Any, at: Any) -> Any:
    """Return an item of a shape."""
    if isinstance(x, Value):
        if x.is_flat and at == (slice(None), slice(None), None, None):
            return draw.unflatten(x)
        raise draw.refuse("parts of a tensor are not supported")
    return x[at]


FUNCTIONS: dict[Any, Function] = {
    **dict.fromkeys((functional.conv2d, torch.conv2d), convolution),
    functional.linear: linear,
    **dict.fromkeys((functional.batch_norm,), batch_norm),
    **dict.fromkeys((functional.relu, functional.relu_, torch.relu, torch.relu_), relu),
    functional.relu6: relu6,
    **dict.fromkeys((functional.hardtanh, functional.hardtanh_), hardtanh),
    **dict.fromkeys((torch.clamp, torch.clip, torch.clamp_, torch.clip_), clamp),
    **dict.fromkeys((functional.max_pool2d, torch.max_pool2d), max_pool),
    functional.avg_pool2d: average_pool,
    functional.adaptive_avg_pool2d: adaptive_average_pool,
    torch.mean: mean,
    **dict.fromkeys((functional.dropout, functional.dropout2d), dropout),
    torch.clone: copy,
    torch.flatten: flatten,
    torch.reshape: reshape,
    torch.permute: permute,
    functional.pad: pad,
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), concatenate),
    **dict.fromkeys((operator.add, operator.iadd, torch.add), add),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub), subtract),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul), multiply),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div), divide),
    getattr: attribute,
    operator.getitem: item,
}
"""Functions of PyTorch and operators."""

METHODS: dict[str, Function] = {
    **dict.fromkeys(("relu", "relu_"), relu),
    **dict.fromkeys(("clamp", "clamp_", "clip", "clip_"), clamp),
    **dict.fromkeys(("contiguous", "detach"), identity),
    "clone": copy,
    **dict.fromkeys(("view", "reshape"), reshape),
    **dict.fromkeys(("add", "add_"), add),
    **dict.fromkeys(("sub", "sub_"), subtract),
    **dict.fromkeys(("mul", "mul_"), multiply),
    **dict.fromkeys(("div", "div_"), divide),
    "flatten": flatten,
    "permute": permute,
    "mean": mean,
    "size": size,
}
"""Methods of tensors."""
