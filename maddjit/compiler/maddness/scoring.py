"""The first pass over the scores of winners: the maxima that are kept of each group of tiles."""

from __future__ import annotations

from dataclasses import dataclass

from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.scan_plan import ScanPlan, Tile
from maddjit.compiler.workspace import odd_lines


@dataclass(frozen=True)
class Maxima:
    """The largest scores of a group of tiles: `lanes` numbers, each of other outputs.

    The parts of a tile's scores are reduced to their lane-wise maximum, a vector of `part_lanes`.
    That vector is halved by the maximum of its two halves until it has `lanes`.

    Attributes
    ----------
    lanes, part_lanes : int
    parts : tuple
        For each part of a tile: the name of its scores, their lanes, and the lanes that spread
        them over `part_lanes`, as LLVM numbers them; no lanes if it has as many.
    group : int
        Tiles of a group, a power of two.
    count : int
        Groups; the last one may have fewer tiles.
    number : int
        Groups before the first of this kind.
    n_bytes : int
        Bytes of a vector of `part_lanes` scores.
    """

    lanes: int
    part_lanes: int
    parts: tuple[tuple[str, int, tuple[int, ...]], ...]
    group: int
    count: int
    number: int
    n_bytes: int

    @property
    def halves(self) -> tuple[tuple[int, int], ...]:
        """Lanes before and after each halving."""
        found, lanes = [], self.part_lanes
        while lanes > self.lanes:
            found.append((lanes, lanes // 2))
            lanes //= 2
        return tuple(found)

    @property
    def within(self) -> int:
        """The mask that takes a tile's place in its group from the tile's number."""
        return self.group - 1


@dataclass(frozen=True)
class ScorePlan:
    """The first pass over the tables: the scores, and the maxima that are kept of them.

    `bits` are the values of a score's bits, the most significant first. The maxima of a group take
    `slot` bytes for one row, and `tile_step` bytes for all rows.
    """

    element: str
    bits: tuple[int, ...]
    maxima: tuple[Maxima, ...]
    slot: int
    tile_step: int

    @property
    def n_bytes(self) -> int:
        """Bytes of the maxima of all groups and all rows of a block."""
        last = self.maxima[-1]
        return (last.number + last.count) * self.tile_step

    @property
    def scratch_bytes(self) -> int:
        """Bytes of the scores of the widest part."""
        return max(kind.n_bytes for kind in self.maxima)


def settled_tile_bytes(n_outputs: int, k: int, vector_bytes: int) -> int:
    """Return the bytes of table that one pass over a row block may use.

    Tiles are larger than in scans that write outputs. Wide tiles have fewer maxima, and a single
    tile needs a single pass. Look-ups are hardly slower from the L2 cache.
    """
    is_sole = k == 1 and n_outputs <= settings.GROUP_PLANES * vector_bytes
    return settings.SOLE_TILE_BYTES if is_sole else settings.SETTLED_TILE_BYTES


def plan_scores(scan: ScanPlan, sum_bits: int, row_block: int) -> ScorePlan:
    """Return the maxima that are kept of the scores of each kind of tile, and their places."""
    maxima: list[Maxima] = []
    for tile in scan.tiles:
        number = maxima[-1].number + maxima[-1].count if maxima else 0
        maxima.append(_maxima(tile, sum_bits, number))
    slot = max(kind.lanes * sum_bits // 8 for kind in maxima)
    bits = tuple(1 << bit for bit in reversed(range(sum_bits)))
    return ScorePlan(f"i{sum_bits}", bits, tuple(maxima), slot, odd_lines(row_block * slot))


def _maxima(tile: Tile, sum_bits: int, number: int) -> Maxima:
    """Return the maxima of a kind of tile; `number` groups come before."""
    parts = [
        (name, plane.lanes if sum_bits == 8 else plane.half)
        for plane in tile.planes
        for name in plane_scores(plane.index, sum_bits)
    ]
    lanes = max(width for _, width in parts)
    group = 1 << max(0, (settings.GROUP_PLANES // len(tile.planes)).bit_length() - 1)
    return Maxima(
        lanes=min(lanes, settings.MAXIMA_LANES),
        part_lanes=lanes,
        parts=tuple((name, width, _spread(width, lanes)) for name, width in parts),
        group=group,
        count=-(-tile.count // group),
        number=number,
        n_bytes=lanes * sum_bits // 8,
    )


def plane_scores(index: int, sum_bits: int) -> tuple[str, ...]:
    """Return the names of the vectors of a plane's scores."""
    names = ("even", "odd") if sum_bits == 16 else ("sum",)
    return tuple(f"plane{index}.{name}" for name in names)


def _spread(width: int, lanes: int) -> tuple[int, ...]:
    """Return the lanes of a narrow vector, then lanes of zeros; nothing if it is wide enough."""
    return () if width == lanes else (*range(width), *[width] * (lanes - width))
