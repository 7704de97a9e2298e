"""How long short lists are thinned out before exact products, by a copy of B of half the size."""

from __future__ import annotations

from dataclasses import dataclass

from maddjit.compiler.maddness.packing import BOUND_NUMBERS, WORDS, Packing
from maddjit.compiler.maddness.scanning import LINE
from maddjit.compiler.target import Target
from maddjit.models.short_list import SETTLE_LANES

_MEMBERS, _CHAINS = 4, 2
"""Outputs that are computed side by side, and sums of each, at most: additions wait for another."""
_NEAR, _FAR = (4, 8), (8, 32)
"""Places on a list, and lines of that column's copy, that are fetched ahead; others follow."""
_NEAR_BYTES = 1024 * 1024
"""Bytes of B that a cache holds close by."""


@dataclass(frozen=True)
class Fold:
    """One step of adding up lanes: `left` and `right` are LLVM's numbers of lanes.

    Of vectors that are still to be joined with another, in pairs, or of a single one.
    """

    before: int
    lanes: int
    left: tuple[int, ...]
    right: tuple[int, ...]


@dataclass(frozen=True)
class Piece:
    """Columns of a group that are half of a vector of words: the sum of products they enter.

    `before` and `after` are what templates call that sum.
    """

    word: int
    half: str
    row_piece: int
    before: str
    after: str


@dataclass(frozen=True)
class Turn:
    """How `members` outputs are computed side by side, in `chains` vectors of partial sums each.

    Vectors are added in pairs, so that halves of both are in one, `joins` times; the lanes of the
    last are then folded until there is one a member.
    """

    name: str
    members: int
    chains: int
    pieces: tuple[Piece, ...]
    joins: tuple[tuple[Fold, tuple[tuple[str, str, str], ...]], ...]
    """Folds, and what they make of which two: names of vectors."""
    folds: tuple[Fold, ...]
    last: str
    """The name of the vector that is folded."""

    @property
    def all_lanes(self) -> range:
        """The members."""
        return range(self.members)

    @property
    def mask(self) -> int:
        """Leaves of a number its multiple of `members`."""
        return -self.members

    @property
    def sums(self) -> tuple[tuple[str, str], ...]:
        """What templates call a member's sums before and after a group of columns."""
        return tuple(
            (f"chain.{i}", [p.after for p in self.pieces][i - self.chains])
            for i in range(self.chains)
        )


@dataclass(frozen=True)
class Screening:
    """Sizes and places of what thins out a list that is longer than `longest`.

    Offsets are those in the packed memory, in bytes.
    """

    longest: int
    turns: tuple[Turn, ...]
    n_groups: int
    copies_offset: int
    copy_bytes: int
    group_bytes: int
    bounds_offset: int
    bound_bytes: int
    members_ahead: int
    lines_ahead: tuple[int, ...]

    @property
    def words(self) -> range:
        """Vectors of words of a group of columns."""
        return range(SETTLE_LANES // (2 * WORDS))

    @property
    def row_pieces(self) -> range:
        """Vectors of a row for a group of columns."""
        return range(SETTLE_LANES // 16)

    @property
    def row_group_bytes(self) -> int:
        """Bytes of a row for a group of columns."""
        return 4 * SETTLE_LANES

    @property
    def norm_folds(self) -> tuple[Fold, ...]:
        """How the lanes of one vector are added up."""
        return turn("", 1, 1).folds


def turn(name: str, members: int, chains: int) -> Turn:
    """Return how so many members, a power of two up to 8, are computed side by side."""
    pieces: list[Piece] = []
    for i in range(SETTLE_LANES // WORDS):
        before = pieces[i - chains].after if i >= chains else f"chain.{i}"
        half = ("lower", "upper")[i % 2]
        pieces.append(Piece(i // 2, half, i, before, f"sum.{i}"))
    names = [f"m{i}" for i in range(members)]
    joins = []
    width = 16
    while len(names) > 1:
        left = tuple(i for i in range(32) if i % width < width // 2)
        pairs = tuple(
            (f"{first}.{second}", first, second)
            for first, second in zip(names[::2], names[1::2], strict=True)
        )
        joins.append((Fold(16, 16, left, tuple(i + width // 2 for i in left)), pairs))
        names = [joined for joined, _, _ in pairs]
        width //= 2
    folds = []
    lanes = 16
    while lanes > members:
        left = tuple(i for i in range(lanes) if i % width < width // 2)
        folds.append(Fold(lanes, lanes // 2, left, tuple(i + width // 2 for i in left)))
        lanes, width = lanes // 2, width // 2
    return Turn(name, members, chains, tuple(pieces), tuple(joins), tuple(folds), names[0])


def plan_screening(packing: Packing, k: int, target: Target) -> Screening | None:
    """Decide how lists are thinned out; None if none is long enough."""
    longest = 2 * k
    if packing.n_outputs <= longest:
        return None
    members_ahead, n_lines = _FAR if packing.copies_offset > _NEAR_BYTES else _NEAR
    return Screening(
        longest=longest,
        turns=_turns(target),
        n_groups=packing.columns // SETTLE_LANES,
        copies_offset=packing.copies_offset,
        copy_bytes=packing.copy_bytes,
        group_bytes=2 * SETTLE_LANES,
        bounds_offset=packing.bounds_offset,
        bound_bytes=4 * BOUND_NUMBERS,
        members_ahead=members_ahead,
        lines_ahead=tuple(range(0, packing.copy_bytes, LINE))[:n_lines],
    )


def _turns(target: Target) -> tuple[Turn, ...]:
    """Return turns whose sums fill half of the registers at most; pairs take the last member."""
    n_sums = target.n_registers // 2 * target.vector_bytes // (4 * WORDS)
    pairs = turn("pair", 2, min(_CHAINS, n_sums // 2))
    if n_sums < _MEMBERS:
        return (pairs,)
    return turn("many", _MEMBERS, min(_CHAINS, n_sums // _MEMBERS)), pairs
