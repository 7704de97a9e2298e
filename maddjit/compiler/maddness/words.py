"""The part of a plan that requantises sums in vectors of 16-bit words, without widening them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maddjit.compiler.maddness.shuffles import Sides, lane_sides
from maddjit.compiler.target import Target
from maddjit.models.requantising import Requantising

_LANE = 16
"""Bytes of a vector within which instructions interleave and pack two vectors."""

_NO_SIGN = -(2**15)
"""What a word is combined with by exclusive or to take 32768 from it: it is a signed word then."""


@dataclass(frozen=True)
class Clamp:
    """Packed results are replaced by `bound` unless `is_within`, an LLVM comparison, holds."""

    name: str
    is_within: str
    bound: int


@dataclass(frozen=True)
class WordEnding:
    """How two vectors of 16-bit sums become one vector of requantised bytes.

    All of it follows from `Requantising`: the instruction of a product keeps its upper half,
    rounded; additions saturate, and so do packs. Packing works lane by lane of 16 bytes: the first
    vector's words become the lower half of each lane of bytes, the second one's the upper half.

    Attributes
    ----------
    n_bytes, n_words : int
        Elements of a vector of results and of sums.
    product : str
        The instruction that multiplies words.
    pack : str
        The instruction that packs two vectors of words with saturation; empty if words are clamped
        to the bytes from `smallest` to `largest` and then shortened.
    narrow : str
        For sums of 32 bits, the instruction that packs two vectors of them to words.
    shift : int
        Fractional bits that are dropped in the end.
    flip : int
        What sums are combined with by exclusive or; 0 for nothing.
    smallest, largest : int
        The limits of the results' type.
    clamps : tuple of Clamp
        The limits of the epilogue that lie inside of those.
    """

    n_bytes: int
    n_words: int
    product: str
    pack: str
    narrow: str
    shift: int
    flip: int
    smallest: int
    largest: int
    clamps: tuple[Clamp, ...]

    @property
    def n_numbers(self) -> int:
        """The 32-bit numbers of a vector."""
        return self.n_words // 2

    @property
    def lower_sides(self) -> Sides:
        """The lanes that interleave the lower halves of each lane of two vectors of bytes."""
        return lane_sides(self.n_bytes, _LANE, "lower")

    @property
    def upper_sides(self) -> Sides:
        """The lanes that interleave the upper halves of each lane of two vectors of bytes."""
        return lane_sides(self.n_bytes, _LANE, "upper")

    @property
    def turns(self) -> tuple[int, ...]:
        """The lanes of packed even and odd words in the order of their rows."""
        half = _LANE // 2
        return tuple(
            row // _LANE * _LANE + row % _LANE // 2 + half * (row % 2)
            for row in range(self.n_bytes)
        )

    @property
    def packed(self) -> tuple[int, ...]:
        """The words of two vectors side by side in the order in which they are packed."""
        half = _LANE // 2
        return tuple(
            i // _LANE * half + i % half + self.n_words * (i % _LANE // half)
            for i in range(self.n_bytes)
        )


def plan_words(
    requantising: Requantising | None, target: Target, sum_bits: int, is_narrowed: bool
) -> WordEnding | None:
    """Return how sums of at most 16 bits are requantised in words, if `target` can do that.

    Parameters
    ----------
    sum_bits : int
        Bits of a sum.
    is_narrowed : bool
        Whether sums come in vectors of 32-bit numbers, of which four are packed.
    """
    known = target.words
    if requantising is None or known is None or sum_bits > 16:
        return None
    if is_narrowed and not known.narrow:
        return None
    limits = np.iinfo(requantising.dtype)
    is_signed = limits.min < 0
    clamps = []
    if requantising.least > limits.min:
        clamps.append(Clamp("raised", "sgt" if is_signed else "ugt", requantising.least))
    if requantising.most < limits.max:
        clamps.append(Clamp("lowered", "slt" if is_signed else "ult", requantising.most))
    return WordEnding(
        n_bytes=target.vector_bytes,
        n_words=target.vector_bytes // 2,
        product=known.product,
        pack=known.packs[0 if is_signed else 1] if known.packs else "",
        narrow=known.narrow if is_narrowed else "",
        shift=requantising.shift,
        flip=_NO_SIGN if requantising.is_centred else 0,
        smallest=int(limits.min),
        largest=int(limits.max),
        clamps=tuple(clamps),
    )
