"""The network of the Fashion-MNIST example: exact in 8 bits its winners stay the same."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maddjit.integrations.networks.converting import Options, converted
from maddjit.integrations.networks.drawing import Drawing
from maddjit.integrations.networks.evaluating import outputs
from maddjit.integrations.networks.folding import folded
from maddjit.integrations.networks.graph import Graph
from maddjit.models.window import Window
from tests.integrations.networks.helping import run

PATH = Path(__file__).parents[3] / "examples" / "fashion_mnist" / "network.py"


def example() -> Any:
    spec = importlib.util.spec_from_file_location("fashion_network", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def graph_of(weights: dict[str, Any]) -> Graph:
    """Return the six convolutions, two maxima and two linear layers."""
    draw = Drawing((1, 28, 28))
    x = draw.image
    for name, stride, pool in (
        *(("conv1", 1, None), ("conv2", 2, None), ("conv3", 1, None)),
        *(("conv4", 1, Window((2, 2), (2, 2))), ("conv5", 1, None)),
        ("conv6", 1, Window((4, 4), (3, 3))),
    ):
        draw.name = name
        kernel = weights[name].reshape(3, 3, draw.shape(x)[0], -1).transpose(3, 2, 0, 1)
        window = Window((3, 3), (stride, stride), (1, 1, 1, 1))
        x = draw.convolution(x, kernel, weights[f"{name}_bias"], window)
        x = draw.clamp(x, 0, np.inf)
        x = draw.max_pool(x, pool) if pool else x
    x = draw.flatten(draw.permute(x, (0, 2, 3, 1)))
    for name in ("hidden", "head"):
        draw.name = name
        x = draw.linear(x, weights[name].T, weights[f"{name}_bias"])
        x = draw.clamp(x, 0, np.inf) if name == "hidden" else x
    return folded(draw.finish(x))


def test_winners_in_eight_bits() -> None:
    fashion = example()
    if not fashion.DATA_FOLDER.is_dir():
        pytest.skip("Fashion-MNIST is not installed")
    weights = fashion.load_weights()
    train, test = (
        fashion.load_images(split)[0][:n] for split, n in (("train", 100), ("test", 300))
    )
    graph = graph_of(weights)
    learned, images = (each[:, None].astype(np.float32) / np.float32(255) for each in (train, test))
    exact = outputs(graph, images)
    A = fashion.features(test, weights)
    # The example adds up in float32. Sums of up to 864 products are off by some √864 · 2⁻²⁴ = 2e-6
    # of their size, some 30; eight layers, with weights that enlarge it, leave that below 1e-3.
    np.testing.assert_allclose(exact, A @ weights["head"] + weights["head_bias"], atol=1e-3)
    network = converted(graph, learned, Options(), "x86-64-v3").network
    found = run(network, images)
    assert np.mean(found.argmax(axis=1) == exact.argmax(axis=1)) >= 0.99
