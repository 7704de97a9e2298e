"""How the exact winners are found: maxima of scores by tiles, short lists, exact products."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from maddjit.compiler.maddness.lists import LEAST_ROOM, MEMBER_BYTES, list_bytes
from maddjit.compiler.maddness.packing import Packing
from maddjit.compiler.maddness.scan_records import Tile
from maddjit.compiler.maddness.scanning import LINE
from maddjit.compiler.maddness.screening import Screening, plan_screening
from maddjit.compiler.target import Target
from maddjit.models.maddness import MaddnessModel
from maddjit.models.short_list import SETTLE_LANES, ShortList

VECTOR = 16
"""Columns of a row that are multiplied together."""
_MAXIMA_LANES = 16
"""Numbers that are kept of a group of tiles: many enough to bound the k-th best score."""
_TILE_BYTES, _ONE_TILE_BYTES = 128 * 1024, 512 * 1024
"""Bytes of table of a tile, and of a tile that spares a second pass: parts of an L2 cache."""
_GROUP_PLANES = 4
"""Planes of a group of tiles, all of which are looked up again if one output may be listed."""
_MEMBERS_AHEAD, _LINES_AHEAD = 4, 8
"""Places on a list, and lines of that column of B, that are fetched ahead; the others follow."""
_NEAR_BYTES, _FAR_LINES = 1024 * 1024, 32
"""Bytes of B that a cache holds close by; of more so many lines are fetched ahead."""
ROW_BLOCK = 256
"""Rows of a block: tables past the caches are fetched anew for each, so not fewer."""


@dataclass(frozen=True)
class Maxima:
    """The largest scores of a group of tiles: `lanes` numbers, each of other outputs.

    They are made of `parts`, of `part_lanes` lanes: one of fewer is spread over all by `spread`,
    LLVM's numbers of lanes; empty if it has as many. Then halves are laid over each other.
    """

    lanes: int
    part_lanes: int
    parts: tuple[tuple[str, int, tuple[int, ...]], ...]
    """(what templates call the scores, their lanes, spread)"""
    group: int
    """Tiles of a group, a power of two."""
    count: int
    """Groups, of which the last may have fewer tiles."""
    number: int
    """Groups before the first of this kind."""
    scratch_bytes: int

    @property
    def halves(self) -> tuple[tuple[int, int], ...]:
        """Lanes before and after each time that halves are laid over each other."""
        found, lanes = [], self.part_lanes
        while lanes > self.lanes:
            found.append((lanes, lanes // 2))
            lanes //= 2
        return tuple(found)

    @property
    def within(self) -> int:
        """Bits of a tile's number that tell its place in its group."""
        return self.group - 1


