"""Loops of codebook methods in numba, imported only where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
from by_hand import scan_row
from numba import njit


@njit(fastmath=True)
def nearest(scores: Any, half_norms: Any, codes: Any) -> None:
    """Write the prototype of least distance for each row and codebook: half norm less score."""
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


@njit
def scan_scaled(codes: Any, tables: Any, scale: Any, offset: Any, sums: Any, Y: Any) -> None:
    """Add the byte tables' rows of each row's codes, then scale and offset the sums."""
    for n in range(len(codes)):
        scan_row(codes[n], tables, sums)
        for m in range(len(sums)):
            Y[n, m] = np.float32(sums[m]) * scale[m] + offset[m]
