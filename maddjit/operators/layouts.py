"""Layouts: where everything of a band of a convolution lies in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.frames import Frame, frame_of, offsets_of
from maddjit.compiler.planes.sizes import Sizes
from maddjit.compiler.workspace import lines, odd_lines
from maddjit.models.window import Window


@dataclass(frozen=True)
class Band:
    """Rows of outputs of some images: all rows of each image, or some rows of one.

    Attributes
    ----------
    image, n_images : int
        The first image, and how many they are.
    row, n_rows : int
        The first row of outputs, and how many of each image.
    """

    image: int
    n_images: int
    row: int
    n_rows: int


@dataclass(frozen=True)
class Planes:
    """What a layout must know of an array of planes: its sizes without the images, and its steps.

    Attributes
    ----------
    shape : (int, int, int)
        Channels, rows and columns.
    strides : (int, int, int, int)
        Bytes from one image, channel, row and column to the next.
    itemsize : int
        Bytes of an element where it is worked on: of the frame, or of the outputs.
    is_converted : bool
        Whether elements are converted on their way.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    itemsize: int
    is_converted: bool = False

    def is_run(self, pitch: int, n_rows: int) -> bool:
        """Tell whether rows of an image lie so many elements apart, as kernels take them."""
        columns, (row_step, column_step) = self.shape[2], self.strides[2:]
        return (
            not self.is_converted
            and (column_step == self.itemsize or columns == 1)
            and (row_step == pitch * self.itemsize or n_rows == 1)
        )


@dataclass(frozen=True)
class Job:
    """What a layout is made for: the window, the groups, and the arrays of a call.

    Attributes
    ----------
    window : Window
    groups : int
    x, y : Planes
    fill : int
        What stands outside of the planes: the bits of an element.
    codes : int
        How many codes of a group lie side by side, if those are the results.
    """

    window: Window
    groups: int
    x: Planes
    y: Planes
    fill: int
    codes: int = 0


@dataclass(frozen=True)
class Phase:
    """How a phase of the planes enters a frame.

    `source` and `goal` are bytes from the first row of a band in the array, and from the beginning
    of the frame; `sizes` are those of `maddjit.compiler.planes.sizes`.
    """

    source: int
    goal: int
    sizes: NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """Where everything of a band lies in memory; in bytes if nothing else is said.

    Attributes
    ----------
    phases : tuple of Phase
        How planes enter the frame; none if kernels read the array itself.
    lead : int
        From the beginning of a plane to its first image.
    run : int
        Outputs of a plane, garbage in the gaps included.
    itemsize : int
        An element of the frame.
    offsets : array of int64
        How far what each tap sees of a group's planes is from its first image.
    frame_bytes, group_step : int
        The frame of all planes, and from one group's first plane to the next group's.
    output_step, group_output_step : int
        From one plane of results to the next, and from one group's first plane to the next group's.
        Codes of an output lie side by side; their step is from one output to the next.
    n_bytes : int
        The frame and the results.
    leaving : array of int64 or None
        The sizes with which results leave; None if kernels write into the array itself.
    image_step, pitch : int
        Outputs from one image to the next, and from one row to the next.
    """

    phases: tuple[Phase, ...]
    lead: int
    run: int
    itemsize: int
    offsets: NDArray[np.int64]
    frame_bytes: int
    group_step: int
    output_step: int
    group_output_step: int
    n_bytes: int
    leaving: NDArray[np.int64] | None
    image_step: int
    pitch: int

    def numbers(self) -> NDArray[np.int64]:
        """Return the layout as `maddjit.compiler.planes.drive` takes it.

        It has the addresses of arrays that live as long as the layout does.
        """
        found = [len(self.phases), self.lead, self.run, self.itemsize, address_of(self.offsets)]
        found += [self.frame_bytes, self.group_step, self.output_step, self.group_output_step]
        found += [self.n_bytes, 0 if self.leaving is None else address_of(self.leaving)]
        for phase in self.phases:
            found += [phase.source, phase.goal, address_of(phase.sizes)]
        return np.array(found, np.int64)


def address_of(array: NDArray[Any]) -> int:
    """Return the address of an array's first element."""
    address: int = array.__array_interface__["data"][0]
    return address


def image_bytes(job: Job, in_place: bool) -> int:
    """Return the bytes of the frame and of the outputs of one image, about."""
    channels, height, width = job.x.shape
    frame = frame_of(job.window, height, width)
    down, across = job.window.stride
    n_bytes = 0
    if not (in_place and _reads(job, frame, height)):
        n_bytes += channels * down * across * frame.image_step * job.x.itemsize
    if not (in_place and _writes(job, frame, job.y.shape[1])):
        n_bytes += job.y.shape[0] * frame.image_step * job.y.itemsize
    return n_bytes


