"""Bands: how a call of a convolution is cut into parts that are worked on one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.frames import LEAST_ROWS, PART_BYTES
from maddjit.operators.layouts import (
    Band,
    Job,
    Layout,
    address_of,
    image_bytes,
    is_in_place,
    layout_of,
    seen_of,
)

LEAST_IN_PLACE = 32
"""Outputs of an image from which on kernels read or write arrays themselves: fewer leave vectors of
outputs unfilled. In frames many images are one run."""


def bands(first: int, last: int, rows: int, most_images: int, most_rows: int) -> Iterator[Band]:
    """Yield the bands of a span of rows; row r of image i has the number i · rows + r.

    Parameters
    ----------
    first, last : int
        The span.
    rows : int
        Rows of outputs of an image.
    most_images, most_rows : int
        Images of a band with all rows, and rows of a band of one image, at most.

    Examples
    --------
    >>> list(bands(7, 30, 10, 1, 10))[:2]
    [Band(image=0, n_images=1, row=7, n_rows=3), Band(image=1, n_images=1, row=0, n_rows=10)]
    """
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
class Steps:
    """A span of rows, ready to be run by `maddjit.compiler.planes.drive`.

    Attributes
    ----------
    bands : tuple of Band
        What each step computes.
    layouts : tuple of Layout
        Where everything of each step lies in memory.
    numbers : array of int64
        What the driver is told.
    address : int
        Where they are.
    n_bytes : int
        The memory that the largest step needs.
    kept : tuple of arrays
        Arrays whose addresses are in `numbers`.
    """

    bands: tuple[Band, ...]
    layouts: tuple[Layout, ...]
    numbers: NDArray[np.int64]
    address: int
    n_bytes: int
    kept: tuple[NDArray[np.int64], ...]


def steps_of(job: Job, span: tuple[int, int], head: Sequence[int]) -> Steps:
    """Return what there is to do for a span of rows of all images; bands share their layouts.

    `head` is what the driver is told first: the number of groups, and the addresses of functions.
    """
    (height, rows), columns = (job.x.shape[1], job.y.shape[1]), job.y.shape[2]
    in_place = rows * columns >= LEAST_IN_PLACE and is_in_place(job)
    each = max(1, image_bytes(job, in_place))
    most_images = 1 if in_place else max(1, PART_BYTES // each)
    most_rows = max(LEAST_ROWS, rows * PART_BYTES // each)
    found: dict[tuple[int, ...], tuple[Layout, NDArray[np.int64]]] = {}
    cut, layouts, numbers = [], [], list(head)
    for band in bands(*span, rows, most_images, most_rows):
        _, first, seen = seen_of(job.window, band, rows, height)
        kind = (band.n_images, band.n_rows, min(first, 0), min(height - first, seen))
        if kind not in found:
            layout = layout_of(job, band, in_place)
            found[kind] = layout, layout.numbers()
        layout, told = found[kind]
        source = band.image * job.x.strides[0] + first * job.x.strides[2]
        goal = band.image * job.y.strides[0] + band.row * job.y.strides[2]
        numbers += [source, goal, address_of(told)]
        cut.append(band)
        layouts.append(layout)
    array = np.array(numbers, np.int64)
    return Steps(
        bands=tuple(cut),
        layouts=tuple(layouts),
        numbers=array,
        address=address_of(array),
        n_bytes=max(layout.n_bytes for layout in layouts),
        kept=tuple(told for _, told in found.values()),
    )
