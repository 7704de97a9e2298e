"""The reference against the rules of the paper, worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from maddjit import reference
from maddjit.models.encoders import HashTrees
from maddjit.models.maddness import MaddnessModel, average_group


def hand_made(accumulate: str = "exact", n_codebooks: int = 2) -> MaddnessModel:
    """Two levels on columns 0 and 1: thresholds 1; then 10 on the left, 20 on the right."""
    return MaddnessModel(
        HashTrees([[0, 1]] * n_codebooks, [[1.0, 10.0, 20.0]] * n_codebooks, 2),  # type: ignore[arg-type]
        tables=[[[0], [1], [2], [3]]] * n_codebooks,  # type: ignore[arg-type]
        scale=[0.5],  # type: ignore[arg-type]
        offset=[-1.0],  # type: ignore[arg-type]
        accumulate=accumulate,  # type: ignore[arg-type]
    )


def test_rule_of_the_tree() -> None:
    A = np.array(
        [
            [0.0, 9.0],
            [0.0, 10.0],
            [1.0, 19.0],
            [1.0, 20.0],
            [np.nan, np.inf],
            [np.inf, np.nan],
            [np.nextafter(np.float32(1), np.float32(0)), 15.0],
        ],
        dtype=np.float32,
    )
    assert reference.encode(hand_made(), A)[:, 0].tolist() == [0, 1, 2, 3, 1, 2, 1]


def test_float64_is_compared_as_float64() -> None:
    just_below = np.nextafter(1.0, 0.0)  # rounds to 1 in float32
    assert reference.encode(hand_made(), np.array([just_below, 0.0]))[0] == 0


def test_minus_zero_equals_zero() -> None:
    model = MaddnessModel(HashTrees([[0]], [[0.0]], 1), [[[0], [9]]], [1.0], [0.0])  # type: ignore[arg-type]
    rows = np.array([[-0.0], [0.0], [-1e-45]], np.float32)
    assert reference.encode(model, rows).ravel().tolist() == [1, 1, 0]


def test_scale_and_offset_round_twice() -> None:
    assert reference.apply(hand_made(), np.array([1.0, 20.0])).tolist() == [6 * 0.5 - 1.0]


def test_average_is_the_papers_tree() -> None:
    model = hand_made("average", n_codebooks=4)
    tables = np.zeros((4, 4, 1), np.uint8)
    tables[:, 0, 0] = [1, 2, 4, 9]
    model = replace(model, tables=tables)
    # (1 + 2 + 1) >> 1 = 2, (4 + 9 + 1) >> 1 = 7, (2 + 7 + 1) >> 1 = 5
    assert reference.sums(model, np.zeros(2)).tolist() == [5]


def test_average_group_is_the_largest_power_of_two() -> None:
    assert [average_group(c) for c in (1, 2, 3, 4, 6, 12, 16, 32, 48)] == [
        1,
        2,
        1,
        4,
        2,
        4,
        16,
        16,
        16,
    ]
