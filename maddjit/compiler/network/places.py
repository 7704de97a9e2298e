"""Places: where planes of a group of images lie in a network's arena."""

from __future__ import annotations

from dataclasses import dataclass, replace

from maddjit.compiler.network import settings
from maddjit.compiler.workspace import LINE, lines, odd_lines


@dataclass(frozen=True)
class Geometry:
    """How all planes of one resolution lie: those of a layer's input and output lie alike.

    The images of a group stand side by side: the first rows of all images, then the second rows,
    and so on. So what stands outside of an image takes a few columns between images, and a few rows
    above and below all of them. The pitch, from one row to the next, is `step` times the number of
    images that are there.

    Attributes
    ----------
    step : int
        Bytes from one image of a row to the next.
    rows : int
        Rows of the highest planes.
    lead_rows, lead_columns, tail_rows, tail_columns : int
        How far a window reaches in front of the first number of a plane and behind its last one.
    """

    step: int
    rows: int
    lead_rows: int = 0
    lead_columns: int = 0
    tail_rows: int = 0
    tail_columns: int = 0

    def lead(self, images: int) -> int:
        """Return the bytes in front of the first number."""
        return self.lead_rows * images * self.step + self.lead_columns

    def end(self, images: int) -> int:
        """Return the bytes from the first number to the last one that a window reaches."""
        return (self.rows + self.tail_rows) * images * self.step + self.tail_columns

    def plane_step(self, images: int) -> int:
        """Return the bytes from one plane to the next: an odd number of cache lines."""
        return odd_lines(self.lead(images) + self.end(images) + settings.SLACK)


@dataclass(frozen=True)
class Place:
    """Where numbers of int8 lie, in bytes from the begin of the arena.

    Number (image, channel, row, column) is at ``offset + image * image_step + channel *
    channel_step + row * pitch + column``. The pitch depends on the number of images. Planes of one
    number each lie in rows instead, one row for each image: then `channel_step` is 1.

    Attributes
    ----------
    shape : (int, int, int)
        Planes, rows and columns.
    offset, channel_step, image_step : int
    most_pitch : int
        The pitch of a whole group of images.
    lead, end : int
        Bytes in front of the first number of a plane that windows reach, and those from there to
        the last one.
    n_bytes : int
        All bytes, those in front of the first plane included.
    """

    shape: tuple[int, int, int]
    offset: int
    channel_step: int
    image_step: int
    most_pitch: int
    lead: int
    end: int
    n_bytes: int

    @property
    def is_rows(self) -> bool:
        """Whether the numbers of an image lie side by side."""
        return self.channel_step == 1

    @property
    def pitch(self) -> str:
        """The pitch, as code names it."""
        return "1" if self.is_rows else f"%pitch.{self.image_step}"

    @property
    def begin(self) -> int:
        """Where the memory begins."""
        return self.offset - self.lead

    @property
    def gap(self) -> int:
        """Bytes between two images of a row: a run of all rows ends so many bytes earlier."""
        return self.image_step - self.shape[2]

    @property
    def image_bytes(self) -> int:
        """Bytes of an image, with all that lies between its rows."""
        channels, height, _ = self.shape
        return self.image_step * (1 if self.is_rows else channels * height)

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
        offset=geometry.lead(images),
        channel_step=step,
        image_step=geometry.step,
        most_pitch=images * geometry.step,
        lead=geometry.lead(images),
        end=geometry.end(images),
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
