"""B as winners' kernels read it: columns of float32, a copy of half the size, and its bounds."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.formats import (
    SMALLEST_NORMAL,
    UNIT_ROUNDOFF,
    bfloat16_to_float32,
    float32_to_bfloat16,
)
from maddjit.compiler.maddness import settings
from maddjit.compiler.workspace import aligned_zeros
from maddjit.models.short_list import SETTLE_LANES, ShortList

WORDS = 16
"""Words of 32 bits side by side; the lower half is one column's, the whole word another's."""
BOUND_NUMBERS = 4
"""Numbers beside each output's copy: r, c, its bias, and a zero."""
_LARGEST = 2.0**60
"""Norms from which a column gets no bound, because its products might overflow."""
_SMALLEST = 0x0D800000
"""The bits of 2^-100. A zero beside another column's bits would be denormal, slow on some CPUs."""
_SPARE = 16
"""Roundings besides those of a sum: of the bias, the bound, its parts and the comparison."""
_AT_ONCE = 2**20
"""Elements of B that are packed at a time."""


@dataclass(frozen=True)
class Packing:
    """Where the columns of B, their copies and the bounds are, in bytes from a cache line on.

    A column has `columns` elements, zeros included that fill up the last group of lanes.
    """

    columns: int
    n_outputs: int

    @classmethod
    def of(cls, n_features: int, n_outputs: int) -> Packing:
        """Return the places for B of shape (n_features, n_outputs)."""
        return cls(-(-n_features // SETTLE_LANES) * SETTLE_LANES, n_outputs)

    @property
    def column_bytes(self) -> int:
        """Bytes of a column of float32."""
        return 4 * self.columns

    @property
    def copy_bytes(self) -> int:
        """Bytes of a column's copy."""
        return 2 * self.columns

    @property
    def copies_offset(self) -> int:
        """Where the copies begin."""
        return self.n_outputs * self.column_bytes

    @property
    def bounds_offset(self) -> int:
        """Where the bounds begin."""
        return self.copies_offset + self.n_outputs * self.copy_bytes

    @property
    def is_near(self) -> bool:
        """Whether a cache close by holds all columns of float32."""
        return self.copies_offset <= settings.NEAR_BYTES

    @property
    def n_bytes(self) -> int:
        """Bytes of everything."""
        return self.bounds_offset + 4 * BOUND_NUMBERS * self.n_outputs


_kept: WeakKeyDictionary[ShortList, NDArray[np.float32]] = WeakKeyDictionary()


def packed_of(short: ShortList) -> NDArray[np.float32]:
    """Return B of a short list as kernels read it. It is made once, and all kernels share it."""
    found = _kept.get(short)
    if found is None:
        found = _kept[short] = packed(short.B, short.bias)
    return found


def packed(B: NDArray[np.float32], bias: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return B (D, M) with its copy and bounds as `Packing` lays them out, in float32 (n,)."""
    n_features, n_outputs = B.shape
    places = Packing.of(*B.shape)
    found: NDArray[np.float32] = aligned_zeros(places.n_bytes // 4, "<f4")
    columns, copies, bounds = (
        part.reshape(n_outputs, -1)
        for part in np.split(found, [places.copies_offset // 4, places.bounds_offset // 4])
    )
    columns[:, :n_features] = B.T
    step = max(1, _AT_ONCE // places.columns)
    for start in range(0, n_outputs, step):
        part = slice(start, start + step)
        words = halved(columns[part])
        copies[part] = words.view("<f4")
        r, c = bound(columns[part], copied(words), bias[part], n_features)
        bounds[part, 0], bounds[part, 1], bounds[part, 2] = r, c, bias[part]
    found.flags.writeable = False
    return found


def halved(columns: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return (M, columns / 2) words: for each 32 columns 16, of column i and column 16 + i each.

    Column i is rounded to bfloat16 and becomes the lower half of the word. Column 16 + i is read as
    the whole word, without masking the lower half. So the upper half is chosen to make the word as
    close to the column's element as any bfloat16 could be.
    """
    parted = columns.reshape(len(columns), -1, 2, WORDS)
    lower = float32_to_bfloat16(parted[:, :, 0]).astype(np.uint32)
    bits = np.ascontiguousarray(parted[:, :, 1]).view(np.uint32)
    size = (bits & 0x7FFFFFFF).astype(np.int64) - lower + 0x8000
    upper = np.maximum(size, _SMALLEST).astype(np.uint32) & 0xFFFF0000
    words: NDArray[np.uint32] = bits & 0x80000000 | upper | lower
    return words.reshape(len(columns), -1)


def copied(words: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Return the columns that kernels read from the words of `halved`, in float32."""
    lower = bfloat16_to_float32(words.astype(np.uint16)).reshape(len(words), -1, 1, WORDS)
    both = np.concatenate([lower, words.view(np.float32).reshape(lower.shape)], axis=2)
    return both.reshape(len(words), -1)


def bound(
    columns: NDArray[np.float32],
    copies: NDArray[np.float32],
    bias: NDArray[np.float32],
    n_features: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return r and c of each output: its value v from a copy is wrong by at most ‖a‖ r + c.

    v ± (‖a‖ r + c) are bounds of the float32 output y of `maddjit.reference.settle`. They hold for
    finite rows whose ‖a‖ does not overflow. They hold if v and the bounds are computed in float32,
    in any order of additions, with fused products or without. Decision 0015 derives them. Outputs
    too large for that have infinite r and c.
    """
    terms = (n_features + _SPARE) * UNIT_ROUNDOFF
    with np.errstate(invalid="ignore", over="ignore"):  # a copy may be infinite, or no number
        exact, rounded = columns.astype(np.float64), copies.astype(np.float64)
        norms = np.linalg.norm(exact, axis=1) + np.linalg.norm(rounded, axis=1)
        apart = np.linalg.norm(rounded - exact, axis=1)
        start = np.abs(bias.astype(np.float64))
        is_bounded = (norms < _LARGEST) & (start < _LARGEST) & (4 * terms < 1)
        gamma = terms / (1 - terms)
        wider = 1 / (1 - gamma)
        r = wider * (apart + gamma * norms)
        c = wider * (2 * gamma * start + r * n_features**0.5 * 2 * SMALLEST_NORMAL**0.5)
        c += (n_features + _SPARE) * 4 * SMALLEST_NORMAL
        r, c = (np.nextafter(part.astype(np.float32), np.float32(np.inf)) for part in (r, c))
    infinite = np.float32(np.inf)
    return np.where(is_bounded, r, infinite), np.where(is_bounded, c, infinite)