@dataclass(frozen=True)
class Settling:
    """Sizes, places in the workspace, and literals of what settles a row.

    All places are in bytes. `bits` are those of a score, the most significant first. Lists are the
    last in the workspace, because how long they get depends on the margin, which calls bring.
    """

    k: int
    settles_all: bool
    """Whether an output that is alone on its list is computed too."""
    at_once: bool
    """Whether one look at the scores is enough: one winner is asked, and all lists have room."""
    direct: bool
    """Whether rows of A can be multiplied where they are."""
    screening: Screening | None
    """How long lists are thinned out; None if there are none."""
    element: str
    maxima: tuple[Maxima, ...]
    list_lanes: tuple[int, ...]
    slot: int
    tile_step: int
    members_ahead: int
    lines_ahead: tuple[int, ...]
    """Where lines of a column of B are that is to be multiplied soon."""
    bits: tuple[int, ...]
    n_outputs: int
    columns: int
    """Of a row, filled up to whole groups of `SETTLE_LANES`."""
    whole: int
    """Columns of a row that whole vectors hold."""
    rest: int
    column_bytes: int
    n_groups: int
    group_bytes: int
    maxima_offset: int
    thresholds_offset: int
    counts_offset: int
    pending_offset: int
    long_list_offset: int
    long_scores_offset: int
    uppers_offset: int
    lowers_offset: int
    row_offset: int
    ranks_offset: int
    scratch_offset: int
    lists_offset: int

    @property
    def member_bytes(self) -> int:
        """Bytes of an output's number on a list, and of its score beside it."""
        return MEMBER_BYTES

    @property
    def pieces(self) -> range:
        """Vectors of one group of columns."""
        return range(SETTLE_LANES // VECTOR)

    @property
    def halves(self) -> tuple[tuple[int, int], ...]:
        """Lanes of a vector, and those left after half of it is added to the other half."""
        return ((16, 8), (8, 4), (4, 2), (2, 1))

    @property
    def first_output_place(self) -> int:
        """Where a row's outputs are, behind its winners and the length of its list."""
        return self.k + 1

    @property
    def width(self) -> int:
        """Numbers in a row of results: k winners, the length, k outputs."""
        return 2 * self.k + 1

    @property
    def n_features(self) -> int:
        """Columns of a row."""
        return self.whole + self.rest

    @property
    def padding(self) -> int:
        """Columns of zeros behind a row."""
        return self.columns - self.n_features

    @property
    def last_rank(self) -> int:
        """The place of the last winner."""
        return self.k - 1


def ranking(model: MaddnessModel) -> tuple[MaddnessModel, ShortList]:
    """Return the model whose sums are the scores, and the short list.

    Raises
    ------
    ValueError
        If the model is not calibrated.
    """
    short = model.short_list
    if short is None:
        raise ValueError("the model has no short list: maddjit.calibrate(model, A, B) first")
    ones = np.ones(model.n_outputs, np.float32)
    scores = replace(model, tables=short.tables, scale=ones, offset=0 * ones, short_list=None)
    return scores, short


def settled_tile_bytes(n_outputs: int, k: int, vector_bytes: int) -> int:
    """Return the bytes of table that one pass over a row block may use.

    More than where outputs are written: maxima of wide tiles are fewer, and one tile needs one
    pass only. From the L2 cache look-ups are hardly slower.
    """
    is_one_tile = k == 1 and n_outputs <= _GROUP_PLANES * vector_bytes
    return _ONE_TILE_BYTES if is_one_tile else _TILE_BYTES


def plan_settling(
    tiles: tuple[Tile, ...],
    sum_bits: int,
    shape: tuple[int, int],
    k: int,
    scored: bool,
    direct: bool,
    row_block: int,
    offset: int,
    target: Target,
) -> Settling:
    """Place everything in the workspace, from `offset` on.

    Parameters
    ----------
    shape : (D, M)
    direct : bool
        Whether A holds rows of float32 side by side.
    """
    n_features, n_outputs = shape
    maxima, number = [], 0
    for tile in tiles:
        parts = [
            (name, plane.lanes if sum_bits == 8 else plane.half)
            for plane in tile.planes
            for name in plane_scores(plane.index, sum_bits)
        ]
        lanes = max(width for _, width in parts)
        group = 1 << max(0, (_GROUP_PLANES // len(tile.planes)).bit_length() - 1)
        count = -(-tile.count // group)
        maxima.append(
            Maxima(
                min(lanes, _MAXIMA_LANES),
                lanes,
                tuple((name, width, _spread(width, lanes)) for name, width in parts),
                group,
                count,
                number,
                lanes * sum_bits // 8,
            )
        )
        number += count
    slot = max(kind.lanes * sum_bits // 8 for kind in maxima)
    is_one_tile = sum(tile.count for tile in tiles) == 1
    at_once = k == 1 and is_one_tile and n_outputs <= LEAST_ROOM
    packing = Packing.of(*shape)
    screening = plan_screening(packing, k, target)
    columns = packing.columns
    is_far = packing.copies_offset > _NEAR_BYTES
    tile_step = LINE * ((row_block * slot // LINE + 1) | 1)  # an odd number of lines
    places = {}
    for name, size in (
        ("maxima", number * tile_step),
        ("thresholds", 4 * row_block),
        ("counts", 8 * row_block),
        ("pending", 8 * (row_block + 1)),
        ("long_list", list_bytes(n_outputs)),
        ("long_scores", list_bytes(n_outputs) if k > 1 else 0),
        ("uppers", 4 * (n_outputs + VECTOR)),
        ("lowers", 4 * (n_outputs + VECTOR)),
        ("row", 4 * columns),
        ("ranks", 4 * k),
        ("scratch", max(kind.scratch_bytes for kind in maxima)),
    ):
        places[f"{name}_offset"] = offset
        offset += -(-size // LINE) * LINE
    return Settling(
        k=k,
        settles_all=scored or k > 1,
        at_once=at_once,
        direct=direct and columns == n_features,
        screening=screening,
        element=f"i{sum_bits}",
        maxima=tuple(maxima),
        list_lanes=tuple(
            sorted(
                {part.lanes for tile in tiles for part, _ in tile.parts}
                | ({64} if at_once else set())
                | ({VECTOR} if screening else set())
            )
        ),
        slot=slot,
        tile_step=tile_step,
        members_ahead=_MEMBERS_AHEAD,
        lines_ahead=tuple(range(0, 4 * columns, LINE))[: _FAR_LINES if is_far else _LINES_AHEAD],
        bits=tuple(1 << bit for bit in reversed(range(sum_bits))),
        n_outputs=n_outputs,
        columns=columns,
        whole=n_features // VECTOR * VECTOR,
        rest=n_features % VECTOR,
        column_bytes=packing.column_bytes,
        n_groups=columns // SETTLE_LANES,
        group_bytes=4 * SETTLE_LANES,
        lists_offset=offset,
        **places,
    )


def plane_scores(index: int, sum_bits: int) -> tuple[str, ...]:
    """Return what templates call the vectors of a plane's scores."""
    names = ("even", "odd") if sum_bits == 16 else ("sum",)
    return tuple(f"plane{index}.{name}" for name in names)


def _spread(width: int, lanes: int) -> tuple[int, ...]:
    """Return the lanes of a narrow vector and then of zeros; nothing if it is wide enough."""
    return () if width == lanes else (*range(width), *[width] * (lanes - width))
