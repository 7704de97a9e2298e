"""How rows become bytes, and bytes the directions that prototypes stand in: all in integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.additive import settings
from maddjit.learning.additive.weights import byte_scales, rounded
from maddjit.learning.maddness.goals import Goals
from maddjit.learning.maddness.sample import some_of
from maddjit.models.encoders import Projection

BYTE = 255
"""The largest byte."""


@dataclass(frozen=True)
class Frame:
    """Rounded rows and directions u, from which coordinates z ≈ (u − origin) · back are known.

    Attributes
    ----------
    row_scale, row_offset : (D,) float32
    projection : Projection, optional
    origin : (r,) float64
        The mean of u over the rows.
    back : (r, Q) float64
    """

    row_scale: NDArray[np.float32]
    row_offset: NDArray[np.float32]
    projection: Projection | None
    origin: NDArray[np.float64]
    back: NDArray[np.float64]

    @classmethod
    def of(cls, rows: NDArray[Any], goals: Goals, rank: int | None) -> Frame:
        """Return the frame with so many directions, or with the bytes themselves for None."""
        row_scale, row_offset = byte_rule(rows)
        rows = some_of(rows, settings.RANGE_ROWS)
        bytes_ = bytes_of(rows, row_scale, row_offset)
        used = row_scale != 0
        unit = np.where(used, row_scale, 1).astype(np.float64)[:, np.newaxis]
        right = np.where(used[:, np.newaxis], goals.right / unit, 0)
        if rank is None:
            origin = bytes_.mean(axis=0, dtype=np.float64)
            return cls(row_scale, row_offset, None, origin, right)
        projection = _projection(bytes_, right[:, :rank])
        u = _directions(bytes_, projection)
        origin = u.mean(axis=0, dtype=np.float64)
        centred = u - origin
        scatter = centred.T @ centred
        scatter[np.diag_indices_from(scatter)] += 1e-6 * np.trace(scatter) / len(scatter) + 1e-300
        back = np.linalg.solve(scatter, centred.T @ goals.coordinates(rows).astype(np.float64))
        return cls(row_scale, row_offset, projection, origin, back)

    def directions(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Return the directions u of rows, whole numbers from 0 to 255, (N, r)."""
        parts = []
        for start in range(0, max(1, len(rows)), settings.RANGE_ROWS):
            part = rows[start : start + settings.RANGE_ROWS]
            bytes_ = bytes_of(part, self.row_scale, self.row_offset)
            parts.append(_directions(bytes_, self.projection) if self.projection else bytes_)
        return np.concatenate(parts)


def byte_rule(rows: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return scale and offset of each column, by which its entries become bytes.

    Whole numbers that are bytes, signed or not, stay as they are. A column that does not vary has
    scale 0. Other columns spread from their least to their largest entry, or as far as a number of
    standard deviations if that is less.
    """
    low, high = (f(axis=0).astype(np.float64) for f in (rows.min, rows.max))
    varies = high > low
    least, most = low.min(), high.max()
    bytes_fit = least >= -128 and most <= (BYTE if least >= 0 else 127)
    if bytes_fit and np.array_equal(rows, np.rint(rows)):
        zero = np.float32(0 if least >= 0 else 128)
        return np.ones(len(low), np.float32), np.full(len(low), zero)
    mean = rows.mean(axis=0, dtype=np.float64)
    with np.errstate(over="ignore"):
        reach = settings.MAX_DEVIATIONS * rows.std(axis=0, dtype=np.float64)
    bottom, top = np.maximum(low, mean - reach), np.minimum(high, mean + reach)
    span = np.maximum(top - bottom, settings.LEAST_RANGE * np.maximum(np.abs(low), np.abs(high)))
    most_scale = float(np.finfo(np.float32).max) / 2
    finest = np.minimum(BYTE / np.where(varies, span, 1), most_scale)
    scale = np.where(varies, finest, 0).astype(np.float32)
    middle = (bottom + top) / 2 * scale.astype(np.float64)
    offset = np.where(varies, BYTE / 2 - middle, 0).astype(np.float32)
    return scale, offset


def bytes_of(
    rows: NDArray[Any], scale: NDArray[np.float32], offset: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the bytes of finite rows, as the definition has them, (N, D)."""
    with np.errstate(over="ignore", invalid="ignore"):
        reals = rows.astype(np.float32) * scale + offset
    rounded: NDArray[np.float32] = np.clip(np.rint(reals), 0, BYTE)
    return rounded


def _projection(bytes_: NDArray[np.float32], right: NDArray[np.float64]) -> Projection:
    """Return the projection of bytes to directions, each of which spans all bytes in its own unit.

    A direction has the weights of largest size for which its shift is whole.
    """
    finest = byte_scales(right.T)
    products = bytes_ @ right
    span = np.ptp(products, axis=0)
    reach = 2 * settings.MAX_DEVIATIONS * products.std(axis=0)
    span = np.minimum(span, reach) * 1.02
    gain = BYTE / np.where(span > 0, span, BYTE)
    shifts = np.clip(np.floor(np.log2(finest / gain)), 0, 31)
    scales = np.minimum(finest, gain * 2.0**shifts)
    centred = bytes_ - bytes_.mean(axis=0, dtype=np.float64)
    matrix = rounded(right, scales, centred.T @ centred)
    products = exact_product(bytes_, matrix)
    low, high, mean = products.min(axis=0), products.max(axis=0), products.mean(axis=0)
    deviation = settings.MAX_DEVIATIONS * products.std(axis=0)
    middle = (np.maximum(low, mean - deviation) + np.minimum(high, mean + deviation)) / 2
    added = np.rint((BYTE + 1) / 2 * 2.0**shifts - middle)
    return Projection(matrix, added.astype(np.int32), shifts.astype(np.int32))


def _directions(bytes_: NDArray[np.float32], projection: Projection) -> NDArray[np.float32]:
    """Return the directions of bytes, (N, r)."""
    products = exact_product(bytes_, projection.matrix) + projection.added
    u = np.clip(np.floor(products / 2.0**projection.shifts), 0, BYTE)
    return u.astype(np.float32)


def exact_product(bytes_: NDArray[np.float32], weights: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return the product of bytes (N, n) with weights (n, Q), exactly.

    A sum below 2²⁴ is exact in float32, in any order, and every sum that 32 bits hold in float64.
    """
    reach = BYTE * np.abs(weights.astype(np.int64)).sum(axis=0).max()
    kind = np.float32 if reach < 2**24 else np.float64
    product: NDArray[np.float64] = (bytes_.astype(kind) @ weights.astype(kind)).astype(np.float64)
    return product
