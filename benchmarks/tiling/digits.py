"""The hidden layer of a small network that is trained here, on scikit-learn's digits."""

from __future__ import annotations

import warnings

import numpy as np
from tasks import Missing, Task
from tasks.scores import accuracy

_HIDDEN = 256
_TRAINED = 1257
"""Of 1797 images; the others are the test."""


def hidden() -> Task:
    """Train 64 → 256 → 256 → 10 with ReLU and return its middle layer."""
    try:
        from sklearn.datasets import load_digits
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier
    except ImportError as error:
        raise Missing(f"{error}: pip install scikit-learn") from error
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order] / 16, labels[order]
    network = MLPClassifier((_HIDDEN, _HIDDEN), max_iter=60, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(images[:_TRAINED], labels[:_TRAINED])
    weights = [part.astype(np.float32) for part in network.coefs_]
    biases = [part.astype(np.float32) for part in network.intercepts_]
    inputs = np.maximum(images.astype(np.float32) @ weights[0] + biases[0], 0)
    wanted = labels[_TRAINED:]

    def score(outputs: np.ndarray) -> float:
        return accuracy(np.maximum(outputs, 0) @ weights[2] + biases[2], wanted)

    return Task(
        name="digits",
        title=f"Hidden layer of a network on scikit-learn's digits, {_HIDDEN} × {_HIDDEN}",
        source=f"scikit-learn's digits, {_TRAINED} to train, {len(wanted)} to test; trained here",
        A_train=inputs[:_TRAINED],
        A_test=inputs[_TRAINED:],
        B=weights[1],
        bias=biases[1],
        metric="accuracy",
        higher_is_better=True,
        score=score,
    )
