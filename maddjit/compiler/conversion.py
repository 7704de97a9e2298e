"""How numbers are widened for comparing and narrowed for storing, given a target."""

from __future__ import annotations

import struct

import numpy as np

from maddjit.arrays.formats import OUTPUTS
from maddjit.compiler.maddness.plan import Ending
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import Target

_WIDENINGS = {
    "float32": "none",
    "float64": "none",
    "bfloat16": "bfloat16",
    "int8": "signed",
    "int16": "signed",
    "uint8": "unsigned",
}


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
    low = literal(epilogue.low) if epilogue.low > -np.inf else ""
    high = literal(epilogue.high) if epilogue.high < np.inf else ""
    if epilogue.is_integer:
        limits = np.iinfo(OUTPUTS[epilogue.dtype].dtype)
        return Ending(
            "integer",
            low,
            high,
            units=literal(float(np.float32(1) / np.float32(epilogue.step))),
            smallest=literal(limits.min - epilogue.zero_point),
            largest=literal(limits.max - epilogue.zero_point),
            zero_point=epilogue.zero_point,
        )
    match epilogue.dtype:
        case "float64":
            return Ending("double", low, high)
        case "float16":
            return Ending("half" if target.converts_half else "half bits", low, high)
        case "bfloat16":
            return Ending("bfloat16", low, high)
    return Ending("none", low, high)


def literal(value: float) -> str:
    """Write a float32 number as LLVM does: by the bits of the same float64."""
    return "0x" + struct.pack(">d", value).hex().upper()
