"""Tasks that need no data: scikit-learn's digits, and rows of a few directions. Tests use them."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from benchmarks.tasks.cache import needs
from benchmarks.tasks.record import Task
from benchmarks.tasks.rows import clustered, right
from benchmarks.tasks.scores import accuracy, recall, top


def directions(n_features: int, n_outputs: int, n_train: int, n_test: int, k: int = 1) -> Task:
    """Return rows that four directions explain and a random B; the `k` largest outputs count."""
    rows, B = clustered(n_train + n_test, n_features, seed=2), right(n_features, n_outputs)
    A_test = rows[n_train:]
    winners = top(A_test @ B, k)
    by_winners = {"label": lambda found: float(np.mean(found == winners[:, 0]))}
    return Task(
        name="directions",
        title=f"Rows of four directions, {n_features} × {n_outputs}",
        source="made up",
        A_train=rows[:n_train],
        A_test=A_test,
        B=B,
        bias=None,
        metric="agreement" if k == 1 else "recall",
        higher_is_better=True,
        score=lambda outputs: recall(top(outputs, k), winners),
        by_winners=by_winners if k == 1 else {},
        k=k,
    )


def digits_hidden(width: int = 256, n_train: int = 1257) -> Task:
    """Train 64 → width → width → 10 with ReLU on the digits and return the middle layer."""
    network = needs("sklearn.neural_network", "scikit-learn")
    exceptions = needs("sklearn.exceptions", "scikit-learn")
    images, labels = needs("sklearn.datasets", "scikit-learn").load_digits(return_X_y=True)
    images = images.astype(np.float32) / 16
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], labels[order]
    learner = network.MLPClassifier((width, width), max_iter=60, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
        learner.fit(images[:n_train].astype(np.float64), labels[:n_train])
    weights = [part.astype(np.float32) for part in learner.coefs_]
    biases = [part.astype(np.float32) for part in learner.intercepts_]
    inputs = np.maximum(images @ weights[0] + biases[0], 0)
    wanted = labels[n_train:]

    def score(outputs: NDArray[np.float32]) -> float:
        return accuracy(np.maximum(outputs, 0) @ weights[2] + biases[2], wanted)

    return Task(
        name="digits",
        title=f"Hidden layer of a network on scikit-learn's digits, {width} × {width}",
        source=f"scikit-learn's digits, {n_train} to train, {len(wanted)} to test; trained here",
        A_train=inputs[:n_train],
        A_test=inputs[n_train:],
        B=weights[1],
        bias=biases[1],
        metric="accuracy",
        higher_is_better=True,
        score=score,
    )
