"""The instructions that look vectors of codes up in tables of bytes: for one codebook, or four."""

from __future__ import annotations

from dataclasses import dataclass, replace

from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.runs import Summands, Sums
from maddjit.compiler.target import Target

_QUAD_ENTRIES = 64
"""Entries of the one table that four codebooks of 16 are looked up in, and bytes of its vector."""


@dataclass(frozen=True)
class ByteShuffle:
    """The instruction that looks a vector of codes up in a table of bytes.

    A table has `entries` bytes. The first `loaded` of them are read into one vector, which `spread`
    fills by repeating them. Without a `spread`, a table takes two vectors. With 4 `codebooks`, the
    tables of four neighbours stand side by side in one table, and one more instruction, `adding`,
    adds the four entries of each row.
    """

    intrinsic: str
    lanes: int
    loaded: int
    entries: int
    spread: tuple[int, ...]
    codebooks: int = 1
    adding: str = ""

    @property
    def rows(self) -> int:
        """Rows of a vector."""
        return self.lanes // self.codebooks


@dataclass(frozen=True)
class Quads:
    """The codes of four codebooks side by side for each row: `count` quads, `step` bytes each."""

    count: int
    step: int

    @property
    def n_bytes(self) -> int:
        """Bytes of all quads, and of the codes that they are made of."""
        return self.count * self.step

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The lanes that bring two vectors of 64 side by side."""
        return tuple((i, 64 + i) for i in range(64))


def byte_shuffle(target: Target, n_prototypes: int) -> ByteShuffle | None:
    """Return the shuffle for tables of so many entries, or None if `target` has none."""
    entries = max(16, n_prototypes)
    intrinsic = target.byte_shuffle(entries)
    if not intrinsic:
        return None
    lanes = target.vector_bytes
    # A table shorter than the vector is repeated: shuffles look in each 16 bytes, or by low bits.
    spread = tuple(i % entries for i in range(lanes)) if entries <= lanes else ()
    return ByteShuffle(intrinsic, lanes, min(entries, lanes), entries, spread)


def quad_shuffle(summands: Summands, target: Target) -> ByteShuffle | None:
    """Return the shuffle for four codebooks at a time, or None if that is impossible or slower.

    The template is written for vectors of 64 bytes. Fours are faster where sums are wide and few
    codebooks add up in a byte.
    """
    shuffle, sums = byte_shuffle(target, _QUAD_ENTRIES), summands.sums
    can = shuffle and shuffle.lanes == _QUAD_ENTRIES and summands.n_prototypes <= 16
    wide = sums.bits > 8 and sums.group < settings.LEAST_GROUP and sums.accumulate == "exact"
    if shuffle and can and wide and target.byte_products:
        return replace(shuffle, codebooks=4, adding=target.byte_products)
    return None


def quadrupled(summands: Summands) -> Summands:
    """Return the summands if four neighbouring codebooks are one, whose sum has 32 bits."""
    return replace(
        summands,
        n_codebooks=-(-summands.n_codebooks // 4),
        sums=Sums("exact", 32, 1),
        codes_step=4 * summands.codes_step,
    )
