"""Spliced sums: the same numbers as converted ones, for every sum and for any scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import maddjit
from maddjit import reference
from maddjit.compiler.maddness.splicing import RAISED, halves, spliced_lanes, spliced_order
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import LEVELS, named
from maddjit.models.maddness import MaddnessModel
from tests.conftest import same_bits
from tests.random_models import random_model, rows_for

LARGEST = np.finfo(np.float32).max
SMALLEST = np.finfo(np.float32).smallest_subnormal
SPLICES = [level for level in LEVELS if named(level).fuses]


def some_model(n_outputs: int, largest: int = 15) -> MaddnessModel:
    return random_model(
        0,
        n_features=64,
        n_codebooks=16,
        n_prototypes=16,
        n_outputs=n_outputs,
        largest=largest,
    )


def scaled(model: MaddnessModel, scale: float, offset: float) -> MaddnessModel:
    return replace(
        model,
        scale=np.full(model.n_outputs, scale, np.float32),
        offset=np.full(model.n_outputs, offset, np.float32),
    )


@pytest.mark.parametrize("sum_bits", [8, 16])
@pytest.mark.parametrize("lanes", [16, 32, 64])
def test_pairs_collect_the_outputs_in_order(lanes: int, sum_bits: int) -> None:
    outputs = spliced_order(lanes, sum_bits)
    zeros, upper = np.full(lanes, -1), np.full(lanes // 2, -2)
    if sum_bits == 8:
        words = [np.concatenate([outputs, zeros])[list(mask)][0::2] for mask in halves(lanes, 1)]
    else:
        words = [outputs[0::2], outputs[1::2]]
    found = [
        np.concatenate([word, upper])[list(mask)]
        for word in words
        for mask in halves(lanes // 2, 2)
    ]
    assert np.concatenate(found)[0::2].tolist() == list(range(lanes))
    assert (np.concatenate(found)[1::2] == -2).all()


@pytest.mark.parametrize("level", SPLICES)
def test_what_is_spliced(level: str) -> None:
    target, model = named(level), some_model(100)
    assert spliced_lanes(model, target, Signature()) == target.vector_bytes
    assert spliced_lanes(model, target, Signature(result="argmax")) == target.vector_bytes
    assert spliced_lanes(model, target, Signature(result="sums")) == 0
    assert spliced_lanes(scaled(model, LARGEST / RAISED, 0), target, Signature()) == 0
    assert spliced_lanes(scaled(model, -1.0, 0.0), target, Signature()) == target.vector_bytes
    assert spliced_lanes(scaled(model, -1.0, -0.0), target, Signature()) == 0
    assert spliced_lanes(scaled(model, 1.0, -0.0), target, Signature()) == target.vector_bytes


@pytest.mark.parametrize("level", SPLICES)
def test_nothing_is_converted(level: str) -> None:
    model = some_model(named(level).vector_bytes)
    assembly = maddjit.emit(model, level)
    assert "vcvtdq2ps" not in assembly
    assert "ucvtf" not in assembly
    assert "scvtf" not in assembly


@pytest.mark.parametrize("largest", [255 // 16, 255])
@pytest.mark.parametrize(
    ("scale", "offset"),
    [
        (1.0, -0.0),
        (-0.3, -0.0),
        (0.0, -0.0),
        (-0.0, -0.0),
        (-0.3, 7.7),
        (SMALLEST, 0.0),
        (1.1e-38, -1.0e-38),
        (3.0e31, 1.0e30),
        (1.0e36, -1.0e38),
    ],
)
def test_outputs_are_those_of_the_reference(
    level: str, scale: float, offset: float, largest: int
) -> None:
    model = scaled(some_model(150, largest), scale, offset)
    A = rows_for(model, 70, "float32", 0)
    assert same_bits(maddjit.compile(model, target=level)(A), reference.apply(model, A))
