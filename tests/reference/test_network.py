"""Networks over planes: what each layer computes, worked out by loops; records and their files."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maddjit
from maddjit.arrays.epilogue import Epilogue
from maddjit.models.network import (
    Add,
    AveragePool,
    Concatenate,
    Dense,
    Exact,
    Layer,
    MaxPool,
    Network,
    Planes,
    Quantise,
    Step,
)
from maddjit.models.window import Window
from maddjit.reference.network import run, values
from tests.random_networks import residual, wide

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 2, 5, 6), dtype=np.uint8)


def network_of(layer: Layer, planes: Planes | None, *more: Step) -> Network:
    first = Step(Quantise("uint8"), (0,), Planes(2, 5, 6, 1.5, -100))
    return Network((first, Step(layer, (1,), planes), *more), (2, 5, 6))


def test_quantise() -> None:
    network = Network((Step(Quantise(), (0,), Planes(1, 1, 4, 0.5, 3)),), (1, 1, 4))
    images = np.float32([[[[0.25, -0.75, np.nan, -np.inf]]]])
    assert run(network, images).tolist() == [[[[3, 1, 127, -128]]]]


def test_exact() -> None:
    rng = np.random.default_rng(1)
    weights = rng.integers(-127, 128, (4, 1, 3, 2))
    scale, offset = np.float32([0.01, 0.02, 0.03, 0.001]), np.float32([1, -2, 3, -4])
    window = Window((3, 2), (2, 1), (1, 0, 0, 1))
    ending = Epilogue("int8", low=0, step=0.3, zero_point=-7)
    layer = Exact(weights, scale, offset, window, 2, ending)
    network = network_of(layer, Planes(4, 2, 6, 0.3, -7))
    q, y = values(network, IMAGES)[1:]
    for n, m, row, column in np.ndindex(*y.shape):
        total = 0
        for dy, dx in np.ndindex(3, 2):
            above, across = 2 * row + dy - 1, column + dx
            if 0 <= above < 5 and across < 6:
                total += int(weights[m, 0, dy, dx]) * (int(q[n, m // 2, above, across]) + 100)
        assert y[n, m, row, column] == ending(np.float32(total) * scale[m] + offset[m])


def test_pools() -> None:
    window = Window((3, 2), (2, 2), (1, 1, 0, 0))
    padded = np.full((3, 2, 7, 6), -100, np.int64)
    q, largest = values(network_of(MaxPool(window), Planes(2, 3, 3, 1.5, -100)), IMAGES)[1:]
    mean = run(network_of(AveragePool(window), Planes(2, 3, 3, 1.5, -100)), IMAGES)
    padded[:, :, 1:6] = q
    for n, c, row, column in np.ndindex(*largest.shape):
        seen = padded[n, c, 2 * row : 2 * row + 3, 2 * column : 2 * column + 2]
        assert largest[n, c, row, column] == seen.max()
        third = np.float32(1) / np.float32(6)
        assert mean[n, c, row, column] == np.rint(np.float32(seen.sum()) * third)


def test_max_pool_takes_the_least_number_outside() -> None:
    first = Step(Quantise("uint8"), (0,), Planes(1, 1, 1, 1.0, 0))
    pool = MaxPool(Window((3, 3), padding=(1, 1, 1, 1)))
    network = Network((first, Step(pool, (1,), Planes(1, 1, 1, 1.0, 0))), (1, 1, 1))
    assert run(replace(network), np.uint8([[[[0]]]])).item() == 0


def test_add_and_concatenate() -> None:
    other = Step(AveragePool(Window((1, 1))), (1,), Planes(2, 5, 6, 1.5, -100))
    total = Step(Add(least=-20, most=90), (1, 2), Planes(2, 5, 6, 2.0, -30))
    q, y = (
        values(network_of(other.layer, other.planes, replace(total, inputs=(1, 2))), IMAGES)[i]
        for i in (1, 3)
    )
    term = (q.astype(np.float32) + np.float32(100)) * np.float32(0.75)
    assert (y == np.clip(np.rint(term + term) - 30, -20, 90)).all()
    both = Step(Concatenate(), (2, 1), Planes(4, 5, 6, 1.5, -100))
    network = network_of(MaxPool(Window((1, 1))), other.planes, both)
    assert (run(network, IMAGES) == np.concatenate([q, q], axis=1)).all()


def test_limits_of_sums() -> None:
    for limits in ((-129, 127), (0, 128), (5, 4)):
        with pytest.raises(ValueError, match="least and most"):
            Add(*limits)


def test_dense() -> None:
    weights = np.random.default_rng(2).integers(-128, 128, (3, 60))
    layer = Dense(weights, np.float32([0.1, 0.2, 0.3]), np.float32([1, 2, 3]))
    q, y = values(network_of(layer, None), IMAGES)[1:]
    sums = (q.astype(np.int64).reshape(3, 60) + 100) @ weights.T
    assert (y == sums.astype(np.float32) * layer.scale + layer.offset).all()
    assert run(network_of(layer, None), IMAGES[:0]).shape == (0, 3)


def test_files_and_pickles(tmp_path: Path) -> None:
    network = residual(0)
    images = np.random.default_rng(0).standard_normal((3, *network.input_shape)).astype(np.float32)
    network.save(tmp_path / "network.npz")
    for again in (maddjit.load(tmp_path / "network.npz"), pickle.loads(pickle.dumps(network))):
        assert repr(again) == repr(network)
        assert (run(again, images) == run(network, images)).all()


PLANES = Planes(2, 5, 6, 1.5, -100)
WRONG: dict[str, tuple[Any, str]] = {
    "no steps": (lambda: Network((), (1, 1, 1)), "first step"),
    "two Quantise": (lambda: network_of(Quantise(), PLANES), r"step 1 \(Quantise\)"),
    "other shape": (
        lambda: network_of(MaxPool(Window((2, 2))), PLANES),
        r"gives planes of \(2, 4, 5\)",
    ),
    "other step": (
        lambda: network_of(MaxPool(Window((1, 1))), replace(PLANES, step=1)),
        "step and zero point",
    ),
    "too small": (lambda: network_of(MaxPool(Window((9, 9))), PLANES), "too small"),
    "later value": (
        lambda: network_of(MaxPool(Window((1, 1))), PLANES, Step(Add(), (1, 3), PLANES)),
        "inputs must be from 1 to 2",
    ),
    "unused": (
        lambda: network_of(MaxPool(Window((1, 1))), PLANES, Step(Concatenate(), (1,), PLANES)),
        "no step takes",
    ),
    "one input": (
        lambda: network_of(Add(), PLANES),
        "takes 2 inputs",
    ),
    "columns": (
        lambda: network_of(Dense(np.ones((1, 59), int), np.ones(1), np.ones(1)), None),
        "takes 59 numbers",
    ),
    "sums": (
        lambda: wide(600),
        "sums reach",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_networks_are_checked(name: str) -> None:
    make, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        make()


def test_images_are_checked() -> None:
    network = network_of(MaxPool(Window((1, 1))), PLANES)
    with pytest.raises(TypeError, match="uint8"):
        run(network, IMAGES.astype(np.float32))
    with pytest.raises(ValueError, match=r"\(N, 2, 5, 6\)"):
        run(network, IMAGES[0])
