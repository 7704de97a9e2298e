"""The number formats of A and of results: what NumPy, the buffer protocol and LLVM call them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Format:
    """A number format in memory.

    NumPy does not know bfloat16, so its bits are kept in uint16 arrays. Arrays of
    `ml_dtypes.bfloat16` are taken, too.

    Attributes
    ----------
    name : str
    dtype : dtype
        Of NumPy arrays that hold such numbers.
    letter : str
        The format's letter in the buffer protocol.
    element : str
        The type that LLVM loads and stores.
    """

    name: str
    dtype: np.dtype[Any]
    letter: str
    element: str

    @property
    def itemsize(self) -> int:
        """How many bytes a number takes."""
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
"""All number formats by name."""

INPUTS = {n: f for n, f in _ALL.items() if n not in ("int32", "uint16", "int64")}
"""The formats that A may have."""

OUTPUTS = {n: f for n, f in INPUTS.items() if n != "int16"}
"""The formats that outputs may be converted to."""

RESULTS = {"codes": _ALL["uint8"], "argmax": _ALL["int64"], "winners": _ALL["int64"]}
"""The formats of results that are neither outputs nor sums."""

SUMS = {name: _ALL[name] for name in ("uint8", "uint16", "int32")}
"""The formats that sums may be stored in, if they fit."""

Precision = Literal["float32", "bfloat16"]
"""The formats that Strassen-Tile multiplies in."""

UNIT_ROUNDOFF = 2.0**-24
"""Half the distance from 1 to the next float32: the largest relative error of a rounding."""

SMALLEST_NORMAL = 2.0**-126
"""The smallest normal float32 and bfloat16; an operation may turn smaller numbers into zero."""

_BY_DTYPE = {f.dtype: f for n, f in INPUTS.items() if n != "bfloat16"}
"""The formats that A may have by dtype; NumPy has no dtype of its own for bfloat16."""


def format_of(dtype: np.dtype[Any]) -> Format | None:
    """Return the format of a dtype in native byte order, or None if A cannot have it."""
    found = _BY_DTYPE.get(dtype)
    return INPUTS["bfloat16"] if found is None and dtype.name == "bfloat16" else found


def bfloat16_to_float32(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return bfloat16 numbers, given by their bits, as float32; this is exact."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def float32_to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return numbers rounded to bfloat16, ties to even, as bits; every NaN becomes the same one."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)
