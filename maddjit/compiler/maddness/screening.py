"""How long short lists are thinned out before exact products, by a copy of B of half the size."""

from __future__ import annotations

from dataclasses import dataclass

from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.packing import BOUND_NUMBERS, WORDS, Packing
from maddjit.compiler.target import Target
from maddjit.compiler.workspace import LINE
from maddjit.models.short_list import SETTLE_LANES


@dataclass(frozen=True)
class LaneFold:
    """One step that adds up lanes: the lanes `left` plus the lanes `right`, as LLVM numbers them.

    The lanes are those of two vectors that are joined, or those of a single vector.
    """

    before: int
    lanes: int
    left: tuple[int, ...]
    right: tuple[int, ...]


@dataclass(frozen=True)
class HalfWords:
    """Columns of a group that are half of a vector of words.

    `before` and `after` are the names of the sum that their products are added to.
    """

    word: int
    half: str
    row_piece: int
    before: str
    after: str


@dataclass(frozen=True)
class Turn:
    """How `members` outputs are computed side by side, in `chains` vectors of partial sums each.

    Each of the `joins` adds vectors in pairs; the new vector has a half of both. When one vector is
    left, `folds` add up its lanes until each member has one lane.

    Attributes
    ----------
    name : str
    members, chains : int
    pieces : tuple of HalfWords
    joins : tuple
        Folds, each with the names of the vectors that it makes and of the two that each is made
        of.
    folds : tuple of LaneFold
        The folds of the vector named `last`.
    last : str
    """

    name: str
    members: int
    chains: int
    pieces: tuple[HalfWords, ...]
    joins: tuple[tuple[LaneFold, tuple[tuple[str, str, str], ...]], ...]
    folds: tuple[LaneFold, ...]
    last: str

    @property
    def all_lanes(self) -> range:
        """The numbers of the members."""
        return range(self.members)

    @property
    def mask(self) -> int:
        """The mask that rounds a number down to a multiple of `members`."""
        return -self.members

    @property
    def sums(self) -> tuple[tuple[str, str], ...]:
        """The names of a member's sums before and after a group of columns."""
        return tuple(
            (f"chain.{i}", [p.after for p in self.pieces][i - self.chains])
            for i in range(self.chains)
        )


@dataclass(frozen=True)
class ScreenPlan:
    """How a list that is longer than `longest` is thinned out, turn by turn.

    Offsets are bytes in the packed memory. `members_ahead` is the distance on the list to the copy
    that is fetched ahead, and `lines_ahead` are the offsets of the cache lines that are fetched.
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
        """The vectors of words of a group of columns."""
        return range(SETTLE_LANES // (2 * WORDS))

    @property
    def row_pieces(self) -> range:
        """The vectors of a row for a group of columns."""
        return range(SETTLE_LANES // 16)

    @property
    def row_group_bytes(self) -> int:
        """Bytes of a row for a group of columns."""
        return 4 * SETTLE_LANES

    @property
    def norm_folds(self) -> tuple[LaneFold, ...]:
        """How the lanes of one vector are added up."""
        return turn("", 1, 1).folds


def turn(name: str, members: int, chains: int) -> Turn:
    """Return how `members` outputs, a power of two up to 8, are computed side by side."""
    pieces: list[HalfWords] = []
    for i in range(SETTLE_LANES // WORDS):
        before = pieces[i - chains].after if i >= chains else f"chain.{i}"
        half = ("lower", "upper")[i % 2]
        pieces.append(HalfWords(i // 2, half, i, before, f"sum.{i}"))
    names = [f"m{i}" for i in range(members)]
    joins = []
    width = 16
    while len(names) > 1:
        left = tuple(i for i in range(32) if i % width < width // 2)
        pairs = tuple(
            (f"{first}.{second}", first, second)
            for first, second in zip(names[::2], names[1::2], strict=True)
        )
        joins.append((LaneFold(16, 16, left, tuple(i + width // 2 for i in left)), pairs))
        names = [joined for joined, _, _ in pairs]
        width //= 2
    folds = []
    lanes = 16
    while lanes > members:
        left = tuple(i for i in range(lanes) if i % width < width // 2)
        folds.append(LaneFold(lanes, lanes // 2, left, tuple(i + width // 2 for i in left)))
        lanes, width = lanes // 2, width // 2
    return Turn(name, members, chains, tuple(pieces), tuple(joins), tuple(folds), names[0])


def plan_screen(packing: Packing, k: int, target: Target) -> ScreenPlan | None:
    """Return how lists are thinned out, or None if no list can be long enough."""
    longest = 2 * k
    if packing.n_outputs <= longest:
        return None
    n_lines = settings.SCREENING_LINES[packing.is_near]
    return ScreenPlan(
        longest=longest,
        turns=_turns(target),
        n_groups=packing.columns // SETTLE_LANES,
        copies_offset=packing.copies_offset,
        copy_bytes=packing.copy_bytes,
        group_bytes=2 * SETTLE_LANES,
        bounds_offset=packing.bounds_offset,
        bound_bytes=4 * BOUND_NUMBERS,
        members_ahead=settings.SCREENING_AHEAD[packing.is_near],
        lines_ahead=tuple(range(0, packing.copy_bytes, LINE))[:n_lines],
    )


def _turns(target: Target) -> tuple[Turn, ...]:
    """Return the turns; their sums fill at most half of the registers. Pairs come last."""
    members, chains = settings.SCREENED_TOGETHER, settings.SCREENING_CHAINS
    n_sums = target.n_registers // 2 * target.vector_bytes // (4 * WORDS)
    pairs = turn("pair", 2, min(chains, n_sums // 2))
    if n_sums < members:
        return (pairs,)
    return turn("many", members, min(chains, n_sums // members)), pairs
