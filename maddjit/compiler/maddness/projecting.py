"""How rows are projected onto the core's dimensions: in 16 lanes, a few rows at a time."""

from __future__ import annotations

from dataclasses import dataclass

from maddjit.arrays.formats import INPUTS
from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.stores import Store, exact_stores
from maddjit.compiler.signature import Signature
from maddjit.compiler.workspace import LINE, odd_lines
from maddjit.models.core import CORE_LANES, LowRankCore

_VECTOR_ROWS = 256
"""The number of rows behind the last one whose projections a scan by columns may read."""


@dataclass(frozen=True)
class Fold:
    """The value `new`: lanes `lower` of two vectors plus their lanes `upper`, as LLVM counts."""

    new: int
    left: int
    right: int
    lower: tuple[int, ...]
    upper: tuple[int, ...]


@dataclass(frozen=True)
class TailPiece:
    """Neighbouring columns behind the last whole group of 16, and the shuffles that place them."""

    size: int
    byte_offset: int
    spread: tuple[int, ...]
    places: tuple[int, ...]


@dataclass(frozen=True)
class RowGroup:
    """Rows whose projections are found together, one chunk of projections at a time.

    `leaves` are the (row, projection) of each sum, in the order in which `folds` add up the lanes.
    `leaving` are, for each projection, the lanes of the value `folded` that hold its rows.
    """

    rows: int
    leaves: tuple[tuple[int, int], ...]
    folds: tuple[Fold, ...]
    leaving: tuple[tuple[int, ...], ...]

    @property
    def row_mask(self) -> int:
        """The mask that rounds a number of rows down to whole groups."""
        return -self.rows

    @property
    def folded(self) -> int:
        """The value that holds all projections of a chunk."""
        return self.folds[-1].new


@dataclass(frozen=True)
class Tail:
    """The last columns of a row, which do not fill a group of 16.

    `pieces` read them where they are neighbours; `n_columns` of them are read one by one otherwise.
    """

    n_columns: int
    pieces: tuple[TailPiece, ...]


@dataclass(frozen=True)
class ProjectPlan:
    """How rows are projected: p = a · U, each product summed in 16 lanes.

    Attributes
    ----------
    chunk, n_chunks : int
        Projections found together, and how often.
    groups : tuple of RowGroup
        Rows that are projected together, the most first.
    part_rows : int
        Rows that are encoded and projected in turn.
    lines_ahead : tuple of int
        Cache lines of what is read next, which are fetched meanwhile: the next part of the rows,
        or the next columns where columns are contiguous.
    n_groups : int
        Whole groups of 16 columns.
    tail : Tail
        The columns behind them.
    group_bytes, chunk_bytes : int
        Bytes of a group and of a chunk of U. U is stored chunk by chunk, and within a chunk by
        groups of 16 columns. The last chunk and the last group are filled up with zeros.
    step : int
        Bytes from one projection to the next of a row, in the workspace.
    """

    chunk: int
    n_chunks: int
    groups: tuple[RowGroup, ...]
    part_rows: int
    lines_ahead: tuple[int, ...]
    n_groups: int
    tail: Tail
    group_bytes: int
    chunk_bytes: int
    step: int

    @property
    def chunk_step(self) -> int:
        """Bytes from the projections of one chunk to those of the next."""
        return self.chunk * self.step

    @property
    def n_bytes(self) -> int:
        """Bytes of the projections of a block of rows."""
        return self.n_chunks * self.chunk_step + 4 * _VECTOR_ROWS


@dataclass(frozen=True)
class StripPlan:
    """How strips of rows are projected where columns are contiguous: lane by lane.

    Each of the 16 lanes has a sum for each of the `chunk` projections and each of the `rows` of a
    strip. `turn_columns` columns of a lane are added in one turn.
    """

    chunk: int
    rows: int
    turn_columns: int

    @property
    def sums_bytes(self) -> int:
        """Bytes of one lane's sums for one projection, and a cache line more."""
        return 4 * self.rows + LINE

    @property
    def lane_bytes(self) -> int:
        """Bytes of one lane's sums for a chunk of projections."""
        return self.chunk * self.sums_bytes

    @property
    def n_bytes(self) -> int:
        """Bytes of all lanes' sums."""
        return CORE_LANES * self.lane_bytes

    @property
    def halvings(self) -> tuple[tuple[int, int, tuple[tuple[int, int], ...]], ...]:
        """For each step of adding up: lanes before, lanes after, and the pairs that are added."""
        return tuple(
            (2 * half, half, tuple((lane, lane + half) for lane in range(half)))
            for half in (8, 4, 2, 1)
        )


