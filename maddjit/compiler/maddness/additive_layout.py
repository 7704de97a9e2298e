"""How the numbers of rows lie between the steps of additive codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.maddness.additive_choosing import GROUP
from maddjit.compiler.maddness.additive_plan import Multiplication, UnitProducts


@dataclass(frozen=True)
class Layout:
    """How the numbers of a row lie in the workspace.

    `columns` has the column of each place, or −1 for a place without one. `stretches` have the
    first place, the number of groups of 16 bytes, and the units of each group that are in use.
    """

    columns: NDArray[np.intp]
    stretches: tuple[tuple[int, int, int], ...]
    row_step: int
    unit_step: int


def row_layout(n_features: int, products: UnitProducts, order: str, rows: int) -> Layout:
    """Return how the numbers of a row lie that are made of elements of A.

    Chunks of four vectors are packed together, which mixes their elements in groups. Where rows are
    contiguous, a unit lies beside the same unit of the next row.
    """
    if order == "C":
        chunk = GROUP * products.lanes
        n_chunks = -(-n_features // chunk)
        places = _packed_places(products)
        columns = (chunk * np.arange(n_chunks)[:, np.newaxis] + places).ravel()
        columns[columns >= n_features] = -1
        return Layout(columns, _used(columns, products), len(columns) * 4 // products.unit, 4)
    n_units = -(-n_features // products.unit)
    columns = np.arange(n_units * products.unit)
    columns[columns >= n_features] = -1
    whole, rest = divmod(n_units, GROUP)
    first = whole * GROUP * products.unit
    stretches = ((0, whole, GROUP),) * bool(whole) + ((first, 1, rest),) * bool(rest)
    return Layout(columns, stretches, *((4, 4 * rows) if order == "F" else (4 * n_units, 4)))


def _packed_places(products: UnitProducts) -> NDArray[np.intp]:
    """Return which of four vectors' elements each place of a chunk gets."""
    places = np.arange(GROUP * products.lanes)
    if products.unit == 4:
        return places.reshape(GROUP, -1, 4).transpose(1, 0, 2).ravel()
    if products.unit == 2:
        return places.reshape(2, 2, -1, 4).transpose(0, 2, 1, 3).ravel()
    return places


def _used(columns: NDArray[np.intp], products: UnitProducts) -> tuple[tuple[int, int, int], ...]:
    """Return stretches of groups: those of a stretch use as many units."""
    per_group = GROUP * products.unit
    last = columns.reshape(-1, GROUP, products.unit).max(axis=2)
    counts = np.where(last >= 0, np.arange(1, GROUP + 1), 0).max(axis=1)
    stretches: list[tuple[int, int, int]] = []
    for number, units in enumerate(counts.tolist()):
        if stretches and stretches[-1][2] == units:
            first, count, _ = stretches[-1]
            stretches[-1] = (first, count + 1, units)
        else:
            stretches.append((number * per_group, 1, units))
    return tuple(stretch for stretch in stretches if stretch[2])


def directions_layout(each: Multiplication, rank: int) -> Layout:
    """Return how directions lie, which are packed like chunks of elements."""
    products = each.products
    chunk = GROUP * products.lanes
    columns = (chunk * np.arange(each.n_tiles)[:, np.newaxis] + _packed_places(products)).ravel()
    columns[columns >= rank] = -1
    return Layout(columns, _used(columns, products), each.to_step, 4)
