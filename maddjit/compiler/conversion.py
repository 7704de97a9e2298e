"""Conversions of numbers: how a target widens elements of A and narrows outputs."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from maddjit.arrays.formats import INPUTS, OUTPUTS
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import Target

Narrowing = Literal["none", "double", "half", "half bits", "bfloat16", "integer", "requantised"]

_WIDENINGS = {
    "float32": "none",
    "float64": "none",
    "bfloat16": "bfloat16",
    "int8": "signed",
    "int16": "signed",
    "uint8": "unsigned",
}
"""How elements of A are widened, for formats that every target widens alike."""
_NARROWINGS: dict[str, Narrowing] = {
    "float32": "none",
    "float64": "double",
    "bfloat16": "bfloat16",
    "int8": "integer",
    "uint8": "integer",
}
"""How outputs are narrowed, for formats that every target narrows alike."""


@dataclass(frozen=True)
class Input:
    """How elements of A are read: LLVM's type, its size in bytes, and how they are widened."""

    element: str
    itemsize: int
    widening: str


@dataclass(frozen=True)
class Ending:
    """How an output is finished: clamped between two literals, then converted.

    An empty literal stands for no bound. To become an integer an output is multiplied by `units`,
    clamped between `smallest` and `largest`, and rounded; then `zero_point` is added. Where sums
    are requantised there is no output; `maddjit.models.requantising` says what happens instead.
    """

    narrowing: Narrowing
    low: str = ""
    high: str = ""
    units: str = ""
    smallest: str = ""
    largest: str = ""
    zero_point: int = 0


@dataclass(frozen=True)
class Output:
    """How outputs are written: LLVM's type, its size in bytes, and how they are finished."""

    element: str
    itemsize: int
    ending: Ending


def input_of(signature: Signature, target: Target) -> Input:
    """Return how a kernel of this signature reads elements of A."""
    form = INPUTS[signature.dtype]
    return Input(form.element, form.itemsize, widening(signature.dtype, target))


def output_of(signature: Signature, target: Target) -> Output:
    """Return how a kernel of this signature writes outputs.

    Raises
    ------
    ValueError
        If its result is not outputs.
    """
    finish = ending(signature, target)
    if finish is None:
        raise ValueError(f'result must be "outputs", not {signature.result!r}')
    return Output(signature.output.element, signature.output.itemsize, finish)


def widening(dtype: str, target: Target) -> str:
    """Return how elements of A become numbers that a threshold can be compared with."""
    if dtype == "float16":
        return "half" if target.converts_half else "half bits"
    return _WIDENINGS[dtype]


def ending(signature: Signature, target: Target) -> Ending | None:
    """Return how outputs are clamped and converted; None if the result is not outputs."""
    if signature.result != "outputs":
        return None
    epilogue = signature.epilogue
    if epilogue.arithmetic == "integer":
        return Ending("requantised")
    clamp = Ending(
        narrowing(epilogue.dtype, target),
        low=literal(epilogue.low) if epilogue.low > -np.inf else "",
        high=literal(epilogue.high) if epilogue.high < np.inf else "",
    )
    if not epilogue.is_integer:
        return clamp
    limits = np.iinfo(OUTPUTS[epilogue.dtype].dtype)
    return replace(
        clamp,
        units=literal(float(np.float32(1) / np.float32(epilogue.step))),
        smallest=literal(limits.min - epilogue.zero_point),
        largest=literal(limits.max - epilogue.zero_point),
        zero_point=epilogue.zero_point,
    )


def narrowing(dtype: str, target: Target) -> Narrowing:
    """Return how float32 outputs become the numbers that are stored."""
    if dtype == "float16":
        return "half" if target.converts_half else "half bits"
    return _NARROWINGS[dtype]


def literal(value: float) -> str:
    """Return a float32 number as LLVM writes it: the bits of the same number in float64.

    >>> literal(1.0)
    '0x3FF0000000000000'
    """
    return "0x" + struct.pack(">d", value).hex().upper()
