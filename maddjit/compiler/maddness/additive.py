"""The planner of additive codes: strips of rows, tiles of products, and packed constants."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.additive_plan import (
    AdditivePlan,
    Choosing,
    Multiplication,
    Reading,
    Stretch,
    Unit,
    UnitProducts,
)
from maddjit.compiler.target import Target
from maddjit.compiler.workspace import lines
from maddjit.models.encoders import MOST_BYTE, AdditiveCodes

_GROUP = 4
"""Units that lie side by side in 16 bytes, and vectors that are packed together."""

_LEAST_WORDS = 8
"""Scores of a codebook, at least: those of a vector of 16 bytes."""

_MOST_WORDS = 64
"""Scores that are compared at once, at most."""

_MOST_WORD = 2**15 - 1
"""The largest number in 16 bits with a sign."""


@dataclass(frozen=True)
class _Layout:
    """How the numbers of a row lie in the workspace.

    `columns` has the column of each place, or −1 for a place without one. `stretches` have the
    first place, the number of groups of 16 bytes, and the units of each group that are in use.
    """

    columns: NDArray[np.intp]
    stretches: tuple[tuple[int, int, int], ...]
    row_step: int
    unit_step: int


def plan_additive(encoder: AdditiveCodes, target: Target, order: str) -> AdditivePlan:
    """Return how rows of A, whose columns or rows are contiguous, become additive codes."""
    return _planned(encoder, target, order)[0]


def additive_constants(encoder: AdditiveCodes, target: Target, order: str) -> dict[str, bytes]:
    """Return the constants of a plan: scales, weights, and what codes add to scores."""
    plan, layouts = _planned(encoder, target, order)
    constants = {}
    for name, numbers in (("row_scale", encoder.row_scale), ("row_offset", encoder.row_offset)):
        reals = np.zeros(len(layouts[0].columns), "<f4")
        reals[: encoder.n_features] = numbers
        constants[name] = reals.tobytes()
    choosing = plan.choosing
    for each, layout in zip(plan.multiplications, layouts, strict=True):
        weights, added, shifts = _factors(encoder, choosing.words, each.is_score)
        outputs = _outputs(each, len(added))
        constants[f"{each.name}_weights"] = _packed(each, layout, weights, outputs)
        for kind, wholes in (("added", added), ("shifts", shifts)):
            padded = np.append(wholes, 0)[outputs]
            constants[f"{each.name}_{kind}"] = padded.astype("<i4").tobytes()
    constants["gram"] = _gram(encoder, choosing)
    return constants


def _planned(
    encoder: AdditiveCodes, target: Target, order: str
) -> tuple[AdditivePlan, list[_Layout]]:
    """Return a plan, and how the rows lie that each of its products multiplies.

    The first way to multiply is taken that is exact for these weights.
    """
    for products in unit_products(target):
        plan, layouts = _planned_with(products, encoder, target, order)
        if all(each.products.together for each in plan.multiplications):
            break
    return plan, layouts


def _planned_with(
    products: UnitProducts, encoder: AdditiveCodes, target: Target, order: str
) -> tuple[AdditivePlan, list[_Layout]]:
    """Return a plan that multiplies in one way."""
    words = max(_LEAST_WORDS, encoder.n_prototypes)
    rows = _strip_rows(encoder, target, words)
    layout = _row_layout(encoder.n_features, products, order, rows)
    reading = _plan_reading(encoder.n_features, target, products, order, layout)
    sizes = [rows * len(layout.columns) * 4 // products.unit]
    layouts, multiplications = [], []
    for is_score in (False, True):
        if not is_score and encoder.projection is None:
            sizes.append(0)
            continue
        layouts.append(layout)
        weights, added, _ = _factors(encoder, words, is_score)
        each = _plan_multiplication(target, products, layout, weights, len(added), is_score)
        multiplications.append(each)
        sizes.append(rows * each.to_step)
        if not is_score:
            layout = _directions(each, encoder.rank)
    choosing = _plan_choosing(encoder, words, multiplications[-1].to_step)
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


def _row_layout(n_features: int, products: UnitProducts, order: str, rows: int) -> _Layout:
    """Return how the numbers of a row lie that are made of elements of A.

    Chunks of four vectors are packed together, which mixes their elements in groups. Where rows are
    contiguous, a unit lies beside the same unit of the next row.
    """
    if order == "C":
        chunk = _GROUP * products.lanes
        n_chunks = -(-n_features // chunk)
        places = _packed_places(products)
        columns = (chunk * np.arange(n_chunks)[:, np.newaxis] + places).ravel()
        columns[columns >= n_features] = -1
        return _Layout(columns, _used(columns, products), len(columns) * 4 // products.unit, 4)
    n_units = -(-n_features // products.unit)
    columns = np.arange(n_units * products.unit)
    columns[columns >= n_features] = -1
    whole, rest = divmod(n_units, _GROUP)
    first = whole * _GROUP * products.unit
    stretches = ((0, whole, _GROUP),) * bool(whole) + ((first, 1, rest),) * bool(rest)
    return _Layout(columns, stretches, *((4, 4 * rows) if order == "F" else (4 * n_units, 4)))


def _packed_places(products: UnitProducts) -> NDArray[np.intp]:
    """Return which of four vectors' elements each place of a chunk gets."""
    places = np.arange(_GROUP * products.lanes)
    if products.unit == 4:
        return places.reshape(_GROUP, -1, 4).transpose(1, 0, 2).ravel()
    if products.unit == 2:
        return places.reshape(2, 2, -1, 4).transpose(0, 2, 1, 3).ravel()
    return places


