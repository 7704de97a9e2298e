"""The rows that prototypes are learned from, and those that encoders are judged by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.additive import settings
from maddjit.learning.additive.codebooks import (
    codes_of,
    counts_of,
    encoder_of,
    first_codes,
    means_of,
    swept,
)
from maddjit.learning.additive.frame import Frame
from maddjit.learning.maddness.goals import Goals
from maddjit.learning.maddness.options import Options
from maddjit.learning.maddness.regression import TreeRidge, regression_work
from maddjit.learning.maddness.sample import augmented
from maddjit.models.encoders import AdditiveCodes

Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class Found:
    """An encoder, how it was made, and its error on the rows set apart.

    Attributes
    ----------
    frame : Frame
    prototypes : (C, K, r) float64
    encoder : AdditiveCodes
    codes : (N, C) uint8
        The codes of the rows that it was learned from.
    error : float
        Infinite if there are no rows set apart.
    penalty : float
        The penalty of the regression of tables.
    """

    frame: Frame
    prototypes: NDArray[np.float64]
    encoder: AdditiveCodes
    codes: Codes
    error: float = np.inf
    penalty: float = settings.PENALTY


@dataclass(frozen=True)
class Part:
    """Rows to learn prototypes from, and rows set apart to judge by, with their coordinates.

    Attributes
    ----------
    rows : (N, D)
        Real rows, and then synthetic ones if there are any.
    weights : (N,) float32
    targets : (N, Q) float32
        The coordinates of the rows.
    apart : (N', D)
    judged : (N', Q) float32
        The coordinates of the rows set apart.
    options : Options
    """

    rows: NDArray[Any]
    weights: NDArray[np.float32]
    targets: NDArray[np.float32]
    apart: NDArray[Any]
    judged: NDArray[np.float32]
    options: Options

    @classmethod
    def of(
        cls, rows: NDArray[Any], goals: Goals, options: Options, rng: np.random.Generator
    ) -> Part:
        """Return some of the rows, a fifth of which are set apart unless they are too few."""
        order = rng.permutation(len(rows))[: settings.MAX_ROWS]
        n_apart = min(len(order) // settings.JUDGED_SHARE, settings.MAX_JUDGED)
        n_apart = n_apart if n_apart >= settings.LEAST_JUDGED else 0
        apart, fitted = rows[order[:n_apart]], rows[order[n_apart:]]
        weights = np.ones(len(fitted), np.float32)
        judged = goals.coordinates(apart)
        return cls(fitted, weights, goals.coordinates(fitted), apart, judged, options)

    def with_synthetic(self, copies: int, goals: Goals, rng: np.random.Generator) -> Part:
        """Return the part with synthetic rows beside the real ones."""
        sample = augmented(self.rows, copies, rng)
        rows = np.ascontiguousarray(sample.rows)
        return replace(self, rows=rows, weights=sample.weights, targets=goals.coordinates(rows))

    @property
    def work(self) -> float:
        """About how long a turn takes, as `regression_work` counts."""
        n_codebooks, n_prototypes = self.options.n_codebooks, self.options.n_prototypes
        width = self.targets.shape[1]
        return regression_work(len(self.rows), n_codebooks, n_prototypes, 2 * width)

    @property
    def has_many_codes(self) -> bool:
        """Whether regressions on codes take too long for turns."""
        return self.options.n_codebooks * self.options.n_prototypes > settings.MAX_CODES

    def first(self, frame: Frame, codes: Codes) -> Found:
        """Return the encoder whose prototypes are means of these codes, one codebook after another.

        It is judged, as all that are returned.
        """
        u, n_prototypes = frame.directions(self.rows), self.options.n_prototypes
        prototypes = means_of(codes, n_prototypes, u - frame.origin)
        return self._judged(frame, prototypes, u, codes)

    def swept(self, found: Found) -> Found:
        """Return the encoder whose prototypes are those of another after a sweep."""
        frame = found.frame
        u = frame.directions(self.rows)
        metric = frame.back @ frame.back.T
        prototypes, _ = swept(found.prototypes, found.codes, u - frame.origin, metric)
        return self._judged(frame, prototypes, u, found.codes)

    def next(self, found: Found) -> Found:
        """Return the encoder whose prototypes are regressed together on the codes of another."""
        u = found.frame.directions(self.rows)
        centred = u - found.frame.origin
        prototypes = self._ridge(found.codes).tables(centred, settings.PROTOTYPE_PENALTY)
        return self._judged(found.frame, prototypes, u, found.codes)

    def first_codes(self, rng: np.random.Generator) -> Codes:
        """Return the codes of the rows by k-means."""
        options = self.options
        return first_codes(self.targets, options.n_codebooks, options.n_prototypes, rng)

    def with_best_penalty(self, found: Found) -> Found:
        """Return the encoder with the penalty of tables that has the least error."""
        if not len(self.apart) or self.has_many_codes:
            return found
        errors = self._errors(found, settings.PENALTIES)
        penalty = min(errors, key=lambda each: errors[each])
        return replace(found, penalty=penalty, error=errors[penalty])

    def _judged(
        self, frame: Frame, prototypes: NDArray[np.float64], u: NDArray[np.float32], codes: Codes
    ) -> Found:
        counts = counts_of(codes, self.options.n_prototypes)
        encoder = encoder_of(frame, prototypes, u, counts)
        found = Found(frame, prototypes, encoder, codes_of(encoder, u))
        if not len(self.apart):
            return found
        return replace(found, error=self._errors(found, (found.penalty,))[found.penalty])

    def _ridge(self, codes: Codes) -> TreeRidge:
        return TreeRidge.of(codes, self.options.n_prototypes, self.weights, related=False)

    def _errors(self, found: Found, penalties: Iterable[float]) -> dict[float, float]:
        """Return the mean squared error on the rows set apart with each penalty of the tables."""
        codes = codes_of(found.encoder, found.frame.directions(self.apart))
        if self.has_many_codes:
            tables = means_of(found.codes, self.options.n_prototypes, self.targets)
            return dict.fromkeys(penalties, self._error(tables, codes))
        ridge = self._ridge(found.codes)
        return {each: self._error(ridge.tables(self.targets, each), codes) for each in penalties}

    def _error(self, tables: NDArray[np.float64], codes: Codes) -> float:
        left = self.judged.astype(np.float64)
        for c, table in enumerate(tables):
            left -= table[codes[:, c]]
        return float(np.mean(left**2))
