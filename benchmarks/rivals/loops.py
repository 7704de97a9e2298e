"""MADDNESS as one writes it by hand in numba. LLVM vectorises the inner loops."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


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
    n_codebooks, depth = split_dims.shape
    codes = np.empty(n_codebooks, np.uint8)
    for n in range(len(A)):
        for c in range(n_codebooks):
            node = 0
            for t in range(depth):
                right = A[n, split_dims[c, t]] >= thresholds[c, node]
                node = 2 * node + 1 + right
            codes[c] = node - thresholds.shape[1]
        first = tables[0, codes[0]]
        for m in range(len(sums)):
            sums[m] = first[m]
        for c in range(1, n_codebooks):
            entries = tables[c, codes[c]]
            for m in range(len(sums)):
                sums[m] += entries[m]
        for m in range(len(sums)):
            Y[n, m] = np.float32(sums[m]) * scale[m] + offset[m]
