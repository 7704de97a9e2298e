"""The constants of scans by rows: tables in the order of the planes, scales and offsets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.maddness.runs import Sums
from maddjit.compiler.maddness.scanning import Plane, ScanPlan
from maddjit.compiler.maddness.splicing import RAISED, spliced_order
from maddjit.models.maddness import MaddnessModel


def table_constants(model: MaddnessModel, scan: ScanPlan, sums: Sums) -> dict[str, bytes]:
    """Return the tables in the order of the planes; padding is zero."""
    padded = np.zeros((*model.tables.shape[:2], scan.width), np.uint8)
    padded[..., : model.n_outputs] = model.tables
    pieces = []
    start = 0
    for tile in scan.tiles:
        for plane in tile.planes * tile.count:
            pieces.append(padded[..., start + lane_order(plane, sums.bits)].tobytes())
            start += plane.lanes
    return {"tables": b"".join(pieces)}


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
