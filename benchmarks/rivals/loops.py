"""Loops in numba: MADDNESS as one writes it by hand, and those of codebook methods.

Rows are handled one by one; LLVM vectorises the inner loops. This needs numba.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit
def encode_row(row: Any, split_dims: Any, thresholds: Any, codes: Any) -> None:
    """Descend the tree of each codebook."""
    n_codebooks, depth = split_dims.shape
    for c in range(n_codebooks):
        node = 0
        for t in range(depth):
            right = row[split_dims[c, t]] >= thresholds[c, node]
            node = 2 * node + 1 + right
        codes[c] = node - thresholds.shape[1]


@njit
def scan_row(codes: Any, tables: Any, sums: Any) -> None:
    """Add the table rows of one row's codes."""
    first = tables[0, codes[0]]
    for m in range(len(sums)):
        sums[m] = first[m]
    for c in range(1, len(codes)):
        entries = tables[c, codes[c]]
        for m in range(len(sums)):
            sums[m] += entries[m]


@njit
def finish_row(sums: Any, scale: Any, offset: Any, y: Any) -> None:
    """Write scaled and offset sums."""
    for m in range(len(sums)):
        y[m] = np.float32(sums[m]) * scale[m] + offset[m]


@njit
def scan_scaled(codes: Any, tables: Any, scale: Any, offset: Any, sums: Any, Y: Any) -> None:
    """Scan every row's codes, then scale and offset the sums."""
    for n in range(len(codes)):
        scan_row(codes[n], tables, sums)
        finish_row(sums, scale, offset, Y[n])


@njit
def maddness(
    A: Any,
    split_dims: Any,
    thresholds: Any,
    tables: Any,
    scale: Any,
    offset: Any,
    sums: Any,
    Y: Any,
) -> None:
    """Approximate A @ B: encode, scan, scale and offset, one row after another."""
    codes = np.empty(len(split_dims), np.uint8)
    for n in range(len(A)):
        encode_row(A[n], split_dims, thresholds, codes)
        scan_row(codes, tables, sums)
        finish_row(sums, scale, offset, Y[n])


@njit(fastmath=True)
def nearest(scores: Any, half_norms: Any, codes: Any) -> None:
    """Write the prototype of least distance (half norm less score) of each row and codebook."""
    n_rows, n_codebooks, n_prototypes = scores.shape
    distances = np.empty(n_prototypes, np.float32)
    for n in range(n_rows):
        for c in range(n_codebooks):
            least = np.float32(np.inf)
            for k in range(n_prototypes):
                distances[k] = half_norms[c, k] - scores[n, c, k]
                least = min(least, distances[k])
            code = n_prototypes
            for k in range(n_prototypes):
                code = min(code, k if distances[k] == least else n_prototypes)
            codes[n, c] = code
