"""The exact core's part of a plan: how rows are projected, and how projections join the outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maddjit.arrays.formats import Format
from maddjit.arrays.layout import Order
from maddjit.compiler.maddness.encode_records import Store, exact_stores
from maddjit.compiler.target import Target
from maddjit.models.maddness import CORE_LANES, LowRankCore

_MAX_CHUNK = {"C": 8, "F": 4, "strided": 8}
"""Projections that are summed together, by the order of A."""
_MAX_ROWS = 4
"""Rows, or vectors of rows, that share each number of U."""
_STRIP_ROWS = 512
"""Rows whose sums of one lane stay in the L1 cache where columns are contiguous."""
_UNROLL = 8
"""Projections that join the outputs in straight-line code."""
_PART_BYTES = 16 * 1024
"""Bytes of A that are encoded and projected in turn: half an L1 cache."""
_LEAST_RANK_AHEAD = 3
"""Projections that take long enough for the next part to come into the L2 cache meanwhile."""
_LINE = 64


@dataclass(frozen=True)
class Fold:
    """The value `new`: lanes `lower` of two vectors plus their lanes `upper`, as LLVM counts."""

    new: int
    left: int
    right: int
    lower: tuple[int, ...]
    upper: tuple[int, ...]


@dataclass(frozen=True)
class Piece:
    """Neighbouring columns behind the last whole group of 16, and the shuffle that adds them."""

    size: int
    byte_offset: int
    spread: tuple[int, ...]
    places: tuple[int, ...]


@dataclass(frozen=True)
class RowGroup:
    """Rows whose projections are found at once, a chunk of them.

    `leaves` are the (row, projection) of each sum in the order that `folds` add their lanes up;
    `leaving` says in which lanes of the value `folded` the rows of each projection end.
    """

    rows: int
    leaves: tuple[tuple[int, int], ...]
    folds: tuple[Fold, ...]
    leaving: tuple[tuple[int, ...], ...]

    @property
    def row_mask(self) -> int:
        """The bits of a number of rows that are groups."""
        return -self.rows

    @property
    def folded(self) -> int:
        """The value that holds all projections of a chunk."""
        return self.folds[-1].new


@dataclass(frozen=True)
class Terms:
    """`count` repetitions of products with the projections of some `numbers`."""

    numbers: tuple[int, ...]
    count: int
    p_step: int
    V_step: int

    @property
    def last(self) -> int:
        """The projection that is added last."""
        return self.numbers[-1]


@dataclass(frozen=True)
class CorePlan:
    """The projection a · U of each row, summed in 16 lanes, and its way into the outputs.

    Projections are found `chunk` at a time. They lie in the workspace at `offset`, projection by
    projection: `step` bytes from one to the next of a row. U lies chunk by chunk, in groups of 16
    columns; the last of either is filled up with zeros. `lines_ahead` are fetched of the part that
    is next; if columns are contiguous, of the columns that are.
    """

    rank: int
    chunk: int
    n_chunks: int
    groups: tuple[RowGroup, ...]
    part_rows: int
    lines_ahead: tuple[int, ...]
    n_groups: int
    tail: tuple[Piece, ...]
    n_last: int
    group_bytes: int
    chunk_bytes: int
    offset: int
    step: int
    lanes_offset: int
    strip_rows: int
    turn_columns: int
    workspace_bytes: int
    V_step: int
    terms: tuple[Terms, ...]

    @property
    def chunk_step(self) -> int:
        """Bytes from the projections of one chunk to those of the next."""
        return self.chunk * self.step

    @property
    def strip_bytes(self) -> int:
        """Bytes of one lane's sums for one projection of a strip of rows."""
        return 4 * self.strip_rows + _LINE

    @property
    def lane_bytes(self) -> int:
        """Bytes of one lane's sums for a chunk of projections of a strip of rows."""
        return self.chunk * self.strip_bytes

    @property
    def output_step(self) -> int:
        """Bytes from the V of one output to that of the next, where they are neighbours."""
        return 4 * self.rank

    @property
    def halvings(self) -> tuple[tuple[int, int, tuple[tuple[int, int], ...]], ...]:
        """Step by step: lanes before, lanes after, and which two become one."""
        return tuple(
            (2 * half, half, tuple((lane, lane + half) for lane in range(half)))
            for half in (8, 4, 2, 1)
        )


