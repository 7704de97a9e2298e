"""Find the fastest way that loses at most so much accuracy: `maddjit.select` on digits.

The script replaces a hidden layer of 64 × 512 of a network for scikit-learn's digits. It prints a
table of the ways that are worth a choice on this machine, from a few codebooks to the exact
product, and the one that was chosen. It takes about half a minute.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

import maddjit


def main(budget: float, sizes: list[int]) -> None:
    """Train a network, choose a way to compute its hidden layer, and print the choice."""
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32)
    order = np.random.default_rng(0).permutation(len(X))
    train, judged, test = np.split(order, [1000, 1400])
    network = MLPClassifier((512,), max_iter=60, random_state=0, tol=0.01).fit(X[train], y[train])
    (B, head), (bias, head_bias) = network.coefs_, network.intercepts_

    def accuracy(hidden: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
        scores = np.maximum(hidden, 0) @ head + head_bias
        return float(np.mean(scores.argmax(axis=1) == labels))

    found = maddjit.select(
        X[train],
        B,
        budget,
        bias=bias,
        metric=accuracy,
        validation=X[judged],
        targets=y[judged],
        n_codebooks=sizes,
    )
    print(found)
    exact = accuracy(X[test] @ B + bias, y[test])
    print(f"test rows: {accuracy(found(X[test]), y[test]):.4f}, exact {exact:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=0.01, help="accuracy that may be lost")
    parser.add_argument("--codebooks", type=int, nargs="+", default=[4, 8, 16, 32])
    options = parser.parse_args()
    main(options.budget, options.codebooks)
