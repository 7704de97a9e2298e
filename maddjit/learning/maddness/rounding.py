"""Rounding the entries of all tables together: later entries make up for what earlier ones lost.

That is the rounding of Frantar et al., *GPTQ*, ICLR 2023, with codes for activations: it lowers the
squared error of the sums over the training rows rather than that of the entries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness.options import Options

_DAMPING = 0.01
"""Share of the mean count that steadies the rounding of rare codes."""


MAX_COMPARED = 512
"""Rows on which coarser tables are compared with finer ones."""

MAX_TOGETHER = 4096
"""C·K up to which entries are rounded together: that takes (C·K)³ steps."""

_SLOW = 20
"""Operations of a product of matrices in the time of one on an array's entries, about."""


def quantising_work(options: Options, n_outputs: int, n_judged: int) -> float:
    """Return what it takes to round the entries, twice if groups are tried, and to report.

    It is told in operations of a product of matrices.
    """
    n_leaves, width = options.n_prototypes, options.n_codebooks * options.n_prototypes
    times = 2 if options.byte_group == "auto" else 1
    n_looked_up = n_judged + times * min(n_judged, MAX_COMPARED)
    work = float(_SLOW * n_outputs * (options.n_codebooks * n_looked_up + 4 * times * width))
    if options.method == "best" and options.accumulate == "exact" and width <= MAX_TOGETHER:
        work += 1.5 * width**3 + times * n_outputs * width * (width + _SLOW * (n_leaves / 2 + 4))
    return work


@dataclass(frozen=True)
class Rounding:
    """What rounding must know of the training rows.

    Attributes
    ----------
    shares : (C·K,) float64
        In which share of the rows each code occurs.
    factor : (C·K, C·K) float64
        Upper triangular: row i says how entries after i make up for a unit lost at i.
    """

    shares: NDArray[np.float64]
    factor: NDArray[np.float64]

    @classmethod
    def of(cls, gram: NDArray[np.float64], n_prototypes: int) -> Rounding:
        """Prepare it from the weighted counts of rows in which two codes meet, (C·K, C·K)."""
        from scipy.linalg import cholesky, solve_triangular

        counts = np.diag(gram)
        n_rows = counts[:n_prototypes].sum()
        centred = gram - np.outer(counts, counts) / n_rows
        centred[np.diag_indices_from(centred)] += _DAMPING * counts.mean()
        # With U Uᵀ = centred, U⁻¹ is the upper factor of its inverse: the error left of entry i is
        # least when entry j > i gives back U⁻¹[i, j] / U⁻¹[i, i] of it.
        lower = cholesky(np.array(centred[::-1, ::-1]), lower=True, overwrite_a=True)
        inverse = solve_triangular(lower, np.eye(len(lower)), lower=True, overwrite_b=True)
        factor = np.array(inverse[::-1, ::-1])
        return cls(counts / n_rows, factor / np.diag(factor)[:, np.newaxis])

    def apply(
        self, real: NDArray[np.float64], largest: NDArray[np.float64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Round entries in units of their output's step.

        Parameters
        ----------
        real : (C, K, M) float64
        largest : (C, M) float64
            What no entry may exceed; none goes below 0.

        Returns
        -------
        entries : (C, K, M) uint8
        left : (M,) float64
            The mean over the rows of what the sums lost, for the offset.
        """
        n_codebooks, n_prototypes, n_outputs = real.shape
        waiting = real.reshape(-1, n_outputs).copy()
        entries = np.empty_like(waiting)
        lost = np.empty((n_prototypes, n_outputs))
        for c in range(n_codebooks):
            first, last = c * n_prototypes, (c + 1) * n_prototypes
            for i in range(first, last):
                entries[i] = np.clip(np.rint(waiting[i]), 0, largest[c])
                lost[i - first] = waiting[i] - entries[i]
                waiting[i + 1 : last] -= np.outer(self.factor[i, i + 1 : last], lost[i - first])
            waiting[last:] -= self.factor[first:last, last:].T @ lost
        left = self.shares @ (real.reshape(-1, n_outputs) - entries)
        return entries.reshape(real.shape).astype(np.uint8), left
