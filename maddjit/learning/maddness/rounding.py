"""The rounding of all tables together: later entries make up for what earlier entries lost.

This is the rounding of Frantar et al., *GPTQ*, ICLR 2023, with codes in place of activations. It
lowers the squared error of the sums over the training rows, not that of the entries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness import settings
from maddjit.learning.maddness.options import Options


def quantising_work(options: Options, n_outputs: int, n_judged: int) -> float:
    """Return about how long it takes to round the entries and to measure the report.

    The time is counted in operations of a matrix product. Entries are rounded twice if groups are
    tried.
    """
    n_leaves, width = options.n_prototypes, options.n_codebooks * options.n_prototypes
    times = 2 if options.byte_group == "auto" else 1
    n_looked_up = n_judged + times * min(n_judged, settings.COMPARED_GROUP_ROWS)
    cost = settings.ENTRY_COST
    work = float(cost * n_outputs * (options.n_codebooks * n_looked_up + 4 * times * width))
    together = width <= settings.MAX_TOGETHER
    if options.method == "best" and options.accumulate == "exact" and together:
        work += 1.5 * width**3 + times * n_outputs * width * (width + cost * (n_leaves / 2 + 4))
    return work


@dataclass(frozen=True)
class Rounding:
    """The statistics of training rows by which entries are rounded together.

    Attributes
    ----------
    shares : (C·K,) float64
        The share of the rows in which each code occurs.
    factor : (C·K, C·K) float64
        Upper triangular. Row i says how the entries after i make up for a unit that entry i lost.
    """

    shares: NDArray[np.float64]
    factor: NDArray[np.float64]

    @classmethod
    def of(cls, gram: NDArray[np.float64], n_prototypes: int) -> Rounding:
        """Prepare the rounding from how often two codes meet in a row, (C·K, C·K)."""
        from scipy.linalg import cholesky, solve_triangular

        counts = np.diag(gram)
        n_rows = counts[:n_prototypes].sum()
        centred = gram - np.outer(counts, counts) / n_rows
        centred[np.diag_indices_from(centred)] += settings.DAMPING * counts.mean()
        # With U Uᵀ = centred, U⁻¹ is the upper factor of the inverse of centred. The error that
        # entry i leaves is least if each entry j > i gives back U⁻¹[i, j] / U⁻¹[i, i] of it.
        lower = cholesky(np.array(centred[::-1, ::-1]), lower=True, overwrite_a=True)
        inverse = solve_triangular(lower, np.eye(len(lower)), lower=True, overwrite_b=True)
        factor = np.array(inverse[::-1, ::-1])
        return cls(counts / n_rows, factor / np.diag(factor)[:, np.newaxis])

    def apply(
        self, real: NDArray[np.float64], largest: NDArray[np.float64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Return rounded entries, and what the sums lost by it, in units of each output's step.

        Parameters
        ----------
        real : (C, K, M) float64
        largest : (C, M) float64
            The largest entry allowed; the least is 0.

        Returns
        -------
        entries : (C, K, M) uint8
        left : (M,) float64
            What the sums lost in the mean over the rows; it belongs into the offset.
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
