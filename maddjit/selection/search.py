"""The search of `select`: every candidate that is worth a try enters the field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from maddjit.learning.maddness.goals import leading_directions
from maddjit.learning.progress import Progress, steps
from maddjit.selection import settings
from maddjit.selection.candidates import Candidate
from maddjit.selection.field import Field
from maddjit.selection.inputs import Inputs
from maddjit.selection.losses import Way
from maddjit.selection.maddness import MaddnessWays, Sizes
from maddjit.selection.products import LowRankProduct
from maddjit.selection.strassen_tile import TileSetting

Wrap = Callable[[Way], Way]
"""Turns a product into what is asked for: its outputs, or its winners."""


def search(
    field: Field,
    inputs: Inputs,
    series: Mapping[str, Sequence[Sizes]],
    tiles: tuple[Sequence[TileSetting], Mapping[str, Sequence[TileSetting]]],
    others: Mapping[str, Way],
    wrap: Wrap,
    time_limit: float | None,
    progress: Progress,
) -> None:
    """Enter every candidate that is worth a try: the caller's, tiles, low ranks and MADDNESS."""
    exact_tiles, fitted_tiles = tiles
    ranks = [rank for rank in settings.LOW_RANKS if rank < min(inputs.B.shape)]
    n_steps = len(others) + len(exact_tiles)
    n_steps += sum(len(ranked).bit_length() for ranked in (ranks, *fitted_tiles.values()))
    n_steps += sum(
        len(sizes) if inputs.winners else len(sizes).bit_length() for sizes in series.values()
    )
    with steps(progress, n_steps, "maddjit.select", time_limit) as advance:
        low_rank = _low_ranks(field, inputs, max(ranks, default=1), wrap)

        def by_tiles(setting: TileSetting) -> Candidate:
            operator, model = setting.operator(inputs)
            return field.enter(str(setting), wrap(operator), model)

        for name, way in others.items():
            if field.in_time(name, advance):
                field.enter(name, wrap(way))
        for setting in exact_tiles:
            if field.in_time(str(setting), advance):
                by_tiles(setting)
        for name, ranked in fitted_tiles.items():
            field.by_halving(name, ranked, by_tiles, advance)
        field.by_halving("low rank", ranks, low_rank, advance)
        ways = MaddnessWays(field, inputs)
        for name, sizes in series.items():
            if inputs.winners:
                field.in_turn(name, sizes, ways.enter, advance)
            else:
                field.by_halving(name, sizes, ways.enter, advance, ways.quickest)


def _low_ranks(
    field: Field, inputs: Inputs, max_rank: int, wrap: Wrap
) -> Callable[[int], Candidate]:
    """Return the function that enters a product of low rank."""
    _, directions, _ = leading_directions(inputs.rows, inputs.B, max_rank)
    mean = inputs.rows.mean(axis=0, dtype=np.float64)

    def enter(rank: int) -> Candidate:
        way = LowRankProduct(inputs.B, inputs.bias, mean, directions[:rank])
        return field.enter(f"low rank {rank}", wrap(way))

    return enter
