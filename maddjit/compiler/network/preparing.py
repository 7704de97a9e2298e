"""What each layer of a network reads: its input where it lies, or copied to another place first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.frames import Frame, frame_of, offsets_of, phases_of
from maddjit.compiler.network import settings
from maddjit.compiler.network.places import Geometry, Place, framed, in_rows
from maddjit.models.layers import AveragePool, Dense, Exact, LookUp, MaxPool
from maddjit.models.network import Network, Step
from maddjit.models.window import Window

Way = Literal["same", "phases", "padded", "row"]
"""How a layer reads its input: where it lies, taken apart into phases, in a copy with its padding,
or as one row of numbers for each image."""

ONE = (1, 1)
"""The rows and columns of planes that lie in rows, one row for each image."""


@dataclass(frozen=True)
class Prepared:
    """The input of a layer: how it is read, and where, if that is not where the value lies.

    Attributes
    ----------
    way : Way
    place : Place or None
        Where the copy lies, from 0 on; None if the value is read where it lies.
    window : Window or None
        What the layer sees.
    """

    way: Way
    place: Place | None = None
    window: Window | None = None

    @property
    def reads_around(self) -> bool:
        """Whether what lies around the pixels of the value itself is read."""
        return self.way == "same" and self.window is not None and any(self.window.padding)


def window_of(step: Step, height: int, width: int) -> Window | None:
    """Return what a layer sees of each plane; None if it takes number by number."""
    if isinstance(step.layer, LookUp | Exact | MaxPool | AveragePool):
        return step.layer.window
    return Window((height, width)) if isinstance(step.layer, Dense) else None


def taps_of(step: Step) -> int:
    """Return how many taps a group of a convolution has."""
    if isinstance(step.layer, LookUp):
        return step.layer.model.products[0].n_features
    return step.layer.weights[0].size if isinstance(step.layer, Exact) else 0


def is_product(step: Step) -> bool:
    """Tell whether a layer is a convolution or a last layer."""
    return isinstance(step.layer, LookUp | Exact | Dense)


def geometries(network: Network) -> dict[tuple[int, int], Geometry]:
    """Return how planes of each resolution lie.

    A convolution reads and writes planes that lie alike, so its input, or a copy of it, lies as
    planes of its outputs' resolution do. They have all the room that any convolution needs.
    """
    frames: dict[tuple[int, int], list[tuple[Window, Frame]]] = {}
    for step in network.steps:
        if step.planes is None:
            continue
        size = step.planes.shape[1:]
        frames.setdefault(size, [])
        if isinstance(step.layer, LookUp | Exact) and size != ONE:
            given = network.planes(step.inputs[0])
            window = step.layer.window
            frames[size].append((window, frame_of(window, given.height, given.width)))
    return {size: _room(size, each) for size, each in frames.items()}


def _room(size: tuple[int, int], needed: Iterable[tuple[Window, Frame]]) -> Geometry:
    """Return the least geometry that holds planes of a size and all of these frames."""
    room = Geometry(size[1], size[0])
    for window, frame in needed:
        seen = [tap[0] // window.stride[0] for tap in window.taps()]
        beside = [tap[1] // window.stride[1] for tap in window.taps()]
        room = Geometry(
            max(room.step, frame.pitch),
            max(room.rows, frame.height),
            max(room.lead_rows, -min(seen)),
            max(room.lead_columns, -min(beside)),
            max(room.tail_rows, max(seen)),
            max(room.tail_columns, max(beside)),
        )
    return room


def prepared(
    network: Network, step: Step, rooms: dict[tuple[int, int], Geometry], images: int
) -> Prepared:
    """Return how a step reads its first input."""
    if not step.inputs[0]:
        return Prepared("same")
    given = network.planes(step.inputs[0])
    size = (given.height, given.width)
    window = window_of(step, *size)
    if window is None:
        return Prepared("same")
    out = window.output_size(*size)
    if is_product(step) and out == ONE:
        if size == ONE and window.n_taps == 1:
            return Prepared("same", None, window)
        return Prepared("row", in_rows(given.channels * window.n_taps, images), window)
    if not is_product(step):
        if not any(window.padding):
            return Prepared("same", None, window)
        top, bottom, left, right = window.padding
        room = Geometry(given.width + max(left, right), given.height, top, left, bottom, right)
        return Prepared("padded", framed(given.shape, room, images), window)
    if window.stride == (1, 1) and size == out:
        return Prepared("same", None, window)
    phases = window.stride[0] * window.stride[1]
    shape = (given.channels * phases, *phases_of(window, *size))
    return Prepared("phases", framed(shape, rooms[out], images), window)


def phases_seen(window: Window, stride: tuple[int, int]) -> tuple[int, ...]:
    """Return the numbers of the phases that a window's entries see."""
    down, across = stride
    return tuple(sorted({(y % down) * across + x % across for y, x in window.taps()}))


def tap_offsets(
    window: Window, place: Place, channels: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how far what each tap sees of each plane is from an output: bytes, and rows."""
    base = offsets_of(window, Frame(1, 1, 0, 1, 0, 0), channels, place.channel_step)
    rows = offsets_of(window, Frame(1, 1, 1, 1, 0, 0), channels, place.channel_step) - base
    return base, rows


def seen_by_one(
    window: Window, place: Place
) -> tuple[tuple[tuple[int, int, int], ...], tuple[int, ...]]:
    """Return which entries of a window's only position see a pixel, where; and which see none."""
    _, height, width = place.shape
    seen, unseen = [], []
    for number, (row, column) in enumerate(window.taps()):
        if 0 <= row < height and 0 <= column < width:
            seen.append((number, row, column))
        else:
            unseen.append(number)
    return tuple(seen), tuple(unseen)


def group_images(network: Network, rooms: dict[tuple[int, int], Geometry]) -> int:
    """Return how many images go through the network together.

    The inputs and outputs of each layer, copies included, fit a share of an L2 cache. Where tables
    do not fit one anyway, more images share each reading of them.
    """
    largest = 1
    for step in network.steps:
        used = [network.planes(value) for value in step.inputs if value]
        used += [step.planes] if step.planes is not None else []
        places = [framed(planes.shape, rooms[planes.shape[1:]], 1) for planes in used]
        copy = prepared(network, step, rooms, 1).place
        if copy is not None:
            places.append(copy)
        largest = max(largest, sum(place.image_bytes for place in places))
    tables = sum(table_bytes(step) for step in network.steps)
    is_far = tables > settings.FAR_TABLE_BYTES
    most = settings.FAR_GROUP_BYTES if is_far else settings.GROUP_BYTES
    return max(1, min(settings.MOST_IMAGES, most // largest))


def table_bytes(step: Step) -> int:
    """Return the bytes of a layer's tables or weights."""
    if isinstance(step.layer, LookUp):
        return sum(product.tables.nbytes for product in step.layer.model.products)
    return step.layer.weights.nbytes if isinstance(step.layer, Exact | Dense) else 0
