"""Graphs of exact layers: shapes, what is refused, and what is folded."""

from __future__ import annotations

import numpy as np
import pytest

from maddjit.integrations.networks.drawing import Drawing
from maddjit.integrations.networks.evaluating import outputs
from maddjit.integrations.networks.folding import folded
from maddjit.integrations.networks.graph import Affine, Convolution, Pool, UnsupportedLayerError
from maddjit.integrations.networks.sides import rounded_up
from maddjit.models.window import Window
from tests.integrations.networks.helping import IMAGES, SAME, rng, small_graph

WIDE = IMAGES.astype(np.float64)


def test_folding_changes_nothing_but_rounding() -> None:
    """A scale before, a batch-norm behind, clamps, and a clamp behind a maximum."""
    draw = Drawing((3, 8, 8))
    draw.name = "layer"
    x = draw.affine(draw.image, 1 / 255, 0.0)
    x = draw.convolution(x, rng.standard_normal((6, 3, 3, 3)), rng.standard_normal(6), SAME)
    x = draw.norm(x, rng.standard_normal(6), rng.standard_normal(6))
    x = draw.clamp(draw.max_pool(x, Window((2, 2), (2, 2))), 0, 0.4)
    x = draw.linear(draw.flatten(x), rng.standard_normal((4, 96)), None)
    x = draw.norm(x, rng.standard_normal(4), rng.standard_normal(4))
    plain = draw.finish(draw.clamp(x, -1, 1))
    made = folded(plain)
    kinds = [type(node.operation).__name__ for node in made.nodes]
    assert kinds == ["Image", "Convolution", "Pool", "Convolution"]
    operation = made.nodes[1].operation
    assert isinstance(operation, Convolution)
    assert (operation.low, operation.high) == (0, 0.4)
    expected, found = outputs(plain, WIDE), outputs(made, WIDE)
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()


def test_what_others_use_is_not_folded() -> None:
    draw = Drawing((3, 8, 8))
    draw.name = "layer"
    x = draw.convolution(draw.image, rng.standard_normal((3, 3, 3, 3)), None, SAME)
    positive = draw.clamp(x, 0, np.inf)
    made = folded(draw.finish(draw.sum(x, positive)))
    assert [type(node.operation).__name__ for node in made.nodes] == [
        "Image",
        "Convolution",
        "Affine",
        "Sum",
    ]


def test_a_shift_before_padding_is_not_folded() -> None:
    draw = Drawing((3, 8, 8))
    draw.name = "layer"
    x = draw.affine(draw.image, 2.0, 1.0)
    made = folded(draw.finish(draw.convolution(x, rng.standard_normal((3, 3, 3, 3)), None, SAME)))
    assert isinstance(made.nodes[1].operation, Affine)


def test_permuted_planes_are_flattened_in_their_order() -> None:
    draw = Drawing((3, 8, 8))
    draw.name = "layer"
    weights = rng.standard_normal((4, 192))
    rows = draw.flatten(draw.permute(draw.image, (0, 2, 3, 1)))
    found = outputs(draw.finish(draw.linear(rows, weights, None)), WIDE)
    expected = WIDE.transpose(0, 2, 3, 1).reshape(len(WIDE), -1) @ weights.T
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)


def test_grouped_strided_and_dilated() -> None:
    """Every output is the sum that the definition says."""
    window = Window((3, 2), (2, 1), (1, 0, 0, 2), (1, 2))
    weights, bias = rng.standard_normal((6, 2, 3, 2)), rng.standard_normal(6)
    x = rng.standard_normal((2, 6, 7, 5))
    draw = Drawing((6, 7, 5))
    draw.name = "layer"
    found = outputs(draw.finish(draw.convolution(draw.image, weights, bias, window, 3)), x)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 2)))
    for m, i, j in ((0, 0, 0), (3, 1, 4), (5, 2, 2)):
        group = padded[:, m // 2 * 2 : m // 2 * 2 + 2, 2 * i : 2 * i + 3, j : j + 3 : 2]
        expected = (group * weights[m]).sum(axis=(1, 2, 3)) + bias[m]
        np.testing.assert_allclose(found[:, m, i, j], expected, atol=1e-12)


def test_rounding_up() -> None:
    assert rounded_up(Window((3, 3), (2, 2)), (1, 8, 7)).padding == (0, 1, 0, 0)
    assert rounded_up(Window((2, 2), (2, 2), (1, 1, 1, 1)), (1, 4, 4)).padding == (1, 1, 1, 1)
    # The third window would begin behind the planes.
    assert rounded_up(Window((1, 1), (3, 3)), (1, 5, 5)).padding == (0, 0, 0, 0)


def test_refusals_name_the_layer() -> None:
    draw = Drawing((3, 8, 8))
    draw.name = "features.7"
    flat = draw.flatten(draw.image)
    image, ones = draw.image, np.ones((3, 3, 3, 3))
    for refused, why in (
        (lambda: draw.convolution(flat, ones, None, SAME), "flattened"),
        (lambda: draw.convolution(image, np.ones((3, 2, 3, 3)), None, SAME), "do not fit 3 planes"),
        (lambda: draw.convolution(image, ones, None, Window((9, 9))), "too small"),
        (lambda: draw.convolution(image, ones * np.nan, None, SAME), "finite"),
        (lambda: draw.linear(image, np.ones((2, 192)), None), "flattened"),
        (lambda: draw.linear(flat, np.ones((2, 191)), None), "do not fit rows of 192"),
        (lambda: draw.sum(image, flat), "cannot be added"),
        (lambda: draw.join([image, flat], 1), "cannot be concatenated"),
        (lambda: draw.join([image, image], 2), "axis 2"),
        (lambda: draw.permute(image, (0, 1, 3, 2)), "permutation"),
        (lambda: draw.max_pool(draw.pad(image, (1, 1, 1, 1)), SAME), "only before convolutions"),
        (lambda: draw.average_pool(image, SAME, counts_padding=False), "count the padding"),
        (lambda: draw.affine(image, np.ones((3, 8, 8)), 0.0), "one for each of 3 planes"),
        (lambda: draw.clamp(image, 1, 0), "in order"),
        (lambda: draw.convolution(3.0, ones, None, SAME), "depend on the images"),
    ):
        with pytest.raises(UnsupportedLayerError, match=r"^features\.7: .*" + why):
            refused()


def test_names_and_users() -> None:
    graph = small_graph()
    assert [node.name for node in graph.nodes] == [
        *("image", "one", "two", "sum", "pool", "side", "join", "deep", "mean", "head")
    ]
    assert graph.users()[3] == [4, 5]
    assert isinstance(graph.nodes[8].operation, Pool)
    assert graph.is_flat
