"""The network's two layers, with rows to learn from, to calibrate with and to test on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fashion_mnist.network import load_weights
from numpy.typing import NDArray

ROWS_FILE = Path(__file__).with_name("rows.npz")
N_TEST = N_CALIBRATE = 2000

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """A layer ``rows @ B + bias``, with its rows and the part of the network behind it.

    Attributes
    ----------
    name : str
        The network's name for it: "hidden" or "head".
    B, bias : float32, shapes (512, outputs) and (outputs,)
        The layer.
    learn, calibrate, test : float32, shape (n, 512)
        Inputs of the layer. The three parts are of different images.
    labels : uint8, shape (n,)
        The true classes of the test rows. Nothing is learned from labels.
    head : pair of arrays, optional
        For the hidden layer, weights and bias of the layer behind it.
    """

    name: str
    B: Floats
    bias: Floats
    learn: Floats
    calibrate: Floats
    test: Floats
    labels: NDArray[np.uint8]
    head: tuple[Floats, Floats] | None = None

    def classes(self, outputs: Floats) -> NDArray[np.intp]:
        """Return the class that the network names, given this layer's outputs, for each row."""
        scores = outputs
        if self.head:
            weights, bias = self.head
            scores = np.maximum(outputs, 0) @ weights + bias
        return scores.argmax(axis=1)


def load(n_learn: int) -> tuple[Layer, Layer]:
    """Return the hidden layer and the head, with `n_learn` rows to learn from, at most 4000."""
    with np.load(ROWS_FILE, allow_pickle=False) as stored:
        inputs = stored["activations"] * stored["step"]  # back to float32, as layers have it
        labels = stored["labels"][-N_TEST:]
    weights = load_weights()
    head = weights["head"], weights["head_bias"]
    hidden = weights["hidden"], weights["hidden_bias"]
    head_inputs = np.maximum(inputs @ hidden[0] + hidden[1], 0)

    def parts(rows: Floats) -> tuple[Floats, Floats, Floats]:
        held_out = len(rows) - N_TEST - N_CALIBRATE
        return rows[: min(n_learn, held_out)], rows[held_out:-N_TEST], rows[-N_TEST:]

    return (
        Layer("hidden", *hidden, *parts(inputs), labels, head),
        Layer("head", *head, *parts(head_inputs), labels),
    )
