"""Sums, differences, products and quotients of values and constants, as they enter a `Drawing`."""

from __future__ import annotations

from typing import Any

import numpy as np

from maddjit.integrations.networks.drawing import Drawing, Value


def add(draw: Drawing, x: Any, other: Any) -> Value:
    """Add two values, or a constant array to one."""
    if isinstance(x, Value) and isinstance(other, Value):
        return draw.sum(x, other)
    value, constant = (x, other) if isinstance(x, Value) else (other, x)
    return draw.affine(value, 1.0, constant)


def subtract(draw: Drawing, x: Any, other: Any) -> Value:
    """Subtract a constant array from a value, or a value from it."""
    if isinstance(x, Value) and isinstance(other, Value):
        raise draw.refuse("a difference of two tensors is not supported")
    if isinstance(x, Value):
        return draw.affine(x, 1.0, -np.asarray(other))
    return draw.affine(other, -1.0, x)


def multiply(draw: Drawing, x: Any, other: Any) -> Value:
    """Multiply a value by a constant array."""
    if isinstance(x, Value) and isinstance(other, Value):
        raise draw.refuse("a product of two tensors is not supported")
    value, constant = (x, other) if isinstance(x, Value) else (other, x)
    return draw.affine(value, constant, 0.0)


def divide(draw: Drawing, x: Any, other: Any) -> Value:
    """Divide a value by a constant array."""
    if not isinstance(x, Value) or isinstance(other, Value):
        raise draw.refuse("a quotient is supported only if its divisor alone is constant")
    with np.errstate(divide="ignore"):
        return draw.affine(x, 1 / np.asarray(other, np.float64), 0.0)
