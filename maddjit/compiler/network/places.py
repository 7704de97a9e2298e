"""Places: where planes of a group of images lie in a network's arena."""

from __future__ import annotations

from dataclasses import dataclass, replace

from maddjit.compiler.network import settings
from maddjit.compiler.workspace import LINE, lines, odd_lines


@dataclass(frozen=True)
class Geometry:
    """How all planes of one resolution lie: those of a layer's input and output lie alike.

    Attributes
    ----------
    pitch, image_rows : int
        Bytes from one row to the next, and rows from one image to the next.
    lead, tail : int
        Bytes in front of the first image and behind the last one that a window may reach.
    """

    pitch: int
    image_rows: int
    lead: int = 0
    tail: int = 0

    @property
    def image_step(self) -> int:
        """Bytes from one image of a plane to the next."""
        return self.pitch * self.image_rows

    def plane_step(self, images: int) -> int:
        """Return the bytes from one plane to the next: an odd number of cache lines."""
        return odd_lines(self.lead + images * self.image_step + max(self.tail, settings.SLACK))


@dataclass(frozen=True)
class Place:
    """Where numbers of int8 lie, in bytes from the begin of the arena.

    Number (image, channel, row, column) is at ``offset + image * image_step + channel *
    channel_step + row * pitch + column``. Planes of one number each lie in rows instead, one row
    for each image: then `channel_step` is 1.

    Attributes
    ----------
    shape : (int, int, int)
        Planes, rows and columns.
    offset, channel_step, image_step, pitch : int
    lead, tail : int
        Bytes in front of a plane's first image and behind its last one that windows reach.
    n_bytes : int
        All bytes, those in front of the first plane included.
    """

    shape: tuple[int, int, int]
    offset: int
    channel_step: int
    image_step: int
    pitch: int
    lead: int
    tail: int
    n_bytes: int

    @property
    def is_rows(self) -> bool:
        """Whether the numbers of an image lie side by side."""
        return self.channel_step == 1

    @property
    def begin(self) -> int:
        """Where the memory begins."""
        return self.offset - self.lead

    @property
    def behind(self) -> int:
        """Bytes of an image behind the last number of a plane: run = images · step − behind."""
        _, height, width = self.shape
        return self.image_step - (height - 1) * self.pitch - width

    @property
    def image_bytes(self) -> int:
        """Bytes of an image, with all that lies between its rows."""
        return self.image_step * (1 if self.is_rows else self.shape[0])

    def at(self, begin: int) -> Place:
        """Return this place, moved so that its memory begins there."""
        return replace(self, offset=begin + self.lead)

    def channels(self, first: int, count: int) -> Place:
        """Return the place of some of the planes."""
        return replace(
            self,
            shape=(count, *self.shape[1:]),
            offset=self.offset + first * self.channel_step,
        )


def framed(shape: tuple[int, int, int], geometry: Geometry, images: int) -> Place:
    """Return a place for planes of this shape, which begins at 0."""
    step = geometry.plane_step(images)
    return Place(
        shape=shape,
        offset=geometry.lead,
        channel_step=step,
        image_step=geometry.image_step,
        pitch=geometry.pitch,
        lead=geometry.lead,
        tail=geometry.tail,
        n_bytes=shape[0] * step,
    )


def in_rows(n_numbers: int, images: int) -> Place:
    """Return a place for so many numbers of each image, side by side, which begins at 0.

    Vectors may read and write up to `settings.SLACK` bytes behind a row.
    """
    step = lines(n_numbers + settings.SLACK - 1)
    return Place((n_numbers, 1, 1), 0, 1, step, 1, 0, 0, images * step)


@dataclass
class Block:
    """Memory that is in use from one step to another, both included."""

    n_bytes: int
    first: int
    last: int
    begin: int = -1


def arrange(blocks: list[Block]) -> int:
    """Give each block a begin so that none in use at once overlap; return the bytes of all.

    The largest blocks are placed first, each as low as those allow that are placed already.
    """
    placed: list[Block] = []
    for block in sorted(blocks, key=lambda each: -each.n_bytes):
        begin = 0
        for other in sorted(placed, key=lambda each: each.begin):
            apart = other.last < block.first or block.last < other.first
            if not apart and begin < other.begin + other.n_bytes:
                if begin + block.n_bytes <= other.begin:
                    break
                begin = max(begin, lines(other.begin + other.n_bytes))
        block.begin = begin
        placed.append(block)
    return max((lines(block.begin + block.n_bytes) for block in blocks), default=LINE)
