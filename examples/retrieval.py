"""Find the exact ten nearest of many items: `maddjit.compile(…, result="topk")` for retrieval.

Items and queries are made up: items lie around topics, and so do queries. The operator looks up the
scores of all items and settles those close to the tenth best by exact products. The script prints,
for each coverage, the share of queries for which it names all ten nearest items. It takes some
seconds.
"""

from __future__ import annotations

import argparse

import numpy as np
from measure import speed_up
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import maddjit

K = 10


def made_up(n_items: int, n_queries: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return items and queries as rows of length 1, in 64 dimensions of which 12 matter."""
    rng = np.random.default_rng(0)
    meanings = rng.standard_normal((12, 64))
    topics = rng.standard_normal((50, 12))

    def rows(n: int, spread: float) -> NDArray[np.float32]:
        near = topics[rng.integers(len(topics), size=n)] + spread * rng.standard_normal((n, 12))
        x: NDArray[np.float64] = near @ meanings + 0.1 * rng.standard_normal((n, 64))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        return x.astype(np.float32)

    return rows(n_items, 0.5), rows(n_queries, 0.3)


def exact(queries: NDArray[np.float32], B: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the K nearest items by the whole product, in any order."""
    return np.argpartition(queries @ B, -K, axis=1)[:, -K:]


def main(n_items: int, rounds: int) -> None:
    """Fit, calibrate, name the nearest items, print how often and how fast."""
    items, queries = made_up(n_items, 12000)
    B = np.ascontiguousarray(items.T)
    # Three parts that share no query: to learn from, to calibrate with, to test on.
    train, calibrate, test = np.split(queries, [4000, 10000])
    model = maddjit.calibrate(maddjit.fit(train, B, n_codebooks=16), calibrate, B, k=K)
    op = maddjit.compile(model, result="topk", k=K, coverage=0.99)
    print(f"{n_items} items, {len(test)} queries, the {K} nearest of each")
    print("coverage  all found  mean list  times as fast as the product")
    for coverage in (0.99, 0.999):
        op = op.with_coverage(coverage)  # the same code and tables
        found = op.audit(test)  # by outputs: of equal items any is right
        with threadpool_limits(1):
            low, median, high = speed_up(lambda: exact(test, B), lambda op=op: op(test), rounds)
        length = op.monitor().mean
        print(f"{coverage:8}  {found:9.4f}  {length:9.1f}  {median:.1f} ({low:.1f}–{high:.1f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    main(options.items, options.rounds)
