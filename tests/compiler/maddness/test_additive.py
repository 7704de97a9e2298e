"""Plans of additive codes: ways to multiply, places of numbers, weights, and predicted time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from maddjit.compiler.maddness.additive import additive_constants, plan_additive
from maddjit.compiler.maddness.additive_layout import directions_layout, row_layout
from maddjit.compiler.maddness.additive_plan import AdditivePlan
from maddjit.compiler.maddness.planner import make_plan
from maddjit.compiler.maddness.row_costs import additive_instructions, product_instructions
from maddjit.compiler.render import render
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import LEVELS, named
from maddjit.models.encoders import AdditiveCodes
from tests.random_models import random_additive, random_codes

SIZES = {"n_features": 70, "n_codebooks": 5, "n_prototypes": 16, "rank": 40}


def planned(codes: AdditiveCodes, level: str, order: str = "C") -> AdditivePlan:
    return plan_additive(codes, named(level), order, 4)


def with_weights(codes: AdditiveCodes, prototypes: NDArray[Any]) -> AdditiveCodes:
    return replace(codes, prototypes=np.broadcast_to(prototypes, codes.prototypes.shape))


@pytest.mark.parametrize("level", LEVELS)
def test_a_plan_uses_what_the_target_has(level: str) -> None:
    target = named(level)
    model = random_additive(0, n_outputs=20, **SIZES)
    for order in ("C", "F", "strided"):
        plan = make_plan(model, target, Signature(order=order))  # type: ignore[arg-type]
        additive = plan.encode.additive
        assert additive
        used = [additive.choosing.least_word, *additive.reading.packs]
        for each in additive.multiplications:
            used += [each.products.intrinsic, each.products.widens]
        assert set(filter(None, used)) <= set(target.intrinsics)
        assert additive.n_bytes <= plan.workspace.n_bytes


def test_pairs_of_products_are_summed_where_they_fit_words() -> None:
    """255 times 128 is less than 2¹⁵, and 255 times 129 is more."""
    codes = random_codes(0, n_features=32, n_codebooks=1, n_prototypes=16)
    for weights, unit, together in (
        ([64, 64] * 16, 4, 1),
        ([65, 64] * 16, 2, 1),
        ([-64, -64] * 16, 4, 1),
        ([-64, -65] * 16, 2, 1),
        ([127, -127] * 16, 4, 1),
        ([64, -64] * 16, 4, 2),
        ([32, 32] * 16, 4, 2),
        ([16, 16] * 16, 4, 4),
        ([32, -32] * 16, 4, 4),
    ):
        (each,) = planned(with_weights(codes, np.array(weights)), "x86-64-v3").multiplications
        found = each.products.unit, each.products.together
        assert found == (unit, together), weights
    (each,) = planned(with_weights(codes, np.array([127] * 32)), "x86-64-v4-vbmi").multiplications
    assert not each.products.widens


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("order", ["C", "F", "strided"])
@pytest.mark.parametrize("n_features", [1, 15, 16, 17, 63, 64, 65, 200])
def test_every_column_has_a_place_in_use(level: str, order: str, n_features: int) -> None:
    codes = random_codes(0, n_features=n_features, n_codebooks=2, n_prototypes=4, rank=9)
    plan = planned(codes, level, order)
    first = plan.multiplications[0]
    layouts = (
        (row_layout(n_features, first.products, order, plan.rows), n_features),
        (directions_layout(first, 9), 9),
    )
    for layout, n in layouts:
        per_group = 4 * first.products.unit
        used: list[int] = []
        for place, count, units in layout.stretches:
            for group in range(count):
                begin = place + group * per_group
                used += layout.columns[begin : begin + units * first.products.unit].tolist()
        assert sorted(column for column in used if column >= 0) == list(range(n))


@pytest.mark.parametrize("level", LEVELS)
def test_constants_have_the_sizes_of_the_plan(level: str) -> None:
    codes = random_codes(1, **SIZES)
    plan, constants = planned(codes, level), additive_constants(codes, named(level), "C", 4)
    for each in plan.multiplications:
        assert len(constants[f"{each.name}_weights"]) == each.n_tiles * each.tile_bytes
        assert len(constants[f"{each.name}_added"]) == 4 * each.n_tiles * each.tile_numbers
    tiles = 6 + 4 * 4 + 6  # within a block, from its four codebooks to the next, and within that
    assert len(constants["gram"]) == tiles * plan.choosing.tile_bytes
    many = random_codes(1, **(SIZES | {"n_prototypes": 64}))
    gram = additive_constants(many, named(level), "C", 4)["gram"]
    tiles = 4 + 4 + 4 + 4  # of codebooks 1 … 4, by fours
    assert len(gram) == tiles * planned(many, level).choosing.tile_bytes


def test_functions_are_declared_once() -> None:
    model = random_additive(0, n_outputs=20, **SIZES)
    for level in LEVELS:
        for signature in (
            Signature(),
            Signature(order="F", out_order="F"),
            Signature(result="argmax"),
        ):
            text = render(make_plan(model, named(level), signature))
            lines = [line for line in text.split("\n") if line.startswith("declare")]
            names = [line.partition("@")[2].partition("(")[0] for line in lines]
            assert len(names) == len(set(names))


def test_predicted_time_follows_the_work() -> None:
    level = "x86-64-v3"
    wide = additive_instructions(planned(random_codes(0, **SIZES), level), 5)
    narrow = additive_instructions(planned(random_codes(0, **(SIZES | {"rank": 8})), level), 5)
    assert narrow < wide
    products = planned(random_codes(0, **SIZES), level).multiplications[0].products
    costs = [product_instructions(replace(products, together=n)) for n in (1, 2, 4)]
    assert costs == [3, 2.5, 2.25]
