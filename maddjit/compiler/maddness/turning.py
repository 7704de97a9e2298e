"""The part of a plan that turns results by rows into columns."""

from __future__ import annotations

from dataclasses import dataclass

from maddjit.compiler.maddness import settings
from maddjit.compiler.signature import ROW_UNIT, Signature
from maddjit.compiler.target import Target
from maddjit.compiler.workspace import lines, odd_lines
from maddjit.models.maddness import MaddnessModel

_LANE = 16
"""Bytes of a vector within which instructions interleave the elements of two vectors."""


@dataclass(frozen=True)
class Join:
    """Two values of `n` elements side by side are a new one, whose elements are `places`."""

    new: int
    left: int
    right: int
    n: int
    places: tuple[int, ...]


@dataclass(frozen=True)
class Interleaving:
    """Two vectors become two others: the lower, and the upper halves of their lanes interleaved."""

    low: int
    high: int
    left: int
    right: int


@dataclass(frozen=True)
class TurnedTile:
    """`count` repetitions of as many outputs as a lane holds, of which `n_outputs` are stored."""

    count: int
    byte_offset: int
    first_output: int
    n_outputs: int


@dataclass(frozen=True)
class Few:
    """Up to so many `rows` of a block are scanned by rows, `row_step` bytes apart, and turned."""

    rows: int
    row_step: int

    @property
    def n_bytes(self) -> int:
        """Bytes of the results of all those rows."""
        return self.rows * self.row_step


@dataclass(frozen=True)
class TurnPlan:
    """How the results of a strip of rows are turned into columns.

    A square of results fills the same lane of `n` vectors: a vector holds the neighbouring outputs
    of one row in each of its lanes. `interleavings` turn all squares, which makes each vector the
    rows of one output.

    Attributes
    ----------
    strip_rows : int
        Rows that are scanned before they are turned.
    row_step : int
        Bytes from a row of the strip to the next.
    element : str
        LLVM's type of a result, as bits.
    n : int
        Outputs that a lane holds, and vectors that are turned together.
    tile_bytes : int
        Bytes of a row that one tile turns.
    rows : int
        Rows that fill a vector.
    lanes : tuple of (int, ...)
        For each vector that is turned, the bytes from its first row to the one in each lane.
    joins : tuple of Join
        How lanes become one vector; the last one makes it.
    interleavings : tuple of Interleaving
    low, high : tuple of int
        The elements that the two vectors of an interleaving are made of.
    outputs : tuple of int
        The value that holds each output.
    tiles : tuple of TurnedTile
    """

    strip_rows: int
    row_step: int
    element: str
    n: int
    tile_bytes: int
    rows: int
    lanes: tuple[tuple[int, ...], ...]
    joins: tuple[Join, ...]
    interleavings: tuple[Interleaving, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]
    outputs: tuple[int, ...]
    tiles: tuple[TurnedTile, ...]

    def regions(self, itemsize: int) -> dict[str, int]:
        """Return the bytes of the regions of the workspace: a strip, and the tail of a tile."""
        return {
            "strip": self.strip_rows * self.row_step,
            "turned_tail": self.n * self.rows * itemsize,
        }


def has_few(model: MaddnessModel) -> bool:
    """Tell whether few rows are scanned by rows where results come by columns.

    That takes the tables once more, so they must be small. A core is laid out for one scan.
    """
    return model.core is None and model.tables.size <= settings.FEW_TABLE_BYTES


def plan_few(row_bytes: int, vector_rows: int) -> Few:
    """Return the rows that are scanned by rows, if vectors of a scan by columns have so many rows.

    A row of their results has `row_bytes`.
    """
    return Few(settings.FEW_ROWS[vector_rows], lines(row_bytes))


def plan_turn(
    width: int, n_outputs: int, signature: Signature, target: Target, row_block: int
) -> TurnPlan:
    """Return how results by rows become columns.

    Parameters
    ----------
    width : int
        Results of a row, including those that fill up the last vector.
    n_outputs : int
        Results of a row that are wanted.
    row_block : int
        Rows of a block.
    """
    itemsize = signature.output.itemsize
    n, n_lanes = _LANE // itemsize, target.vector_bytes // _LANE
    row_step = odd_lines(width * itemsize)
    rows = settings.STRIP_BYTES // row_step // ROW_UNIT * ROW_UNIT
    values = list(range(n))
    interleavings: list[Interleaving] = []
    for _ in range(n.bit_length() - 1):
        made = [
            Interleaving(
                n + 2 * (len(interleavings) + i), n + 2 * (len(interleavings) + i) + 1, *pair
            )
            for i, pair in enumerate(zip(values[: n // 2], values[n // 2 :], strict=True))
        ]
        interleavings += made
        values = [value for step in made for value in (step.low, step.high)]
    elements, half = n * n_lanes, n // 2
    low = tuple(
        v * elements + lane * n + i for lane in range(n_lanes) for i in range(half) for v in (0, 1)
    )
    return TurnPlan(
        strip_rows=max(ROW_UNIT, min(row_block, rows)),
        row_step=row_step,
        element=f"i{8 * itemsize}",
        n=n,
        tile_bytes=_LANE,
        rows=elements,
        lanes=tuple(tuple((n * lane + i) * row_step for lane in range(n_lanes)) for i in range(n)),
        joins=_joins(n, n_lanes),
        interleavings=tuple(interleavings),
        low=low,
        high=tuple(place + half for place in low),
        outputs=tuple(values),
        tiles=_tiles(n_outputs, n),
    )


def _joins(n: int, n_lanes: int) -> tuple[Join, ...]:
    """Return the joins of the values 0 … `n_lanes` − 1, of n elements each, to one."""
    joins: list[Join] = []
    values, size = list(range(n_lanes)), n
    while len(values) > 1:
        pairs = zip(values[0::2], values[1::2], strict=True)
        first = n_lanes + len(joins)
        made = [Join(first + i, *p, size, tuple(range(2 * size))) for i, p in enumerate(pairs)]
        joins += made
        values, size = [join.new for join in made], 2 * size
    return tuple(joins)


def _tiles(n_outputs: int, n: int) -> tuple[TurnedTile, ...]:
    """Return the tiles of n outputs, and a last one for those that are left."""
    n_full, rest = divmod(n_outputs, n)
    tiles = [TurnedTile(n_full, 0, 0, n)] if n_full else []
    if rest:
        tiles.append(TurnedTile(1, n_full * _LANE, n_full * n, rest))
    return tuple(tiles)
