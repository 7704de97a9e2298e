"""The constants of additive codes: weights as products read them, and what codes add to scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.maddness.additive_choosing import GROUP, gram_constant
from maddjit.compiler.maddness.additive_layout import Layout
from maddjit.compiler.maddness.additive_plan import (
    AdditivePlan,
    Multiplication,
    UnitProducts,
)
from maddjit.models.encoders import MOST_BYTE, AdditiveCodes

_MOST_WORD = 2**15 - 1
"""The largest number in 16 bits with a sign."""


def packed_constants(
    encoder: AdditiveCodes, plan: AdditivePlan, layouts: list[Layout]
) -> dict[str, bytes]:
    """Return the constants of a plan: scales, weights, and what codes add to scores."""
    constants = {}
    for name, numbers in (("row_scale", encoder.row_scale), ("row_offset", encoder.row_offset)):
        reals = np.zeros(len(layouts[0].columns), "<f4")
        reals[: encoder.n_features] = numbers
        constants[name] = reals.tobytes()
    choosing = plan.choosing
    for each, layout in zip(plan.multiplications, layouts, strict=True):
        weights, added, shifts = factors(encoder, choosing.words, each.is_score)
        outputs = _outputs(each, len(added))
        constants[f"{each.name}_weights"] = _packed(each, layout, weights, outputs)
        for kind, wholes in (("added", added), ("shifts", shifts)):
            padded = np.append(wholes, 0)[outputs]
            constants[f"{each.name}_{kind}"] = padded.astype("<i4").tobytes()
    constants["gram"] = gram_constant(encoder, choosing)
    return constants


def factors(
    encoder: AdditiveCodes, words: int, is_score: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return weights by outputs, the numbers that sums begin with, and the shifts of all outputs.

    A codebook of few codes has more scores, which are never the lowest.
    """
    if not is_score:
        assert encoder.projection
        matrix = encoder.projection.matrix.astype(np.int64)
        added, shifts = encoder.projection.added, encoder.projection.shifts
        return matrix, added.astype(np.int64), shifts.astype(np.int64)
    more = words - encoder.n_prototypes
    weights = np.pad(-encoder.prototypes.astype(np.int64), ((0, 0), (0, more), (0, 0)))
    norms = np.pad(encoder.norms.astype(np.int64), ((0, 0), (0, more)), constant_values=2**31 - 1)
    wide = np.repeat(encoder.shifts.astype(np.int64), words)
    return weights.reshape(-1, encoder.rank).T, norms.ravel(), wide


def units_together(layout: Layout, weights: NDArray[np.int64], products: UnitProducts) -> int:
    """Return how many units' products of bytes are surely summed in words; 0 if none are."""
    placed = np.vstack([weights, np.zeros_like(weights[:1])])[layout.columns]
    for together in (4, 2, 1):
        if all(
            _fits(placed[place:][: count * GROUP * products.unit], units, together)
            for place, count, units in layout.stretches
        ):
            return together
    return 0


def _fits(placed: NDArray[np.int64], units: int, together: int) -> bool:
    """Return whether the products of so many units of each group fit words."""
    n_groups = -(-len(placed) // 16)
    padded = np.zeros((16 * n_groups, placed.shape[1]), np.int64)
    padded[: len(placed)] = placed
    pairs = padded.reshape(n_groups, GROUP, 2, 2, -1)[:, :units]
    for sign in (1, -1):
        sums = np.maximum(sign * pairs, 0).sum(axis=3)
        for first in range(0, units, together):
            if MOST_BYTE * sums[:, first : first + together].sum(axis=1).max() > _MOST_WORD:
                return False
    return True


def _outputs(each: Multiplication, n_outputs: int) -> NDArray[np.intp]:
    """Return the output of each sum, tile by tile; n_outputs stands for none.

    Two vectors of scores are packed to one, which takes groups of four scores of both in turn.
    """
    lanes = each.products.lanes
    outputs = np.arange(each.n_tiles * each.tile_numbers)
    if each.is_score:
        places = np.arange(2 * lanes).reshape(-1, 2, 4).transpose(1, 0, 2).ravel()
        outputs = (outputs.reshape(-1, 2 * lanes)[:, places]).ravel()
    return np.minimum(outputs, n_outputs)


def _packed(
    each: Multiplication,
    layout: Layout,
    weights: NDArray[np.int64],
    outputs: NDArray[np.intp],
) -> bytes:
    """Return weights as tiles read them: the numbers of a unit side by side for each sum."""
    padded = np.zeros((weights.shape[0] + 1, weights.shape[1] + 1), np.int64)
    padded[:-1, :-1] = weights
    products = each.products
    parts = []
    for place, count, units in layout.stretches:
        columns = layout.columns[place : place + count * GROUP * products.unit]
        columns = np.append(columns, np.full(-len(columns) % (GROUP * products.unit), -1))
        columns = columns.reshape(count, GROUP, products.unit)[:, :units]
        tiles = padded[columns][..., outputs.reshape(each.n_tiles, each.tile_numbers)]
        # (count, units, unit, n_tiles, sums) → (n_tiles, count, units, sums, unit)
        parts.append(tiles.transpose(3, 0, 1, 4, 2).reshape(each.n_tiles, -1))
    return np.hstack(parts).astype(f"<i{products.bits // 8}").tobytes()
