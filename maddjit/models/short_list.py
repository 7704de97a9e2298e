"""`ShortList`: the scores, margins and exact B by which a model finds the exact winners."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from numbers import Real
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.models.records import fields_of, frozen_array, made_again

SETTLE_LANES = 64
"""Partial sums in which each exact output is computed, as `reference.settle` defines."""
MAX_SCORE = 2**16 - 1
"""The largest score: scores fit 16 bits."""


class CoverageError(ValueError):
    """The coverage is higher than the rows of calibration can vouch for, or not between 0 and 1."""


@dataclass(frozen=True, eq=False)
class ShortList:
    """The part of a model that finds the exact k best outputs of a row; `calibrate` makes it.

    Whole-number scores of all outputs are looked up. The outputs whose scores are within a margin
    of the k-th best score make the short list. Their exact values, computed from B, decide. The
    margin is a quantile of what was seen on the rows of calibration (split conformal prediction):
    if G of n rows had their k exact winners within the margin, a further row like them has its
    winners within it with a probability of G / (n + 1) or more.

    Attributes
    ----------
    k : int
        How many winners are named.
    tables : (C, K, M) uint8
        Entries for the codes of the model's trees. Their sums are the scores. Scores of different
        outputs can be compared: they have one scale, and the bias is in them.
    B : (D, M) float32
        The exact right-hand side.
    bias : (M,) float32
        Added to the exact outputs.
    n_rows : int
        n, the number of rows of calibration that were counted.
    margins : (G,) int32
        The margins to choose from, ascending from 0 or more.
    covered : (G,) int64
        How many of these rows had all k exact winners within each margin.
    lengths : (G, 3) float64
        The mean length of the short list for each margin, the length that 99 % of the rows did not
        exceed, and the largest length.

    Raises
    ------
    ValueError, TypeError
        If a shape, a range or a dtype is not as above, or scores could exceed 16 bits.
    """

    k: int
    tables: NDArray[np.uint8]
    B: NDArray[np.float32]
    bias: NDArray[np.float32]
    n_rows: int
    margins: NDArray[np.int32]
    covered: NDArray[np.int64]
    lengths: NDArray[np.float64]

    def __post_init__(self) -> None:
        shapes = np.shape(self.tables), np.shape(self.B)
        if len(shapes[0]) != 3 or len(shapes[1]) != 2 or 0 in (*shapes[0], *shapes[1]):
            raise ValueError(
                f"tables and B must have shapes (C, K, M) and (D, M), not {shapes[0]}, {shapes[1]}"
            )
        n_outputs, n_margins = shapes[1][1], len(np.atleast_1d(self.margins))
        for name, dtype, wanted in (
            ("tables", np.uint8, (*shapes[0][:2], n_outputs)),
            ("B", np.float32, shapes[1]),
            ("bias", np.float32, (n_outputs,)),
            ("margins", np.int32, (n_margins,)),
            ("covered", np.int64, (n_margins,)),
            ("lengths", np.float64, (n_margins, 3)),
        ):
            object.__setattr__(self, name, frozen_array(name, getattr(self, name), dtype, wanted))
        for name in ("k", "n_rows"):
            object.__setattr__(self, name, index(getattr(self, name)))
        if not 1 <= self.k <= n_outputs:
            raise ValueError(f"k must be from 1 to {n_outputs}, not {self.k}")
        if not (np.isfinite(self.B).all() and np.isfinite(self.bias).all()):
            raise ValueError("B and bias must be finite")
        if n_margins == 0 or self.margins[0] < 0 or (np.diff(self.margins) <= 0).any():
            raise ValueError("margins must be ascending from 0 or more")
        counts = np.concatenate(([0], self.covered, [self.n_rows]))
        if (np.diff(counts) < 0).any() or self.covered[-1] != self.n_rows:
            raise ValueError(f"covered must ascend from 0 or more to n_rows = {self.n_rows}")
        if not (np.isfinite(self.lengths).all() and self.lengths.min() >= 0):
            raise ValueError("lengths must be finite and 0 or more")
        worst = int(self.tables.max(axis=1).astype(np.int64).sum(axis=0).max())
        if worst > MAX_SCORE:
            raise ValueError(f"scores can reach {worst}, more than {MAX_SCORE}")

    def margin(self, coverage: float) -> int:
        """Return the least margin that keeps all k exact winners with a given probability.

        Parameters
        ----------
        coverage : float
            The probability, below 1, for a row that is exchangeable with those of calibration.

        Raises
        ------
        CoverageError
            If `coverage` is not between 0 and 1, or is too high for the rows of calibration: n
            rows vouch for n / (n + 1) at most.
        TypeError
            If `coverage` is not a number.
        """
        return int(self.margins[self._place(coverage)])

    def expected_lengths(self, coverage: float) -> tuple[float, float, float]:
        """Return the mean, the 99th percentile and the maximum of list lengths at calibration."""
        mean, most, longest = self.lengths[self._place(coverage)].tolist()
        return mean, most, longest

    def longest(self, margin: int) -> int:
        """Return the length of the longest list that a margin gave at calibration."""
        place = min(int(np.searchsorted(self.margins, margin)), len(self.margins) - 1)
        return int(self.lengths[place, 2])

    def _place(self, coverage: float) -> int:
        """Return the place of the least margin for a coverage."""
        if not isinstance(coverage, Real):
            raise TypeError(f"coverage must be a number, not {type(coverage).__name__}")
        if not 0 < coverage < 1:
            raise CoverageError(f"coverage must be above 0 and below 1, not {coverage}")
        # Ask for a little less, so that .99 · 100 is not rounded up to 99.00000000000001 rows.
        needed = ceil((self.n_rows + 1) * coverage * (1 - 1e-12))
        if needed > self.n_rows:
            raise CoverageError(
                f"coverage {coverage:g} needs {ceil(coverage / (1 - coverage) * (1 - 1e-12))} rows "
                f"to vouch for it, and {self.n_rows} did (a tenth of the rows of calibration "
                "chooses how scores are rounded): calibrate with more rows, or ask for less"
            )
        return int(np.searchsorted(self.covered, needed))

    def __reduce__(self) -> tuple[Any, ...]:
        return made_again, (ShortList, fields_of(self))

    def __repr__(self) -> str:
        return f"ShortList(k={self.k}, M={len(self.bias)}, calibrated on {self.n_rows} rows)"
