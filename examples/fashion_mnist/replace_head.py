"""The paper's image experiment: the 512 → 10 layer of a CNN on Fashion-MNIST becomes look-ups.

The table has test accuracy, error and speed beside the exact product, for several numbers C of
codebooks. The script needs the data (Debian package `dataset-fashion-mnist`). The network's weights
are here; `train.py` made them. Expect an accuracy of 93.8 % for the exact product and at least 93 %
at C = 16. It takes about half a minute.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import maddjit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from fashion_mnist import network
from measure import speed_up


def main(n_train: int, codebooks: list[int], rounds: int) -> None:
    """Fit and time each size; print the table."""
    weights = network.load_weights()
    B, bias = network.head(weights)
    train_images, _ = network.load_images("train")
    test_images, labels = network.load_images("test")
    print(f"computing features of {n_train} training and {len(test_images)} test images …")
    A_train = network.features(train_images[:n_train], weights)
    A = network.features(test_images, weights)
    exact = A @ B
    out = np.empty_like(exact)

    def accuracy(scores: np.ndarray) -> float:
        return float(np.mean(np.argmax(scores, axis=1) == labels))

    print(f"{len(A)} × {A.shape[1]} × {B.shape[1]}, row-major float32 in and out, one thread")
    print(f"{'C':>5} {'accuracy':>9} {'NMSE':>7}   times as fast as numpy (quartiles)")
    print(f"exact {accuracy(exact + bias):9.4f} {0:7.4f}   1")
    columns = np.asfortranarray(A)
    with threadpool_limits(1):
        for n_codebooks in codebooks:
            op = maddjit.compile(maddjit.fit(A_train, B, n_codebooks, bias=bias))
            Y = op(A)
            error = np.mean((Y - bias - exact) ** 2) / exact.var()
            speeds = []
            for rows in (A, columns):
                low, median, high = speed_up(
                    lambda: np.matmul(A, B, out=out),
                    lambda op=op, rows=rows: op(rows, out=out),  # type: ignore[misc]
                    rounds,
                )
                speeds.append(f"{median:.1f} ({low:.1f}–{high:.1f})")
            row_major, column_major = speeds
            print(
                f"{n_codebooks:5} {accuracy(Y):9.4f} {error:7.4f}   {row_major}; "
                f"column-major A: {column_major}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=20000, help="training images to learn from")
    parser.add_argument("--codebooks", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    parser.add_argument("--rounds", type=int, default=31, help="rounds of timing")
    options = parser.parse_args()
    main(options.train, options.codebooks, options.rounds)
