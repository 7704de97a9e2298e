"""MADDNESS as one writes it by hand with numba: row by row, inner loops that LLVM vectorises."""

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
def encode(A: Any, split_dims: Any, thresholds: Any, codes: Any) -> None:
    """Encode every row."""
    for n in range(len(A)):
        encode_row(A[n], split_dims, thresholds, codes[n])


@njit
def scan(codes: Any, tables: Any, sums: Any) -> None:
    """Scan every row's codes."""
    for n in range(len(codes)):
        scan_row(codes[n], tables, sums[n])


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
        for m in range(len(sums)):
            Y[n, m] = np.float32(sums[m]) * scale[m] + offset[m]
