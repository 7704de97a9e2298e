"""Number formats of A and of the outputs: what NumPy, the buffer protocol and LLVM call them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Format:
    """A number format in memory.

    bfloat16 is held in uint16 arrays, as its bits: NumPy does not know it. Arrays of
    `ml_dtypes.bfloat16` are taken too.
    """

    name: str
    dtype: np.dtype[Any]
    letter: str
    element: str

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self.dtype.itemsize


_ALL = {
    name: Format(name, np.dtype(dtype), letter, element)
    for name, dtype, letter, element in (
        ("float32", np.float32, "f", "float"),
        ("float64", np.float64, "d", "double"),
        ("float16", np.float16, "e", "i16"),
        ("bfloat16", np.uint16, "H", "i16"),
        ("int8", np.int8, "b", "i8"),
        ("uint8", np.uint8, "B", "i8"),
        ("int16", np.int16, "h", "i16"),
        ("int32", np.int32, "i", "i32"),
        ("uint16", np.uint16, "H", "i16"),
        ("int64", np.int64, "l", "i64"),
    )
}

INPUTS = {n: f for n, f in _ALL.items() if n not in ("int32", "uint16", "int64")}
"""What A may hold."""

OUTPUTS = {n: f for n, f in INPUTS.items() if n != "int16"}
"""What results may be converted to."""

RESULTS = {"codes": _ALL["uint8"], "argmax": _ALL["int64"], "winners": _ALL["int64"]}
"""What the results that are neither outputs nor sums hold."""

SUMS = {name: _ALL[name] for name in ("uint8", "uint16", "int32")}
"""What sums may be stored as, if they fit."""

_BY_DTYPE = {f.dtype: f for n, f in INPUTS.items() if n != "bfloat16"}


def format_of(dtype: np.dtype[Any]) -> Format | None:
    """Return the format of arrays of a native dtype that A may have, or None."""
    found = _BY_DTYPE.get(dtype)
    return INPUTS["bfloat16"] if found is None and dtype.name == "bfloat16" else found


def bfloat16_to_float32(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Widen bfloat16 numbers, given as their bits; exact."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def float32_to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round to bfloat16, ties to even, and return the bits; every NaN becomes the same one."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)