def plan_core(
    core: LowRankCore,
    target: Target,
    form: Format,
    order: Order,
    row_block: int,
    offset: int,
    width: int | None,
) -> CorePlan:
    """Plan the projections of a kernel whose workspace has room for them from `offset` on.

    `width` is that of `expansion_constant`.
    """
    n_features, rank = core.projection.shape
    itemsize, V_step = form.itemsize, 4 * (1 if width is None else width)
    sums = target.n_registers * target.vector_bytes // (2 * _LINE)
    by_columns = order == "F"
    if by_columns:
        sums = target.n_registers // 2
    n_chunks = -(-rank // min(_MAX_CHUNK[order], sums))
    chunk = -(-rank // n_chunks)
    shared = max(n for n in (1, 2, _MAX_ROWS) if n == 1 or n * chunk <= sums)
    at_once = dict.fromkeys((shared, 1)) if order == "C" else (1,)
    has_ahead = by_columns or (order == "C" and rank >= _LEAST_RANK_AHEAD)
    vector = target.vector_bytes // 4 if by_columns else CORE_LANES
    n_groups, rest = divmod(n_features, CORE_LANES)
    # Vectors of up to 256 rows are read from the last one on; an odd number of cache lines lies
    # between neighbours, because powers of two would share cache sets.
    step = _LINE * ((4 * row_block // _LINE + 1) | 1)
    lanes_offset = offset + n_chunks * chunk * step + 4 * 256
    lanes_bytes = CORE_LANES * chunk * (4 * _STRIP_ROWS + _LINE) if by_columns else 0
    group_bytes = 4 * CORE_LANES * chunk
    return CorePlan(
        rank=rank,
        chunk=chunk,
        n_chunks=n_chunks,
        groups=tuple(_row_group(rows, chunk) for rows in at_once),
        part_rows=max(1, _PART_BYTES // (n_features * itemsize) // _MAX_ROWS) * _MAX_ROWS,
        lines_ahead=tuple(range(0, vector * itemsize, _LINE)) if has_ahead else (),
        n_groups=n_groups,
        tail=tuple(_piece(store) for store in exact_stores(rest, itemsize)),
        n_last=rest,
        group_bytes=group_bytes,
        chunk_bytes=-(-n_features // CORE_LANES) * group_bytes,
        offset=offset,
        step=step,
        lanes_offset=lanes_offset,
        strip_rows=_STRIP_ROWS,
        turn_columns=shared,
        workspace_bytes=lanes_offset + lanes_bytes - offset,
        V_step=V_step,
        terms=_terms(rank, step, V_step),
    )


def _row_group(rows: int, chunk: int) -> RowGroup:
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
    """Add the 16 lanes of n sums up, several sums in one vector; return the lane each ends in.

    Half the lanes of each sum are added to the other half in every step, so two vectors become
    one. Shuffles stay within 128 bits as soon as a sum does.
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


def _piece(store: Store) -> Piece:
    """Place some last columns in the lanes of a vector of 16."""
    first, size = store.lanes[0], len(store.lanes)
    spread = tuple(lane if lane < size else -1 for lane in range(CORE_LANES))
    own = range(first, first + size)
    places = tuple(CORE_LANES + i - first if i in own else i for i in range(CORE_LANES))
    return Piece(size, store.byte_offset, spread, places)


def _terms(rank: int, p_step: int, V_step: int) -> tuple[Terms, ...]:
    """Cut the projections into a loop of straight-line code, and the rest."""
    whole = rank // _UNROLL * _UNROLL
    parts = (range(min(whole, _UNROLL)), whole // _UNROLL), (range(whole, rank), 1)
    return tuple(
        Terms(tuple(numbers), count, _UNROLL * p_step, _UNROLL * V_step)
        for numbers, count in parts
        if numbers
    )


def projection_constant(core: LowRankCore, plan: CorePlan) -> bytes:
    """Lay U out: chunk by chunk, group of 16 columns by group, s by s."""
    n_features = len(core.projection)
    n_padded = -(-n_features // CORE_LANES) * CORE_LANES
    padded = np.zeros((n_padded, plan.n_chunks * plan.chunk), "<f4")
    padded[:n_features, : core.rank] = core.projection
    groups = padded.reshape(-1, CORE_LANES, plan.n_chunks, plan.chunk)
    return groups.transpose(2, 0, 3, 1).tobytes()


def expansion_constant(core: LowRankCore, width: int | None) -> bytes:
    """Lay V out projection by projection, filled up to `width` outputs, or output by output."""
    if width is None:
        return core.expansion.T.astype("<f4").tobytes()
    padded = np.zeros((core.rank, width), "<f4")
    padded[:, : core.expansion.shape[1]] = core.expansion
    return padded.tobytes()
