"""The parts of the learner of additive codes: clusters, bytes, directions, weights and codes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from maddjit import reference
from maddjit.learning.additive import settings
from maddjit.learning.additive.clustering import clustered, nearest
from maddjit.learning.additive.codebooks import (
    codes_of,
    counts_of,
    encoder_of,
    first_codes,
    means_of,
    swept,
)
from maddjit.learning.additive.frame import Frame, byte_rule, bytes_of, exact_product
from maddjit.learning.additive.weights import byte_scales, rounded
from maddjit.learning.maddness.goals import Goals
from maddjit.models.encoders import AdditiveCodes, HashTrees
from maddjit.models.maddness import MaddnessModel
from maddjit.reference.encoding import directions
from tests.random_models import random_codes


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def mean_square(points: NDArray[Any], centres: NDArray[Any]) -> float:
    return float(((points - centres[nearest(points, centres)]) ** 2).sum(axis=1).mean())


def encoding(encoder: AdditiveCodes | HashTrees) -> MaddnessModel:
    """Return a model with this encoder whose output means nothing."""
    shape = encoder.n_codebooks, encoder.n_prototypes, 1
    return MaddnessModel(encoder, np.zeros(shape, np.uint8), [1.0], [0.0])


# Clusters


def test_clusters_that_are_far_apart_are_found() -> None:
    middles = 100 * rng(0).standard_normal((8, 3)).astype(np.float32)
    points = np.repeat(middles, 50, axis=0) + rng(1).standard_normal((400, 3)).astype(np.float32)
    assert mean_square(points, clustered(points, 8, rng(2))) < 4


def test_each_turn_of_k_means_is_no_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    points = rng(0).standard_normal((500, 4)).astype(np.float32)
    squares = []
    for n_turns in range(6):
        monkeypatch.setattr(settings, "LLOYD_TURNS", n_turns)
        squares.append(mean_square(points, clustered(points, 16, rng(1))))
    assert all(after <= before * (1 + 1e-6) for before, after in pairwise(squares))
    assert squares[-1] < squares[0]


@pytest.mark.parametrize("n_points", [1, 3, 20])
def test_fewer_points_than_centres(n_points: int) -> None:
    points = rng(0).standard_normal((n_points, 2)).astype(np.float32)
    centres = clustered(points, 16, rng(1))
    assert centres.shape == (16, 2)
    assert np.isfinite(centres).all()
    if n_points < 16:
        assert mean_square(points, centres) < 1e-12


def test_equal_points_have_one_centre() -> None:
    points = np.full((30, 2), 7, np.float32)
    assert (clustered(points, 4, rng(0)) == 7).all()


def test_each_codebook_lowers_the_error_of_training_rows() -> None:
    points = rng(0).standard_normal((600, 5)).astype(np.float32)
    codes = first_codes(points, 6, 8, rng(1))
    left, means = points.astype(np.float64), means_of(codes, 8, points)
    squares = [np.mean(left**2)]
    for c in range(6):
        left = left - means[c][codes[:, c]]
        squares.append(np.mean(left**2))
    assert all(after < before for before, after in pairwise(squares))
    assert (counts_of(codes, 8).sum(axis=1) == 600).all()


def test_a_sweep_never_raises_the_error_of_training_rows() -> None:
    points = rng(0).standard_normal((400, 5))
    turned = rng(2).standard_normal((5, 5))
    codes = first_codes((points @ turned).astype(np.float32), 4, 8, rng(1))
    prototypes = means_of(codes, 8, points)

    def error() -> float:
        left = points - sum(ours[column] for ours, column in zip(prototypes, codes.T, strict=True))
        return float(((left @ turned) ** 2).sum())

    errors = [error()]
    for _ in range(3):
        prototypes, codes = swept(prototypes, codes, points, turned @ turned.T)
        errors.append(error())
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(errors))
    assert errors[-1] < errors[0]


# Bytes of rows


@pytest.mark.parametrize(
    ("kind", "least", "most", "offset"), [("uint8", 0, 256, 0), ("int8", -128, 128, 128)]
)
def test_whole_numbers_that_are_bytes_stay_as_they_are(
    kind: str, least: int, most: int, offset: int
) -> None:
    rows = rng(0).integers(least, most, (50, 4)).astype(kind).astype(np.float64)
    scale, shift = byte_rule(rows)
    assert (scale == 1).all()
    assert (shift == offset).all()
    np.testing.assert_array_equal(bytes_of(rows, scale, shift), rows + offset)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_bytes_span_each_column(size: float) -> None:
    rows = size * rng(0).standard_normal((200, 3)) * [1, 100, 0.01] + size * np.array([5, 0, -3])
    bytes_ = bytes_of(rows, *byte_rule(rows))
    assert bytes_.min(axis=0).max() <= 1
    assert bytes_.max(axis=0).min() >= 254


def test_a_column_that_does_not_vary_is_left_out() -> None:
    rows = rng(0).standard_normal((50, 3))
    rows[:, 1] = 1e6
    scale, offset = byte_rule(rows)
    assert scale[1] == offset[1] == 0
    assert (scale[[0, 2]] > 0).all()


def test_a_column_far_from_zero_is_not_blurred() -> None:
    """At 2²⁰ float32 steps by 1/8: a column that varies by 1 gives few bytes, but right ones."""
    rows = (2.0**20 + rng(0).uniform(0, 1, (500, 1))).astype(np.float32)
    scale, offset = byte_rule(rows)
    exact = (rows.astype(np.float64) - 2.0**20 - 0.5) * scale
    off = bytes_of(rows, scale, offset) - exact
    assert np.ptp(off) <= 1.6


# Weights


@pytest.mark.parametrize("n", [1, 7, 8, 20])
def test_groups_of_four_weights_stay_within_128(n: int) -> None:
    weights = rng(n).standard_normal((40, n)) ** 3
    found = np.rint(byte_scales(weights)[:, np.newaxis] * weights).astype(int)
    assert np.abs(found).max() <= 127
    for eight in range(0, n, 8):
        for group in ([0, 1, 4, 5], [2, 3, 6, 7]):
            columns = [eight + i for i in group if eight + i < n]
            assert np.maximum(found[:, columns], 0).sum(axis=1).max(initial=0) <= 128
            assert np.maximum(-found[:, columns], 0).sum(axis=1).max(initial=0) <= 128
    assert byte_scales(np.zeros((2, n))).tolist() == [1, 1]


def test_weights_that_are_rounded_together_have_better_products() -> None:
    rows = rng(0).standard_normal((300, 3)) @ rng(1).standard_normal((3, 12))
    weights = rng(2).standard_normal((12, 5))
    scales = np.full(5, 4.0)
    exact = rows @ weights * scales
    together = rows @ rounded(weights, scales, rows.T @ rows)
    alone = rows @ np.rint(weights * scales)
    assert np.mean((together - exact) ** 2) < 0.5 * np.mean((alone - exact) ** 2)


def test_whole_weights_stay_as_they_are() -> None:
    weights = rng(0).integers(-60, 61, (9, 4)).astype(np.float64)
    found = rounded(weights, np.ones(4), np.eye(9))
    np.testing.assert_array_equal(found, weights)
    assert (rounded(weights, np.ones(4), np.zeros((9, 9))) == weights).all()


@pytest.mark.parametrize("n", [100, 3000])
def test_products_are_exact(n: int) -> None:
    bytes_ = rng(0).integers(200, 256, (5, n))
    weights = rng(1).integers(100, 128, (n, 3)).astype(np.int8)
    found = exact_product(bytes_.astype(np.float32), weights)
    np.testing.assert_array_equal(found, bytes_ @ weights.astype(np.int64))


# Directions and codes


def task(n_rows: int = 400, n_features: int = 24) -> tuple[NDArray[Any], NDArray[Any]]:
    hidden = rng(0).standard_normal((n_rows, 6)) * [4, 3, 2, 1, 1, 1]
    A = hidden @ rng(1).standard_normal((6, n_features)) + 1
    return A + 0.1 * rng(2).standard_normal(A.shape), rng(3).standard_normal((n_features, 40))


@pytest.mark.parametrize("rank", [None, 4, 16])
def test_directions_are_those_of_the_definition_and_tell_the_coordinates(rank: int | None) -> None:
    A, B = task()
    goals = Goals.of(A, B, 0, 16)
    frame = Frame.of(A, goals, rank)
    u = frame.directions(A)
    assert u.min() >= 0
    assert u.max() <= 255
    seen = (u - frame.origin) @ frame.back
    z = goals.coordinates(A)[:, :4]
    assert np.mean((seen[:, :4] - z) ** 2) < 1e-3 * np.mean(z**2)
    encoder = an_encoder(A, frame, goals)
    rows = A.astype(np.float32)
    np.testing.assert_array_equal(directions(encoder, rows), u)


def an_encoder(A: NDArray[Any], frame: Frame, goals: Goals) -> AdditiveCodes:
    u = frame.directions(A)
    codes = first_codes(goals.coordinates(A), 5, 8, rng(4))
    return encoder_of(frame, means_of(codes, 8, u - frame.origin), u, counts_of(codes, 8))


@pytest.mark.parametrize("rank", [None, 6, 16])
def test_integers_choose_nearly_what_real_numbers_would(rank: int | None) -> None:
    A, B = task()
    goals = Goals.of(A, B, 0, 16)
    frame = Frame.of(A, goals, rank)
    u = frame.directions(A)
    first = first_codes(goals.coordinates(A), 5, 8, rng(4))
    prototypes = means_of(first, 8, u - frame.origin)
    left = (u - frame.origin) @ frame.back
    codes = np.empty_like(first)
    for c, ours in enumerate(prototypes @ frame.back):
        codes[:, c] = ((left[:, np.newaxis] - ours) ** 2).sum(axis=2).argmin(axis=1)
        left -= ours[codes[:, c]]
    found = codes_of(encoder_of(frame, prototypes, u, counts_of(first, 8)), u)
    assert np.mean(found == codes) > 0.97


@pytest.mark.parametrize("rank", [None, 6])
def test_codes_are_those_of_the_definition(rank: int | None) -> None:
    A, B = task()
    goals = Goals.of(A, B, 0, 16)
    frame = Frame.of(A, goals, rank)
    encoder = an_encoder(A, frame, goals)
    others = 3 * A[::-1]  # most of which are clipped
    for rows in (A, others):
        wanted = reference.encode(encoding(encoder), rows)
        np.testing.assert_array_equal(codes_of(encoder, frame.directions(rows)), wanted)


def test_scores_that_leave_16_bits_are_clipped_as_in_the_definition() -> None:
    encoder = random_codes(0, n_features=12, n_codebooks=6, n_prototypes=8)
    encoder = AdditiveCodes(
        np.ones(12), np.zeros(12), None, encoder.prototypes, encoder.norms, np.zeros(6, int),
        np.clip(encoder.gram.astype(int) * 40, -32768, 32767),
    )  # fmt: skip
    u = rng(1).integers(0, 256, (300, 12)).astype(np.float32)
    np.testing.assert_array_equal(codes_of(encoder, u), reference.encode(encoding(encoder), u))


def test_a_prototype_of_few_rows_far_out_leaves_the_others_their_bits() -> None:
    A, B = task()
    A[0] *= 15
    goals = Goals.of(A, B, 0, 16)
    encoder = an_encoder(A, Frame.of(A, goals, 6), goals)
    sizes = np.abs(encoder.prototypes.astype(int)).max(axis=2)
    assert np.median(sizes, axis=1).min() > 20
