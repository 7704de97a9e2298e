"""Figures of how well scores name winners, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from maddjit.learning.ranking import Standing, agreement, divergence, softmax, standing

EXACT = np.array([[3.0, 1, 2], [0, 5, 4], [1, 2, 9], [7, 6, 0]])
SCORES = np.array([[3.0, 1, 2], [0, 4, 5], [1, 2, 9], [6, 6.5, 0]])


def test_a_list_holds_as_many_winners_as_asked() -> None:
    """The exact winners are 0, 1, 0 and .5 behind."""
    assert standing(SCORES, EXACT, 1.0) == Standing(0.5, (2 + 2 + 1 + 2) / 4)
    assert standing(SCORES, EXACT, 0.5) == Standing(0.5, (1 + 1 + 1 + 2) / 4)
    assert standing(EXACT, EXACT) == Standing(1.0, 1.0)


def test_standings_are_compared_by_both_figures() -> None:
    low, high = Standing(0.8, 3.0), Standing(0.9, 2.0)
    assert high.cost < low.cost
    assert high.no_worse_than(low)
    assert high.no_worse_than(high)
    assert not Standing(0.9, 3.5).no_worse_than(low)
    assert not Standing(0.7, 2.0).no_worse_than(low)


def test_agreement_knows_ties() -> None:
    assert agreement(SCORES, EXACT) == 0.5
    assert agreement(np.array([[1.0, 2.0]]), np.array([[5.0, 5.0]])) == 1


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 1000.0])
def test_divergence(sharpness: float) -> None:
    assert divergence(EXACT, EXACT, sharpness) == 0
    assert divergence(SCORES, EXACT, sharpness) > 0
    moved = SCORES + np.arange(4)[:, np.newaxis]
    assert divergence(moved, EXACT, sharpness) == pytest.approx(
        divergence(SCORES, EXACT, sharpness)
    )


def test_softmax_does_not_overflow() -> None:
    np.testing.assert_allclose(softmax(np.array([[1e4, 1e4 + np.log(3)]])), [[0.25, 0.75]])


def test_divergence_is_that_of_the_definition() -> None:
    p, q = softmax(EXACT), softmax(SCORES)
    expected = (p * np.log(p / q)).sum(axis=1).mean()
    assert divergence(SCORES, EXACT, 1.0) == pytest.approx(expected)
