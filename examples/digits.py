"""Quickstart on scikit-learn's digits: fit, compile and call, for several numbers C of codebooks.

The table has accuracy, error and speed for each C. Expect an accuracy of about .92 at C = 8, .95 at
C = 16 and .96 at C = 32; the exact product has .96. The matrix is small (64 × 10), so there is
little speed to gain here. `demo.py` has a larger one.
"""

from __future__ import annotations

import argparse

import numpy as np
from measure import speed_up
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

import maddjit


def main(rounds: int) -> None:
    """Fit and time each size; print the table."""
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32)
    order = np.random.default_rng(0).permutation(len(X))
    train, test = order[:1200], order[1200:]
    classifier = LogisticRegression(max_iter=2000).fit(X[train], y[train])
    B = np.ascontiguousarray(classifier.coef_.T, dtype=np.float32)
    bias = classifier.intercept_
    exact = X[test] @ B
    accuracy = np.mean(np.argmax(exact + bias, axis=1) == y[test])
    many = np.tile(X[test], (17, 1))[:10000]
    out = np.empty((len(many), B.shape[1]), np.float32)

    print(f"digits, {len(test)} held-out rows; {len(many)} rows timed, one thread")
    print(f"{'C':>5} {'accuracy':>9} {'NMSE':>7}   times as fast as numpy (quartiles)")
    print(f"exact {accuracy:9.4f} {0:7.4f}   1")
    with threadpool_limits(1):
        for n_codebooks in (2, 4, 8, 16, 32):
            model = maddjit.fit(X[train], B, n_codebooks, bias=bias)
            op = maddjit.compile(model)
            Y = op(X[test])
            assert np.array_equal(Y, maddjit.reference.apply(model, X[test]))
            error = np.mean((Y - bias - exact) ** 2) / exact.var()
            hits = np.mean(np.argmax(Y, axis=1) == y[test])
            low, median, high = speed_up(
                lambda: np.matmul(many, B, out=out),
                lambda op=op: op(many, out=out),  # type: ignore[misc]
                rounds,
            )
            print(f"{n_codebooks:5} {hits:9.4f} {error:7.4f}   {median:.2f} ({low:.2f}–{high:.2f})")
    print(f"\nlast operator: {op!r}\n{op.report}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=31, help="rounds of timing")
    main(parser.parse_args().rounds)