def is_in_place(job: Job) -> bool:
    """Tell whether kernels can read or write the array itself, an image at a time."""
    height, width = job.x.shape[1:]
    frame = frame_of(job.window, height, width)
    return _reads(job, frame, height) or _writes(job, frame, job.y.shape[1])


def _reads(job: Job, frame: Frame, n_rows: int) -> bool:
    """Tell whether an image of the array is as it would be in a frame."""
    is_all = job.window.stride == (1, 1) and not (frame.lead or frame.tail)
    return is_all and frame.pitch == frame.width and job.x.is_run(frame.pitch, n_rows)


def _writes(job: Job, frame: Frame, n_rows: int) -> bool:
    """Tell whether the outputs of an image are as they shall be in the array."""
    is_all = frame.pitch == job.y.shape[2] and not job.codes
    return is_all and job.y.is_run(frame.pitch, n_rows)


def seen_of(window: Window, band: Band, rows: int, height: int) -> tuple[Window, int, int]:
    """Return what a band sees: a window, and the first row and the number of rows of an image.

    Parts of an image have its padding above and below in them. The first row may lie above the
    image, and the last one below it.
    """
    if band.n_rows == rows:
        return window, 0, height
    first = band.row * window.stride[0] - window.padding[0]
    within = Window(window.kernel, window.stride, (0, 0, *window.padding[2:]), window.dilation)
    return within, first, window.seen_rows(band.n_rows)


def layout_of(job: Job, band: Band, in_place: bool) -> Layout:
    """Return the layout of a band; `in_place` lets kernels read or write arrays themselves.

    It is the same for all bands with as many images and rows that see as much of the padding.
    """
    x, y, groups = job.x, job.y, job.groups
    channels, height, width = x.shape
    n_planes, rows, columns = y.shape
    window, first, seen_rows = seen_of(job.window, band, rows, height)
    frame = frame_of(window, seen_rows, width)
    is_inside = first >= 0 and first + seen_rows <= height
    reads = in_place and is_inside and _reads(job, frame, seen_rows)
    writes = in_place and _writes(job, frame, band.n_rows)
    n_phases = 1 if reads else window.stride[0] * window.stride[1]
    plane_step = x.strides[1] if reads else frame.plane_step(band.n_images, x.itemsize)
    run = frame.run(band.n_images, band.n_rows, columns)
    output_step = job.codes or (y.strides[1] if writes else odd_lines(run * y.itemsize))
    group_output_step = lines(job.codes * run) or n_planes // groups * output_step
    frame_bytes = 0 if reads else lines(channels * n_phases * plane_step)
    leaving = Sizes(
        *(n_planes, band.n_images, band.n_rows, columns, output_step),
        *(frame.image_step, frame.pitch, 0, 0, 0),
        *(y.strides[1], y.strides[0], y.strides[2], y.strides[3]),
    )
    inputs = channels // groups
    return Layout(
        phases=() if reads else _phases(job, band, window, frame, (first, seen_rows), plane_step),
        lead=frame.lead * x.itemsize,
        run=run,
        itemsize=x.itemsize,
        offsets=offsets_of(window, frame, inputs, plane_step, x.itemsize),
        frame_bytes=frame_bytes,
        group_step=inputs * n_phases * plane_step,
        output_step=output_step,
        group_output_step=group_output_step,
        n_bytes=frame_bytes + (0 if writes else groups * group_output_step),
        leaving=None if writes else leaving.merged.array(),
        image_step=frame.image_step,
        pitch=frame.pitch,
    )


def _phases(
    job: Job,
    band: Band,
    window: Window,
    frame: Frame,
    seen: tuple[int, int],
    plane_step: int,
) -> tuple[Phase, ...]:
    """Return how planes enter a frame: each phase that a tap sees, `plane_step` bytes apart."""
    channels, height, width = job.x.shape
    (down, across), (first, seen_rows) = window.stride, seen
    image_step, channel_step, row_step, column_step = job.x.strides
    phases = []
    for p, q in sorted({(dy % down, dx % across) for dy, dx in window.taps()}):
        above = min(frame.height, max(0, -((first + p) // down)))
        until = max(above, -(-(min(height - first, seen_rows) - p) // down))
        sizes = Sizes(
            channels=channels,
            images=band.n_images,
            rows=until - above,
            columns=max(0, -(-(width - q) // across)),
            plane_step=plane_step * down * across,
            image_step=frame.image_step,
            pitch=frame.pitch,
            lead=frame.lead,
            tail=frame.tail,
            above=above,
            array_channel_step=channel_step,
            array_image_step=image_step,
            array_row_step=row_step * down,
            array_column_step=column_step * across,
            fill=job.fill,
        )
        source = (p + above * down) * row_step + q * column_step
        phases.append(Phase(source, (p * across + q) * plane_step, sizes.merged.array()))
    return tuple(phases)
