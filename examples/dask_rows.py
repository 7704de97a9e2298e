"""Multiply rows block by block in two processes, with `maddjit.integrations.dask`.

The rows are made up, and vary in twelve dimensions. Each process compiles the operator once. The
script prints the error of the looked-up product and how many operators each process compiled. It
takes some seconds.
"""

from __future__ import annotations

import argparse

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

import maddjit
from maddjit.integrations.dask import apply, n_operators


def made_up(n_rows: int, chunk: int, seed: int) -> da.Array:
    """Return rows of 64 columns. Each process makes the blocks that it needs."""
    directions = np.random.default_rng(0).standard_normal((12, 64))
    rows = da.random.default_rng(seed).standard_normal((n_rows, 12), chunks=(chunk, 12))
    return (rows @ directions).astype(np.float32)


def main(n_rows: int, n_blocks: int) -> None:
    """Fit in this process, multiply in the others, and compare with the product."""
    B = np.random.default_rng(1).standard_normal((64, 10)).astype(np.float32)
    model = maddjit.fit(made_up(4000, 4000, 2).compute(), B, n_codebooks=32)
    rows = made_up(n_rows, -(-n_rows // n_blocks), 3)
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**settings) as cluster, Client(cluster) as client:
        exact = rows @ B
        found = apply(model, rows)
        error = (((found - exact) ** 2).mean() / exact.var()).compute()
        counts = client.run(n_operators)
    print(f"{n_rows} rows in {rows.numblocks[0]} blocks: NMSE {error:.3f}")
    print(f"operators compiled in each process: {', '.join(map(str, counts.values()))}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--blocks", type=int, default=40)
    options = parser.parse_args()
    main(options.rows, options.blocks)
