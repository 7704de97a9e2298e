"""Rows, phases and gaps of planes: how vectors cover what is copied and what is filled."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from maddjit.compiler.network import settings
from maddjit.compiler.network.places import Place


@dataclass(frozen=True)
class Fill:
    """So many bytes that get one value: whole vectors in a loop, then pieces of powers of two."""

    offset: int
    n_bytes: int
    lanes: int

    @property
    def whole(self) -> int:
        """Bytes of the whole vectors."""
        return self.n_bytes // self.lanes * self.lanes

    @property
    def pieces(self) -> tuple[tuple[int, int], ...]:
        """The offset and the lanes of each piece behind them."""
        found, at, lanes = [], self.whole, self.lanes // 2
        while at < self.n_bytes:
            if self.n_bytes - at >= lanes:
                found.append((at, lanes))
                at += lanes
            else:
                lanes //= 2
        return tuple(found)


@dataclass(frozen=True)
class Line:
    """A row that is cut into vectors of `lanes` elements, the last of which may overlap."""

    n: int
    lanes: int

    @property
    def starts(self) -> tuple[int, ...]:
        """The first element of each vector; none reaches behind the row."""
        return (
            *range(0, self.n - self.lanes + 1, self.lanes),
            *([self.n - self.lanes] * self.more),
        )

    @property
    def more(self) -> bool:
        """Whether the last vector overlaps the one before it."""
        return self.n % self.lanes > 0


def line_of(n: int, most: int) -> Line:
    """Return a row of n elements in vectors of at most so many, none of which leaves the row."""
    return Line(n, min(most, 1 << (n.bit_length() - 1)))


@dataclass(frozen=True)
class Phase:
    """Every stride-th row and column of a plane, from (row, column) on: a plane of its own.

    Attributes
    ----------
    index : int
        The number of the phase among those of its plane.
    row, column : int
    height, width : int
    """

    index: int
    row: int
    column: int
    height: int
    width: int


def phases(shape: tuple[int, int, int], stride: tuple[int, int]) -> tuple[Phase, ...]:
    """Return the phases of a plane; some are empty if a stride exceeds the plane."""
    (_, height, width), (down, across) = shape, stride
    return tuple(
        Phase(p * across + q, p, q, -(-(height - p) // down), -(-(width - q) // across))
        for p in range(down)
        for q in range(across)
    )


@dataclass(frozen=True)
class Gaps:
    """What is filled of one phase: behind each row of an image, and behind all rows."""

    offset: int
    rows: int
    row: Fill
    below: Fill

    @property
    def at_once(self) -> int:
        """Rows that straight-line code fills."""
        return settings.GAPS_AT_ONCE if self.row.n_bytes < self.row.lanes else 1

    @property
    def whole_mask(self) -> int:
        """The mask that rounds a number of rows down to so many."""
        return -self.at_once


@dataclass(frozen=True)
class Clearing:
    """All that is no pixel gets the value that stands outside of the planes."""

    place: Place
    planes: int
    step: int
    value: int
    gaps: tuple[Gaps, ...]
    lead: Fill

    kind = "clear"


def clearing(
    place: Place,
    value: int,
    lanes: int,
    stride: tuple[int, int] = (1, 1),
    wanted: Collection[int] = (0,),
    written: int = 1,
) -> Clearing:
    """Return how a place is cleared.

    Parameters
    ----------
    place : Place
        With a stride, it holds phases of planes of its shape.
    value : int
        What is written.
    lanes : int
        Bytes of a vector.
    stride : (int, int)
    wanted : collection of int
        The phases that are cleared.
    written : int
        Bytes of the vectors that wrote the rows. What they hold behind a row is filled already.
    """
    gaps = []
    for phase in phases(place.shape, stride):
        if phase.index not in wanted:
            continue
        height, width = max(phase.height, 0), max(phase.width, 0)
        if height and width:
            width = min(-(-width // written) * written, place.image_step)
        gaps.append(
            Gaps(
                phase.index * place.channel_step,
                height,
                Fill(width, place.image_step - width, lanes),
                Fill(0, place.end - height * place.most_pitch, lanes),
            )
        )
    return Clearing(
        place,
        place.shape[0],
        place.channel_step * stride[0] * stride[1],
        value,
        tuple(gaps),
        Fill(-place.lead, place.lead, lanes),
    )


def picking_lanes(n: int, stride: int, vector_bytes: int) -> int:
    """Return the lanes of vectors that hold every stride-th of a row of n results."""
    most = max(1, min(vector_bytes, settings.MOST_READ // stride))
    least = 1 << (n - 1).bit_length()
    return min(least, 1 << (most.bit_length() - 1))
