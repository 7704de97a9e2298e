"""Splicing: sums become float32 by bytes that are put between theirs, without a conversion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.signature import Signature
from maddjit.compiler.target import Target
from maddjit.models.maddness import MaddnessModel

RAISED = 2.0**23
"""What is added to a sum by two bytes in front of it: they are the upper half of this number."""


def spliced_lanes(model: MaddnessModel, target: Target, signature: Signature) -> int:
    """Return the width of the planes whose sums are spliced; 0 if none are.

    A spliced sum is float32, greater by `RAISED`. One fused operation takes that much away and
    multiplies by the scale, and rounds as the multiplication alone would, because RAISED · scale
    is exact. It must be finite. The sign of a zero differs from that of a product with a negative
    scale, which shows if −0 is added.
    """
    if not target.fuses or signature.result not in ("outputs", "argmax"):
        return 0
    if signature.epilogue.arithmetic == "integer":
        return 0
    is_finite = np.abs(model.scale).max() < np.finfo(np.float32).max / RAISED
    shows = np.signbit(model.scale) & np.signbit(model.offset) & (model.offset == 0)
    return target.vector_bytes if is_finite and not shows.any() else 0


def halves(lanes: int, itemsize: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the lanes that interleave two vectors, as instructions do: within every 16 bytes.

    The first result interleaves the lower halves of each 16 bytes, the second one the upper halves.

    >>> halves(16, 2)[0]
    (0, 16, 1, 17, 2, 18, 3, 19, 8, 24, 9, 25, 10, 26, 11, 27)
    """
    half = 8 // itemsize
    low = [lane for first in range(0, lanes, 2 * half) for lane in range(first, first + half)]
    return _with_others(low, lanes), _with_others([lane + half for lane in low], lanes)


def _with_others(chosen: list[int], lanes: int) -> tuple[int, ...]:
    """Return the chosen lanes of a vector, each followed by the same lane of another one."""
    return tuple(number for lane in chosen for number in (lane, lanes + lane))


def spliced_order(lanes: int, sum_bits: int) -> NDArray[np.intp]:
    """Return the output of each byte of a plane whose sums are spliced.

    >>> spliced_order(16, 8).tolist()
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
    """
    places = np.arange(lanes)
    if sum_bits == 16:
        words = [places[0::2], places[1::2]]
    else:
        words = [places[list(mask[::2])] for mask in halves(lanes, 1)]
    numbers = [word[list(mask[::2])] for word in words for mask in halves(lanes // 2, 2)]
    return np.argsort(np.concatenate(numbers))
