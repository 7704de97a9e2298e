"""Two layers of the Fashion-MNIST example network: its softmax head and its hidden layer."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.machine import ROOT, Missing
from benchmarks.tasks.cache import Arrays, stored
from benchmarks.tasks.record import Floats, Score, Task
from benchmarks.tasks.scores import accuracy

VERSION = "1"
SOURCE = (
    "Fashion-MNIST (MIT), Debian package dataset-fashion-mnist: 60000 training and 10000 test "
    "images; network and weights of examples/fashion_mnist (ours)"
)


def _prepare() -> dict[str, NDArray[Any]]:
    examples = str(ROOT / "examples")
    if examples not in sys.path:
        sys.path.insert(0, examples)
    from fashion_mnist import network

    weights = network.load_weights()
    names = ("hidden", "hidden_bias", "head", "head_bias")
    arrays = {name: weights[name] for name in names}
    for split in ("train", "test"):
        try:
            images, labels = network.load_images(split)
        except FileNotFoundError as error:
            raise Missing(str(error)) from error
        inputs = network.hidden_features(images, weights)
        arrays[f"{split}_hidden"] = inputs
        arrays[f"{split}_head"] = np.maximum(inputs @ weights["hidden"] + weights["hidden_bias"], 0)
        arrays[f"{split}_labels"] = labels.astype(np.int64)
    return arrays


def _layer(arrays: Arrays, name: str, title: str, logits: Score) -> Task:
    labels, A_test = arrays["test_labels"], arrays[f"test_{name}"]
    B, bias = arrays[name], arrays[f"{name}_bias"]
    winners = logits(A_test @ B + bias).argmax(axis=1)
    return Task(
        name=f"fashion-{name}",
        title=title,
        source=SOURCE,
        A_train=arrays[f"train_{name}"],
        A_test=A_test,
        B=B,
        bias=bias,
        metric="accuracy",
        higher_is_better=True,
        score=lambda outputs: accuracy(logits(outputs), labels),
        extra={"agreement": lambda outputs: accuracy(logits(outputs), winners)},
    )


def _head(arrays: Arrays) -> Task:
    return _layer(arrays, "head", "Fashion-MNIST softmax head, 512 × 10", lambda outputs: outputs)


def _head_in_halves(arrays: Arrays) -> Task:
    labels, whole = arrays["test_labels"], _head(arrays)
    half = np.random.default_rng(0).permutation(len(labels))
    calibrate, test = np.sort(half[: len(half) // 2]), np.sort(half[len(half) // 2 :])
    winners = whole.exact[test].argmax(axis=1)
    return replace(
        whole,
        source=(
            f"{SOURCE}. The network was trained on the training images, whose features are "
            "therefore unlike those of the test images; half of the latter, chosen at random, "
            "serve to calibrate"
        ),
        A_test=whole.A_test[test],
        A_calibrate=whole.A_test[calibrate],
        score=lambda outputs: accuracy(outputs, labels[test]),
        extra={"agreement": lambda outputs: accuracy(outputs, winners)},
        by_winners={"accuracy": lambda found: float(np.mean(found == labels[test]))},
    )


def _hidden(arrays: Arrays) -> Task:
    head, bias = arrays["head"], arrays["head_bias"]

    def logits(outputs: Floats) -> Floats:
        scores: Floats = np.maximum(outputs, 0) @ head + bias
        return scores

    return _layer(arrays, "hidden", "Fashion-MNIST hidden layer, 512 × 512", logits)


def head() -> Task:
    """Load the last layer. Its outputs are class scores."""
    return stored("fashion", VERSION, _prepare, _head)


def head_in_halves() -> Task:
    """Load the last layer with half of the test rows to calibrate with and half to test."""
    return stored("fashion", VERSION, _prepare, _head_in_halves)


def hidden() -> Task:
    """Load the hidden layer. ReLU and the exact head follow its outputs."""
    return stored("fashion", VERSION, _prepare, _hidden)
