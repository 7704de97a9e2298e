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
    """The codes of four codebooks side by side for each row: `count` quads, `step` bytes each.

    Of 64 rows, the first vector of fours has the first 16, the second one the next, and so on. If
    the rows are `by_lanes`, each lane of 16 bytes has four of 16 neighbouring rows instead: the
    first vector the first four of each 16, the second one the next. Then sums that are packed twice
    are in the order of the rows.
    """

    count: int
    step: int
    by_lanes: bool = False

    @property
    def n_bytes(self) -> int:
        """Bytes of all quads, and of the codes that they are made of."""
        return self.count * self.step

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The lanes that bring two vectors of 64 side by side."""
        return tuple((i, 64 + i) for i in range(64))

    @property
    def bytes_by_lanes(self) -> tuple[tuple[str, Sides], ...]:
        """Two vectors of codes become two of pairs: their names, and the lanes of both."""
        return tuple((side, lane_sides(64, 16, side)) for side in ("lower", "upper"))

    @property
    def pairs_by_lanes(self) -> tuple[tuple[str, Sides], ...]:
        """Two vectors of pairs become two of fours: their names, and the lanes of both."""
        return tuple((side, lane_sides(32, 8, side)) for side in ("lower", "upper"))


Sides = tuple[tuple[int, int], ...]
"""Lanes of two vectors, which are interleaved."""


def lane_sides(n: int, per_lane: int, side: str) -> Sides:
    """Return the lanes that interleave one half of each lane of two vectors of n elements.

    A lane has `per_lane` elements; `side` names its "lower" or "upper" half.

    >>> lane_sides(8, 4, "upper")
    ((2, 10), (3, 11), (6, 14), (7, 15))
    """
    first = per_lane // 2 if side == "upper" else 0
    return tuple((i, n + i) for i in range(n) if 0 <= i % per_lane - first < per_lane // 2)


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


def quad_shuffle(summands: Summands, target: Target, is_packed: bool = False) -> ByteShuffle | None:
    """Return the shuffle for four codebooks at a time, or None if that is impossible or slower.

    The template is written for vectors of 64 bytes. Fours are faster where sums are wide and few
    codebooks add up in a byte; or however many do, if four vectors of sums are packed to one.
    """
    shuffle, sums = byte_shuffle(target, _QUAD_ENTRIES), summands.sums
    can = shuffle and shuffle.lanes == _QUAD_ENTRIES and summands.n_prototypes <= 16
    wide = sums.bits > 8 and sums.accumulate == "exact"
    wide &= is_packed or sums.group < settings.LEAST_GROUP
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
