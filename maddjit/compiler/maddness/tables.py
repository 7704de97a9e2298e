"""Tables and scales as constants, in the order in which scans by rows read them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.maddness.runs import Sums
from maddjit.compiler.maddness.scan_plan import Plane, ScanPlan
from maddjit.compiler.maddness.splicing import RAISED, spliced_order
from maddjit.models.maddness import MaddnessModel
from maddjit.models.requantising import Requantising


def table_constants(
    model: MaddnessModel, scan: ScanPlan, sums: Sums
) -> dict[str, bytes | memoryview]:
    """Return the tables, plane by plane, or run by run if they are streams; padding is zero."""
    n_codebooks, n_prototypes, n_outputs = model.tables.shape
    planes = [plane for tile in scan.tiles for plane in tile.planes * tile.count]
    n_entries = n_codebooks * n_prototypes
    width = scan.streams.run_step if scan.streams else scan.width
    packed = np.zeros(n_entries * width, np.uint8)
    start = 0
    for plane in planes:
        order = start + lane_order(plane, sums.bits)
        used = order < n_outputs
        part = packed[n_entries * start :][: n_entries * plane.lanes]
        where = part.reshape(n_codebooks, n_prototypes, plane.lanes)
        if scan.streams:
            where = packed.reshape(n_codebooks, n_prototypes, width)
            where = where[..., start : start + plane.lanes]
        if used.all():
            where[...] = model.tables.take(order, axis=2)
        else:
            where[..., used] = model.tables[..., order[used]]
        start += plane.lanes
    return {"tables": packed.data}


def lane_order(plane: Plane, sum_bits: int) -> NDArray[np.intp]:
    """Return the output of each byte of a plane.

    With sums of 16 bits the even bytes are the first half of the plane's outputs, the odd bytes the
    second half. Where sums are spliced, each quarter of the outputs is spread as it is collected.
    """
    if plane.is_spliced:
        return spliced_order(plane.lanes, sum_bits)
    order = np.arange(plane.lanes)
    return order.reshape(2, -1).T.ravel() if sum_bits == 16 else order


def scale_constants(model: MaddnessModel, scan: ScanPlan) -> dict[str, bytes]:
    """Return scale and offset of each output, as float32; padding is zero.

    If any sums are spliced, `fall` is what becomes of `RAISED` when it is scaled, to be taken away.
    """
    scale, offset = np.zeros((2, scan.width), "<f4")
    scale[: model.n_outputs], offset[: model.n_outputs] = model.scale, model.offset
    constants = {"scale": scale.tobytes(), "offset": offset.tobytes()}
    if scan.is_spliced:
        constants["fall"] = (scale * np.float32(-RAISED)).tobytes()
    return constants


def requantising_constants(requantising: Requantising, width: int) -> dict[str, bytes]:
    """Return the multiplier and addend of each output, as 32-bit integers; padding is zero."""
    ends = np.zeros((2, width), "<i4")
    ends[:, : len(requantising.addend)] = requantising.multiplier, requantising.addend
    return {"multiplier": ends[0].tobytes(), "addend": ends[1].tobytes()}


def word_constants(requantising: Requantising) -> dict[str, bytes]:
    """Return the multiplier and addend of each output as words, twice each.

    Two words are filled into a vector by a load alone. Centred sums have lost 32768 each, and so
    their products have lost the multiplier.
    """
    addend = requantising.addend + requantising.multiplier * requantising.is_centred
    return {
        "multiplier_words": np.repeat(requantising.multiplier, 2).astype("<i2").tobytes(),
        "addend_words": np.repeat(addend, 2).astype("<i2").tobytes(),
    }
