"""The inputs of a search: the rows, B and bias to learn from, and the results to find."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.selection import settings


@dataclass(frozen=True)
class WinnersAsked:
    """The request for winners instead of outputs.

    Attributes
    ----------
    k : int
        How many winners each row has.
    coverage : float
        The share of rows whose winners a short list must hold.
    tuned : bool
        Whether tables are tuned for the largest output.
    rows : (n, D)
        The rows that short lists are calibrated on.
    """

    k: int
    coverage: float
    tuned: bool
    rows: NDArray[Any]


@dataclass(frozen=True)
class Inputs:
    """Rows, B and bias that models are fitted to, and how operators are compiled.

    Attributes
    ----------
    rows : (N, D)
    B : (D, M)
    bias : (M,)
    random_state : int
    threads : int
        The threads of compiled operators.
    folder : Path, optional
        Where fitted models are kept.
    winners : WinnersAsked, optional
    """

    rows: NDArray[Any]
    B: NDArray[Any]
    bias: NDArray[Any]
    random_state: int
    threads: int
    folder: Path | None
    winners: WinnersAsked | None = None

    def for_winners(self, k: int, coverage: float, tuned: bool) -> Inputs:
        """Return inputs that ask for winners, calibrated on some rows that are not fitted to."""
        order = np.random.default_rng(self.random_state).permutation(len(self.rows))
        share = int(settings.CALIBRATION_SHARE * len(self.rows))
        n_known = max(1, min(settings.MAX_CALIBRATION, share))
        known, fitted = np.sort(order[:n_known]), np.sort(order[n_known:])
        asked = WinnersAsked(k, coverage, tuned, self.rows[known])
        return replace(self, rows=self.rows[fitted], winners=asked)