def _used(columns: NDArray[np.intp], products: UnitProducts) -> tuple[tuple[int, int, int], ...]:
    """Return stretches of groups: those of a stretch use as many units."""
    per_group = _GROUP * products.unit
    last = columns.reshape(-1, _GROUP, products.unit).max(axis=2)
    counts = np.where(last >= 0, np.arange(1, _GROUP + 1), 0).max(axis=1)
    stretches: list[tuple[int, int, int]] = []
    for number, units in enumerate(counts.tolist()):
        if stretches and stretches[-1][2] == units:
            first, count, _ = stretches[-1]
            stretches[-1] = (first, count + 1, units)
        else:
            stretches.append((number * per_group, 1, units))
    return tuple(stretch for stretch in stretches if stretch[2])


def _directions(each: Multiplication, rank: int) -> _Layout:
    """Return how directions lie, which are packed like chunks of elements."""
    products = each.products
    chunk = _GROUP * products.lanes
    columns = (chunk * np.arange(each.n_tiles)[:, np.newaxis] + _packed_places(products)).ravel()
    columns[columns >= rank] = -1
    return _Layout(columns, _used(columns, products), each.to_step, 4)


def _plan_reading(
    n_features: int, target: Target, products: UnitProducts, order: str, layout: _Layout
) -> Reading:
    """Return how elements of A become numbers."""
    chunk = _GROUP * products.lanes
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


def _factors(
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


def _plan_multiplication(
    target: Target,
    products: UnitProducts,
    layout: _Layout,
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
        rows=(rows, 1),
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
    together = _together(layout, weights, products) if products.widens else 1
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
                group_step=_GROUP * layout.unit_step,
                weights_step=step,
                together=tuple(
                    members[first : first + summed] for first in range(0, units, summed)
                ),
            )
        )
        at += count * step
    return replace(each, stretches=tuple(stretches), tile_bytes=at)


def _together(layout: _Layout, weights: NDArray[np.int64], products: UnitProducts) -> int:
    """Return how many units' products of bytes are surely summed in words; 0 if none are."""
    placed = np.vstack([weights, np.zeros_like(weights[:1])])[layout.columns]
    for together in (4, 2, 1):
        if all(
            _fits(placed[place:][: count * _GROUP * products.unit], units, together)
            for place, count, units in layout.stretches
        ):
            return together
    return 0


def _fits(placed: NDArray[np.int64], units: int, together: int) -> bool:
    """Return whether the products of so many units of each group fit words."""
    n_groups = -(-len(placed) // 16)
    padded = np.zeros((16 * n_groups, placed.shape[1]), np.int64)
    padded[: len(placed)] = placed
    pairs = padded.reshape(n_groups, _GROUP, 2, 2, -1)[:, :units]
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
    layout: _Layout,
    weights: NDArray[np.int64],
    outputs: NDArray[np.intp],
) -> bytes:
    """Return weights as tiles read them: the numbers of a unit side by side for each sum."""
    padded = np.zeros((weights.shape[0] + 1, weights.shape[1] + 1), np.int64)
    padded[:-1, :-1] = weights
    products = each.products
    parts = []
    for place, count, units in layout.stretches:
        columns = layout.columns[place : place + count * _GROUP * products.unit]
        columns = np.append(columns, np.full(-len(columns) % (_GROUP * products.unit), -1))
        columns = columns.reshape(count, _GROUP, products.unit)[:, :units]
        tiles = padded[columns][..., outputs.reshape(each.n_tiles, each.tile_numbers)]
        # (count, units, unit, n_tiles, sums) → (n_tiles, count, units, sums, unit)
        parts.append(tiles.transpose(3, 0, 1, 4, 2).reshape(each.n_tiles, -1))
    return np.hstack(parts).astype(f"<i{products.bits // 8}").tobytes()


def _plan_choosing(encoder: AdditiveCodes, words: int, row_step: int) -> Choosing:
    """Return how codes are chosen."""
    part = min(words, _MOST_WORDS)
    return Choosing(
        words=words,
        part=part,
        n_parts=words // part,
        row_step=row_step,
        codebook_step=2 * words,
        places_step=4 * (-(-encoder.n_codebooks // _GROUP) * _GROUP),
        code_bytes=2 * words,
        tile_bytes=2 * words * encoder.n_prototypes,
    )


def _gram(encoder: AdditiveCodes, choosing: Choosing) -> bytes:
    """Return what codes add: for each codebook the tiles of those before it, by fours."""
    K, tiles = encoder.n_prototypes, []
    more = ((0, 0), (0, choosing.words - K))
    for c in range(encoder.n_codebooks):
        before = [np.pad(encoder.gram[e, :, c], more) for e in range(c)]
        before += [np.zeros((K, choosing.words), np.int16)] * (-c % _GROUP)
        tiles += before
    return b"".join(tile.astype("<i2").tobytes() for tile in tiles)
