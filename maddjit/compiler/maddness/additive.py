"""The planner of additive codes: ways to multiply, strips of rows, and tiles of products."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.additive_choosing import (
    GROUP,
    LEAST_WORDS,
    MOST_WORDS,
    plan_choosing,
)
from maddjit.compiler.maddness.additive_layout import Layout, directions_layout, row_layout
from maddjit.compiler.maddness.additive_plan import (
    AdditivePlan,
    Multiplication,
    Reading,
    Stretch,
    Unit,
    UnitProducts,
)
from maddjit.compiler.maddness.additive_weights import factors, packed_constants, units_together
from maddjit.compiler.target import Target
from maddjit.compiler.workspace import lines
from maddjit.models.encoders import AdditiveCodes


def plan_additive(
    encoder: AdditiveCodes, target: Target, order: str, itemsize: int
) -> AdditivePlan:
    """Return how rows of A, whose columns or rows are contiguous, become additive codes."""
    return _planned(encoder, target, order, itemsize)[0]


def additive_constants(
    encoder: AdditiveCodes, target: Target, order: str, itemsize: int
) -> dict[str, bytes]:
    """Return the constants of that plan."""
    return packed_constants(encoder, *_planned(encoder, target, order, itemsize))


def _planned(
    encoder: AdditiveCodes, target: Target, order: str, itemsize: int
) -> tuple[AdditivePlan, list[Layout]]:
    """Return a plan, and how the rows lie that each of its products multiplies.

    The first way to multiply is taken that is exact for these weights.
    """
    for products in unit_products(target):
        plan, layouts = _planned_with(products, encoder, target, order, itemsize)
        if all(each.products.together for each in plan.multiplications):
            break
    return plan, layouts


def _planned_with(
    products: UnitProducts, encoder: AdditiveCodes, target: Target, order: str, itemsize: int
) -> tuple[AdditivePlan, list[Layout]]:
    """Return a plan that multiplies in one way."""
    words = max(LEAST_WORDS, encoder.n_prototypes)
    rows = _strip_rows(encoder, target, words)
    layout = row_layout(encoder.n_features, products, order, rows)
    reading = _plan_reading(encoder.n_features, target, products, order, layout)
    sizes = [rows * len(layout.columns) * 4 // products.unit]
    layouts: list[Layout] = []
    multiplications: list[Multiplication] = []
    for is_score in (False, True):
        if not is_score and encoder.projection is None:
            sizes.append(0)
            continue
        layouts.append(layout)
        weights, added, _ = factors(encoder, words, is_score)
        n_outputs = len(added)
        if is_score and GROUP * words <= MOST_WORDS:  # whole blocks of codebooks are read
            n_outputs = -(-n_outputs // (GROUP * words)) * GROUP * words
        each = _plan_multiplication(target, products, layout, weights, n_outputs, is_score)
        if not multiplications and order == "C":
            each = replace(each, ahead=GROUP * products.unit * itemsize)
        multiplications.append(each)
        sizes.append(rows * each.to_step)
        if not is_score:
            layout = directions_layout(each, encoder.rank)
    choosing = plan_choosing(encoder, target, words, multiplications[-1].to_step)
    sizes.append(rows * choosing.places_step)
    regions = np.cumsum([0, *map(lines, sizes)]).tolist()
    plan = AdditivePlan(
        rows, reading, tuple(multiplications), choosing, tuple(regions[:-1]), regions[-1]
    )
    return plan, layouts


def unit_products(target: Target) -> list[UnitProducts]:
    """Return the ways in which a target multiplies bytes by weights of one byte, best first.

    Sums of pairs of products are exact for some weights; all other ways are for any weights.
    """
    lanes, whole = target.lanes, target.whole_numbers
    if target.byte_products:
        return [UnitProducts(4, lanes, target.byte_products)]
    if not whole:
        return [UnitProducts(1, lanes, "")]
    ways = [UnitProducts(2, lanes, whole.products)]
    if target.byte_pairs:
        ways.insert(0, UnitProducts(4, lanes, target.byte_pairs, whole.products))
    return ways


def _strip_rows(encoder: AdditiveCodes, target: Target, words: int) -> int:
    """Return the rows of a strip: their numbers and scores stay in near caches."""
    row_bytes = max(encoder.n_features, 2 * words * encoder.n_codebooks)
    rows = settings.ADDITIVE_BYTES // row_bytes
    least = max(target.lanes, settings.ADDITIVE_LEAST_ROWS)
    return min(settings.ADDITIVE_MOST_ROWS, max(least, rows // least * least))


def _plan_reading(
    n_features: int, target: Target, products: UnitProducts, order: str, layout: Layout
) -> Reading:
    """Return how elements of A become numbers."""
    chunk = GROUP * products.lanes
    n_chunks, rest = divmod(n_features, chunk)
    reads = [min(products.lanes, rest - first) for first in range(0, rest, products.lanes)]
    n_units, last = divmod(n_features, products.unit)
    return Reading(
        products=products,
        whole=target.whole_numbers,
        packs=(target.packs or ()) if products.unit > 1 else (),
        lanes=products.lanes,
        n_chunks=n_chunks if order == "C" else 0,
        tail=tuple(reads) if order == "C" else (),
        n_features=n_features,
        n_units=n_units,
        last_unit=last,
        row_step=layout.row_step,
        unit_step=layout.unit_step,
    )


def _plan_multiplication(
    target: Target,
    products: UnitProducts,
    layout: Layout,
    weights: NDArray[np.int64],
    n_outputs: int,
    is_score: bool,
) -> Multiplication:
    """Return how rows are multiplied by weights."""
    rows, vectors = settings.ADDITIVE_TILES[target.n_registers]
    needed = -(-n_outputs // products.lanes)
    vectors = vectors if is_score else min(vectors, needed)
    n_tiles = -(-needed // vectors)
    to_tile = 2 * vectors * products.lanes if is_score else 16 * products.lanes // products.unit
    each = Multiplication(
        name="scores" if is_score else "directions",
        rows=tuple(dict.fromkeys((rows, 1))),
        vectors=vectors,
        n_tiles=n_tiles,
        tile_bytes=0,
        stretches=(),
        row_step=layout.row_step,
        to_step=n_tiles * to_tile,
        to_tile_step=to_tile,
        is_score=is_score,
        products=products,
    )
    together = units_together(layout, weights, products) if products.widens else 1
    each = replace(each, products=replace(products, together=together))
    stretches, at, summed = [], 0, max(1, together)
    for place, count, units in layout.stretches:
        step = units * vectors * each.vector_bytes
        members = tuple(
            Unit(j, j * layout.unit_step, j * vectors * each.vector_bytes) for j in range(units)
        )
        stretches.append(
            Stretch(
                offset=place // products.unit * layout.unit_step,
                weights=at,
                count=count,
                group_step=GROUP * layout.unit_step,
                weights_step=step,
                together=tuple(
                    members[first : first + summed] for first in range(0, units, summed)
                ),
            )
        )
        at += count * step
    return replace(each, stretches=tuple(stretches), tile_bytes=at)
