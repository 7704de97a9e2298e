"""Bands: how a call of a convolution is cut, and where everything of a part lies in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from maddjit.compiler.frames import Frame, frame_of, offsets_of
from maddjit.compiler.planes.sizes import Sizes
from maddjit.compiler.workspace import lines, odd_lines
from maddjit.models.window import Window

PART_BYTES = 1024 * 1024
"""Bytes of frames and outputs that are worked on together: half of an L2 cache, which the tables
share. Parts of 256 KiB took up to 5 % longer, because runs of pixels were short."""
LEAST_ROWS = 4
"""The fewest rows of outputs that are a part of an image: its edges are copied for each part."""


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


def bands(first: int, last: int, rows: int, image_bytes: int) -> Iterator[Band]:
    """Yield the bands of a span of rows; row r of image i has the number i · rows + r.

    Parameters
    ----------
    first, last : int
        The span.
    rows : int
        Rows of outputs of an image.
    image_bytes : int
        Bytes that are worked on for an image.

    Examples
    --------
    >>> list(bands(3, 30, 10, PART_BYTES))
    [Band(image=0, n_images=1, row=3, n_rows=7), Band(image=1, n_images=1, row=0, n_rows=10), \
Band(image=2, n_images=1, row=0, n_rows=10)]
    """
    most_images = max(1, PART_BYTES // image_bytes)
    most_rows = max(LEAST_ROWS, rows * PART_BYTES // image_bytes)
    while first < last:
        image, row = divmod(first, rows)
        if row == 0 and most_rows >= rows and last - first >= rows:
            n_images = min(most_images, (last - first) // rows)
            yield Band(image, n_images, 0, rows)
            first += n_images * rows
        else:
            n_rows = min(most_rows, rows - row, last - first)
            yield Band(image, 1, row, n_rows)
            first += n_rows


@dataclass(frozen=True)
class Address:
    """An array, which lives as long as this, and its address."""

    array: NDArray[Any]
    address: int

    @classmethod
    def of(cls, array: NDArray[Any]) -> Address:
        """Return the address of an array."""
        return cls(array, array.__array_interface__["data"][0])


@dataclass(frozen=True)
class Phase:
    """How a phase of the planes enters a frame.

    `source` and `goal` are bytes from the first row of a band in the array, and from the beginning
    of the frame; `sizes` are those of `maddjit.compiler.planes.sizes`.
    """

    source: int
    goal: int
    sizes: Address


@dataclass(frozen=True)
class Layout:
    """Where everything of a band lies in memory; in bytes if nothing else is said.

    Attributes
    ----------
    phases : tuple of Phase
        How planes enter the frame.
    offsets : Address
        How far what each tap sees of a group's planes is from its first image.
    lead : int
        From the beginning of a plane to its first image.
    run : int
        Outputs of a plane, garbage in the gaps included.
    frame_bytes, group_step : int
        The frame of all planes, and from one group's first plane to the next group's.
    output_step, group_output_step : int
        From one plane of results to the next, and from one group's first plane to the next group's.
        Codes of an output lie side by side; their step is from one output to the next.
    n_bytes : int
        The frame and the results.
    itemsize : int
        An element of the frame.
    leaving : Address
        The sizes with which the outputs leave.
    image_step, pitch : int
        Outputs from one image to the next, and from one row to the next.
    """

    phases: tuple[Phase, ...]
    offsets: Address
    lead: int
    run: int
    frame_bytes: int
    group_step: int
    output_step: int
    group_output_step: int
    n_bytes: int
    itemsize: int
    leaving: Address
    image_step: int
    pitch: int


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
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    itemsize: int


def image_bytes(window: Window, x: Planes, y: Planes) -> int:
    """Return the bytes of the frame and of the outputs of one image, about."""
    channels, height, width = x.shape
    frame = frame_of(window, height, width)
    down, across = window.stride
    inputs = channels * down * across * frame.image_step * x.itemsize
    return inputs + y.shape[0] * frame.image_step * y.itemsize


def phases_in(
    window: Window,
    frame: Frame,
    plane_step: int,
    x: Planes,
    n_images: int,
    shown: tuple[int, int],
    fill: int,
) -> tuple[Phase, ...]:
    """Return how planes enter a frame: each phase that a tap sees.

    Parameters
    ----------
    window : Window
    frame : Frame
        Of one phase.
    plane_step : int
        Bytes from one phase to the next.
    x : Planes
    n_images : int
    shown : (int, int)
        The first row of an image in the frame, which may lie above the array's, and how many.
    fill : int
        The bits of an element.
    """
    channels, height, width = x.shape
    down, across = window.stride
    first, seen_rows = shown
    image_step, channel_step, row_step, column_step = x.strides
    phases = []
    for p, q in sorted({(dy % down, dx % across) for dy, dx in window.taps()}):
        above = max(0, -((first + p) // down))
        until = max(above, -(-(min(height - first, seen_rows) - p) // down))
        sizes = Sizes(
            channels=channels,
            images=n_images,
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
            fill=fill,
        )
        source = (p + above * down) * row_step + q * column_step
        phases.append(Phase(source, (p * across + q) * plane_step, Address.of(sizes.array())))
    return tuple(phases)


def layout_of(
    window: Window, groups: int, x: Planes, y: Planes, band: Band, fill: int, codes: int = 0
) -> Layout:
    """Return the layout of a band.

    `fill` is the bits of an element; `codes` is how many lie side by side, if those are the
    results. A layout is the same for all bands with as many images and rows that see as much of
    the padding.
    """
    channels, height, width = x.shape
    down, across = window.stride
    first, seen_rows = 0, height  # of the image, as they lie in the frame
    if band.n_rows < y.shape[1]:
        first = band.row * down - window.padding[0]
        seen_rows = window.seen_rows(band.n_rows)
        window = Window(window.kernel, window.stride, (0, 0, *window.padding[2:]), window.dilation)
    frame = frame_of(window, seen_rows, width)
    plane_step = frame.plane_step(band.n_images, x.itemsize)
    shown = (first, seen_rows)
    phases = phases_in(window, frame, plane_step, x, band.n_images, shown, fill)
    n_planes, _, columns = y.shape
    run = frame.run(band.n_images, band.n_rows, columns)
    output_step = codes or odd_lines(run * y.itemsize)
    group_output_step = lines(codes * run) if codes else n_planes // groups * output_step
    leaving = Sizes(
        *(n_planes, band.n_images, band.n_rows, columns, output_step),
        *(frame.image_step, frame.pitch, 0, 0, 0),
        *(y.strides[1], y.strides[0], y.strides[2], y.strides[3]),
    )
    inputs = channels // groups
    return Layout(
        phases=phases,
        offsets=Address.of(offsets_of(window, frame, inputs, plane_step, x.itemsize)),
        lead=frame.lead * x.itemsize,
        run=run,
        frame_bytes=lines(channels * down * across * plane_step),
        group_step=inputs * down * across * plane_step,
        output_step=output_step,
        group_output_step=group_output_step,
        n_bytes=lines(channels * down * across * plane_step) + groups * group_output_step,
        itemsize=x.itemsize,
        leaving=Address.of(leaving.array()),
        image_step=frame.image_step,
        pitch=frame.pitch,
    )


@dataclass(frozen=True)
class Step:
    """A band that is computed: bytes from the beginning of the arrays to where it begins in each.

    `source` is where the first row would be that the band sees, whether or not there is one.
    """

    band: Band
    layout: Layout
    source: int
    goal: int


@dataclass(frozen=True)
class Job:
    """A span of rows: its bands, one after another, and the memory that the largest one needs."""

    steps: tuple[Step, ...]
    n_bytes: int


def job_of(
    window: Window,
    groups: int,
    x: Planes,
    y: Planes,
    span: tuple[int, int],
    fill: int,
    codes: int = 0,
) -> Job:
    """Return what there is to do for a span of rows of all images; bands share their layouts."""
    (height, rows), down = (x.shape[1], y.shape[1]), window.stride[0]
    layouts: dict[tuple[int, ...], Layout] = {}
    steps = []
    for band in bands(*span, rows, image_bytes(window, x, y)):
        source, padding = band.image * x.strides[0], (0, 0)
        if band.n_rows < rows:
            first = band.row * down - window.padding[0]
            source += first * x.strides[2]
            padding = min(first, 0), min(height - first, window.seen_rows(band.n_rows))
        kind = (band.n_images, band.n_rows, *padding)
        if kind not in layouts:
            layouts[kind] = layout_of(window, groups, x, y, band, fill, codes)
        goal = band.image * y.strides[0] + band.row * y.strides[2]
        steps.append(Step(band, layouts[kind], source, goal))
    return Job(tuple(steps), max(layout.n_bytes for layout in layouts.values()))
