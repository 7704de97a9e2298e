"""Frames: how the planes of some images lie in memory, so that every tap is a constant offset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.workspace import odd_lines
from maddjit.models.window import Window

PART_BYTES = 512 * 1024
"""Bytes of frames and outputs that are worked on together: part of an L2 cache, which the arrays
stream through. Fewer rows are slower to encode and scan, and more edges are copied."""
LEAST_ROWS = 4
"""The fewest rows of outputs that are a part of an image: its edges are copied for each part."""


@dataclass(frozen=True)
class Frame:
    """The layout of planes in memory: one run of bytes for each plane, all images in it.

    Image i of a plane begins `lead` + i · `image_step` elements behind the plane's first one, row y
    of it `pitch` elements further. Right of each row and below each image stand elements that
    belong to no image. They serve the next row and the next image as well. `lead` and `tail`
    elements stand in front of the first image and behind the last one. All of them are filled with
    the padding. So what a convolution sees from any output, borders included, is in the run, and
    the outputs of all images are one run, too.

    Attributes
    ----------
    height, width : int
        Rows and columns of an image.
    pitch : int
        Elements from one row to the next.
    image_rows : int
        Rows from one image to the next.
    lead, tail : int
        Elements in front of the first image and behind the last one.
    """

    height: int
    width: int
    pitch: int
    image_rows: int
    lead: int
    tail: int

    @property
    def image_step(self) -> int:
        """Elements from one image of a plane to the next."""
        return self.pitch * self.image_rows

    def length(self, n_images: int) -> int:
        """Return the elements of a plane of so many images."""
        return self.lead + n_images * self.image_step + self.tail

    def plane_step(self, n_images: int, itemsize: int = 1) -> int:
        """Return the bytes from one plane to the next: an odd number of cache lines."""
        return odd_lines(self.length(n_images) * itemsize)

    def run(self, n_images: int, height: int, width: int) -> int:
        """Return the elements from the first of so many outputs of each image to the last one."""
        return (n_images - 1) * self.image_step + (height - 1) * self.pitch + width


def phases_of(window: Window, height: int, width: int) -> tuple[int, int]:
    """Return the rows and columns of a phase: every stride-th of a plane."""
    down, across = window.stride
    return -(-height // down), -(-width // across)


def frame_of(window: Window, height: int, width: int) -> Frame:
    """Return the least frame of a convolution's input planes.

    With a stride, planes are first taken apart into phases: phase (p, q) of a plane has its
    elements of the rows p, p + stride, … and the columns q, q + stride, … A tap then sees
    neighbouring elements of one phase from neighbouring outputs.
    """
    rows, columns = window.output_size(height, width)
    inner = phases_of(window, height, width)
    ends = []
    for axis, (size, outputs) in enumerate(zip(inner, (rows, columns), strict=True)):
        seen = [tap[axis] // window.stride[axis] for tap in window.taps()]
        before = max(0, -min(seen))
        behind = max(0, max(seen) + outputs - size)
        ends.append((before, behind, max(before, behind, outputs - size)))
    (top, bottom, gap_rows), (left, right, gap_columns) = ends
    pitch = inner[1] + gap_columns
    return Frame(*inner, pitch, inner[0] + gap_rows, top * pitch + left, bottom * pitch + right)


def offsets_of(
    window: Window, frame: Frame, n_channels: int, plane_step: int, itemsize: int = 1
) -> NDArray[np.int64]:
    """Return how far what each tap sees of each plane is from the first image, in bytes.

    The phases of a plane follow each other, the columns' phases of the first rows' phase first.
    """
    down, across = window.stride
    offsets = np.empty((n_channels, window.n_taps), np.int64)
    for tap, (y, x) in enumerate(window.taps()):
        phase = (y % down) * across + x % across
        within = (y // down) * frame.pitch + x // across
        planes = np.arange(n_channels) * (down * across) + phase
        offsets[:, tap] = planes * plane_step + within * itemsize
    return offsets.ravel()