def plan_project(
    core: LowRankCore,
    chunk: int,
    shared: int,
    vector: int,
    signature: Signature,
    row_block: int,
) -> ProjectPlan:
    """Return how rows are projected, `chunk` projections and up to `shared` rows at a time.

    `vector` elements are read at once.
    """
    order, itemsize = signature.order, INPUTS[signature.dtype].itemsize
    n_features, rank = core.projection.shape
    n_groups, rest = divmod(n_features, CORE_LANES)
    pieces = tuple(_piece(store) for store in exact_stores(rest, itemsize))
    fetches = order == "F" or (order == "C" and rank >= settings.LEAST_RANK_AHEAD)
    parts = max(1, settings.PART_BYTES // (n_features * itemsize) // settings.SHARED_ROWS)
    at_once = (shared, 1) if order == "C" and shared > 1 else (1,)
    group_bytes = 4 * CORE_LANES * chunk
    return ProjectPlan(
        chunk=chunk,
        n_chunks=-(-rank // chunk),
        groups=tuple(_row_group(rows, chunk) for rows in at_once),
        part_rows=parts * settings.SHARED_ROWS,
        lines_ahead=tuple(range(0, vector * itemsize, LINE)) if fetches else (),
        n_groups=n_groups,
        tail=Tail(rest, pieces),
        group_bytes=group_bytes,
        chunk_bytes=-(-n_features // CORE_LANES) * group_bytes,
        step=odd_lines(4 * row_block),
    )


def _row_group(rows: int, chunk: int) -> RowGroup:
    """Return how `chunk` projections of some rows are found together."""
    leaves = tuple(
        (row, s)
        for first in range(0, chunk, 4)
        for row in range(rows)
        for s in range(first, min(first + 4, chunk))
    )
    folds, ends = _folds(len(leaves))
    leaving = tuple(
        tuple(ends[leaves.index((row, s))] for row in range(rows)) for s in range(chunk)
    )
    return RowGroup(rows, leaves, folds, leaving)


def _folds(n: int) -> tuple[tuple[Fold, ...], dict[int, int]]:
    """Return the steps that add up the 16 lanes of n sums, and the lane that each sum ends in.

    Each step adds half of the lanes of a sum to the other half, so two vectors become one.
    Shuffles stay within 128 bits as soon as a sum does.
    """
    folds: list[Fold] = []
    waiting = list(range(n))
    held = {i: [i] * CORE_LANES for i in waiting}
    for half in (8, 4, 2, 1):
        unit = CORE_LANES if half >= 4 else 4
        pairs = [waiting[i : i + 2] for i in range(0, len(waiting), 2)]
        waiting = []
        for pair in pairs:
            left, right = pair[0], pair[-1]
            lower = tuple(
                first + lane + start
                for start in range(0, CORE_LANES, unit)
                for first in (0, CORE_LANES)
                for lane in range(unit)
                if not lane & half
            )
            new = n + len(folds)
            both = held[left] + held[right]
            held[new] = [both[lane] for lane in lower]
            folds.append(Fold(new, left, right, lower, tuple(lane + half for lane in lower)))
            waiting.append(new)
    (last,) = waiting
    return tuple(folds), {leaf: held[last].index(leaf) for leaf in range(n)}


def _piece(store: Store) -> TailPiece:
    """Return the shuffles that place some last columns in the lanes of a vector of 16."""
    first, size = store.lanes[0], len(store.lanes)
    spread = tuple(lane if lane < size else -1 for lane in range(CORE_LANES))
    own = range(first, first + size)
    places = tuple(CORE_LANES + i - first if i in own else i for i in range(CORE_LANES))
    return TailPiece(size, store.byte_offset, spread, places)
