"""How many times as fast as `numpy.matmul` operators are, for some shapes, on clustered rows.

Row-major float32 in and out, `out=` reused, one thread; candidates take turns in one process.
"""

from __future__ import annotations

import argparse
import platform
import sys
from pathlib import Path

import cpuinfo
import numpy as np
from threadpoolctl import threadpool_limits

import maddjit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
from measure import speed_up

SHAPES = [
    (10000, 512, 100),
    (1000, 512, 100),
    (10000, 512, 10),
    (256, 512, 1000),
    (10000, 512, 1000),
    (1, 512, 100),
]


def clustered(n_rows: int, n_features: int, seed: int) -> np.ndarray:
    """Return float32 rows that a few hidden directions explain, like a network's ReLU features."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(0).standard_normal((4, n_features))
    hidden = rng.standard_normal((n_rows, 4)) @ directions
    noise = 0.1 * rng.standard_normal((n_rows, n_features))
    return np.maximum(hidden + noise, 0).astype(np.float32)


def main(n_codebooks: int, rounds: int, shapes: list[tuple[int, int, int]]) -> None:
    """Print a line per shape, width of the sums and layout."""
    print(f"{cpuinfo.get_cpu_info().get('brand_raw')}, {platform.platform()}")
    print(f"C = {n_codebooks}, K = 16; times as fast as numpy.matmul: median (quartiles)")
    for n_rows, n_features, n_outputs in shapes:
        train = clustered(4000, n_features, seed=1)
        rows = clustered(n_rows, n_features, seed=2)
        B = np.random.default_rng(3).standard_normal((n_features, n_outputs)).astype(np.float32)
        exact, out = np.empty((2, n_rows, n_outputs), np.float32)
        for byte_group in (n_codebooks, 1):
            model = maddjit.fit(train, B, n_codebooks, byte_group=byte_group)
            op = maddjit.compile(model)
            low, median, high = speed_up(
                lambda op=op, rows=rows, out=out: op(rows, out=out).argmax(axis=1),
                lambda op=op, rows=rows: op.argmax(rows),
                rounds,
            )
            print(
                f"({n_rows}, {n_features}, {n_outputs}) {op.plan.sum_bits}-bit sums: op.argmax(A) "
                f"against op(A).argmax(axis=1): {median:.2f} ({low:.2f}–{high:.2f})"
            )
            for order in ("C", "F"):
                given = np.asarray(rows, order=order)
                low, median, high = speed_up(
                    lambda rows=rows, B=B, exact=exact: np.matmul(rows, B, out=exact),
                    lambda op=op, given=given, out=out: op(given, out=out),
                    rounds,
                )
                print(
                    f"({n_rows}, {n_features}, {n_outputs}) {order} order, {op.plan.sum_bits}-bit "
                    f"sums, NMSE {model.report.nmse:.3f}: {median:.1f} ({low:.1f}–{high:.1f})",
                    flush=True,
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codebooks", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--small", action="store_true", help="the last shape only")
    options = parser.parse_args()
    with threadpool_limits(1):
        main(options.codebooks, options.rounds, SHAPES[-1:] if options.small else SHAPES)
