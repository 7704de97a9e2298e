"""Two small tasks that need neither data nor packages beyond those of the tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from data import clustered, right
from tasks.record import Task
from tasks.scores import accuracy


def digits() -> Task:
    """Load scikit-learn's digits and a ridge classifier of their pixels."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    rows = images.astype(np.float32) / 16
    train, test = rows[:1200], rows[1200:]
    targets = np.eye(10)[labels[:1200]]
    centred = train - train.mean(axis=0)
    weights = np.linalg.solve(centred.T @ centred + np.eye(64), centred.T @ targets)
    bias = targets.mean(axis=0) - train.mean(axis=0) @ weights
    return Task(
        name="digits",
        title="Digits, 64 × 10",
        source="scikit-learn's digits, 1200 to learn from; B is a ridge classifier",
        A_train=train,
        A_test=test,
        B=weights.astype(np.float32),
        bias=bias.astype(np.float32),
        metric="accuracy",
        higher_is_better=True,
        score=lambda outputs: accuracy(outputs, labels[1200:]),
    )


def synthetic() -> Task:
    """Make rows that a few directions explain, and a random B."""
    A_test, B = clustered(300, 64, seed=2), right(64, 24)
    winners = (A_test @ B).argmax(axis=1)
    return Task(
        name="clustered",
        title="Rows of four directions, 64 × 24",
        source="made up",
        A_train=clustered(1000, 64, seed=1),
        A_test=A_test,
        B=B,
        bias=None,
        metric="agreement",
        higher_is_better=True,
        score=lambda outputs: accuracy(outputs, winners),
    )


SMALL: dict[str, Callable[[], Task]] = {"digits": digits, "clustered": synthetic}
