"""The learner of additive codes: directions, prototypes through the integers that run, and tables.

The number of directions, the turns of prototypes and codes, and the penalty of tables are chosen by
the error on rows that are set apart. Every error is that of the integer encoder.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
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
)
from maddjit.learning.additive.frame import Frame
from maddjit.learning.maddness.goals import Goals
from maddjit.learning.maddness.learned import Learned
from maddjit.learning.maddness.options import Options
from maddjit.learning.maddness.regression import TreeRidge, regression_work
from maddjit.learning.progress import Steps
from maddjit.models.encoders import AdditiveCodes

logger = logging.getLogger(__name__)

N_STEPS = 1 + len(settings.RANKS) + settings.MAX_TURNS
"""The most steps of a fit: calls of `advance` by `learn`, and then by `fit`."""

Codes = NDArray[np.uint8]


def learn(
    rows: NDArray[Any],
    B: NDArray[Any],
    options: Options,
    random_state: int,
    advance: Steps,
) -> Learned:
    """Return the encoder, real tables and the core.

    Parameters
    ----------
    rows : (N, D) float32 or float64
    B : (D, M) float32 or float64
    options : Options
    random_state : int
        Seed of the rows set apart, and of the rows that clusters begin with.
    advance : Steps
        Called after each step. Once it returns False, everything that can be left out is left out.
    """
    rng = np.random.default_rng(random_state)
    ranks = _ranks(B, options)
    goals = Goals.of(rows, B, options.core_rank, ranks[-1] or len(B))
    part = _Part.of(rows, goals, options, rng)
    work = _finishing_work(len(rows), B, options)
    with advance.reserved("algebra", work):
        found = _chosen(part, rows, goals, ranks, B, rng, advance)
    with advance.measured("algebra", work):
        return _finished(found, rows, B, goals, options)


@dataclass(frozen=True)
class _Found:
    """An encoder, with the codes of the rows to learn from, and its error on the rows set apart."""

    frame: Frame
    encoder: AdditiveCodes
    codes: Codes
    error: float = np.inf
    penalty: float = settings.PENALTY


@dataclass(frozen=True)
class _Part:
    """Rows to learn prototypes from, and rows set apart to judge by, with their coordinates.

    Attributes
    ----------
    rows : (N, D)
    targets : (N, Q) float32
    apart : (N', D)
    judged : (N', Q) float32
    options : Options
    """

    rows: NDArray[Any]
    targets: NDArray[np.float32]
    apart: NDArray[Any]
    judged: NDArray[np.float32]
    options: Options

    @classmethod
    def of(
        cls, rows: NDArray[Any], goals: Goals, options: Options, rng: np.random.Generator
    ) -> _Part:
        """Return some of the rows, a fifth of which are set apart unless they are too few."""
        order = rng.permutation(len(rows))[: settings.MAX_ROWS]
        n_apart = min(len(order) // settings.JUDGED_SHARE, settings.MAX_JUDGED)
        n_apart = n_apart if n_apart >= settings.LEAST_JUDGED else 0
        apart, fitted = rows[order[:n_apart]], rows[order[n_apart:]]
        return cls(fitted, goals.coordinates(fitted), apart, goals.coordinates(apart), options)

    @property
    def work(self) -> float:
        """About how long a turn takes, as `regression_work` counts."""
        n_codebooks, n_prototypes = self.options.n_codebooks, self.options.n_prototypes
        width = self.targets.shape[1]
        return regression_work(len(self.rows), n_codebooks, n_prototypes, 2 * width)

    def first_codes(self, rng: np.random.Generator) -> Codes:
        """Return the codes of the rows by k-means."""
        options = self.options
        return first_codes(self.targets, options.n_codebooks, options.n_prototypes, rng)

    def ridge(self, codes: Codes) -> TreeRidge:
        """Return the regression on codes of the rows."""
        weights = np.ones(len(codes), np.float32)
        return TreeRidge.of(codes, self.options.n_prototypes, weights, related=False)

    def errors(self, found: _Found, penalties: tuple[float, ...]) -> dict[float, float]:
        """Return the mean squared error on the rows set apart with each penalty of the tables."""
        codes = codes_of(found.encoder, found.frame.directions(self.apart))
        ridge, errors = self.ridge(found.codes), {}
        for penalty in penalties:
            left = self.judged.astype(np.float64)
            for c, table in enumerate(ridge.tables(self.targets, penalty)):
                left -= table[codes[:, c]]
            errors[penalty] = float(np.mean(left**2))
        return errors

    def judging(self, found: _Found) -> _Found:
        """Return the encoder with its error on the rows set apart, if there are any."""
        if not len(self.apart):
            return found
        return replace(found, error=self.errors(found, (found.penalty,))[found.penalty])


def _ranks(B: NDArray[Any], options: Options) -> tuple[int | None, ...]:
    """Return the numbers of directions to try; None stands for the bytes of rows themselves.

    A projection with more multiply-adds than the exact product is of no use.
    """
    if len(B) <= settings.DIRECT_FEATURES:
        return (None,)
    most = min(B.shape)
    useful = B.size // (len(B) + options.n_codebooks * options.n_prototypes)
    tried = [rank for rank in settings.RANKS if rank <= useful] or [settings.RANKS[0]]
    return tuple(sorted({min(rank, most) for rank in tried}))


def _chosen(
    part: _Part,
    rows: NDArray[Any],
    goals: Goals,
    ranks: tuple[int | None, ...],
    B: NDArray[Any],
    rng: np.random.Generator,
    advance: Steps,
) -> _Found:
    """Return the best encoder found on some rows, as judged by others, until time is up.

    The number of directions is chosen by encoders of the first codes. They are then bettered in
    turns, and the penalty of the tables is chosen last.
    """
    options, n_rows = part.options, len(part.rows)
    n_codes = options.n_codebooks * options.n_prototypes
    best: _Found | None = None
    try:
        first = part.first_codes(rng)
        cost = np.inf
        for rank in ranks:
            with advance.measured("rank", n_rows), advance.measured("algebra", part.work):
                frame = Frame.of(rows, goals, rank)
                found = part.judging(_encoder(part, frame, first, joint=False))
            per_row = len(frame.origin) * (len(B) * (rank is not None) + n_codes)
            time = per_row + options.n_codebooks * B.shape[1]
            logger.debug("%s directions: %.4g", rank, found.error)
            if best is None or found.error * time**settings.TIME_WEIGHT < cost:
                best, cost = found, found.error * time**settings.TIME_WEIGHT
            if not advance(2 * advance.predicted("rank", n_rows)):
                return best
        assert best is not None
        for better in _turns(part, best, advance):
            best = better
        errors = part.errors(best, settings.PENALTIES) if len(part.apart) else {}
        if errors:
            best = replace(best, penalty=min(errors, key=lambda each: errors[each]))
    except KeyboardInterrupt:
        if best is None or options.on_interrupt == "raise":
            raise
        logger.warning("interrupted: nothing more is tried")
        advance.stop()
    return best


def _encoder(part: _Part, frame: Frame, codes: Codes, joint: bool = True) -> _Found:
    """Return the encoder with the prototypes of these codes, jointly regressed or one by one."""
    u, n_prototypes = frame.directions(part.rows), part.options.n_prototypes
    centred = u - frame.origin
    if joint:
        prototypes = part.ridge(codes).tables(centred, settings.PROTOTYPE_PENALTY)
    else:
        prototypes = means_of(codes, n_prototypes, centred)
    encoder = encoder_of(frame, prototypes, u, counts_of(codes, n_prototypes))
    return _Found(frame, encoder, codes_of(encoder, u))


def _turns(part: _Part, first: _Found, advance: Steps) -> Iterator[_Found]:
    """Yield better encoders, from turns in which prototypes are regressed on the last codes."""
    if not len(part.apart):
        return
    least, last, before = first.error, first, np.inf
    for turn in range(settings.MAX_TURNS):
        with advance.measured("turn", 1), advance.measured("algebra", part.work):
            last = part.judging(_encoder(part, last.frame, last.codes))
        logger.debug("turn %d: %.4g", turn, last.error)
        if last.error < least:
            least = last.error
            yield last
        if last.error > (1 - settings.LEAST_TURN_GAIN) * before:
            return
        before = last.error
        if not advance(2 * advance.predicted("turn", 1)):
            return


def _finishing_work(n_rows: int, B: NDArray[Any], options: Options) -> float:
    """Return about how long the regression on all outputs takes, in operations of a product."""
    n_codebooks, n_prototypes = options.n_codebooks, options.n_prototypes
    inner = n_codebooks * n_prototypes if B.shape[0] <= B.shape[1] else n_rows
    work = regression_work(n_rows, n_codebooks, n_prototypes, min(B.shape))
    return work + 2.0 * inner * B.size


def _finished(
    found: _Found,
    rows: NDArray[Any],
    B: NDArray[Any],
    goals: Goals,
    options: Options,
) -> Learned:
    """Return what was learned, with tables that are regressed on all outputs.

    The regression is linear in its targets, so these have the smaller of D and M columns.
    """
    codes = codes_of(found.encoder, found.frame.directions(rows))
    weights = np.ones(len(codes), np.float32)
    ridge = TreeRidge.of(codes, options.n_prototypes, weights, related=False)
    centred = rows - goals.mean
    if B.shape[0] <= B.shape[1]:
        tables = ridge.tables(centred, found.penalty) @ goals.rest
    else:
        tables = ridge.tables(centred @ goals.rest, found.penalty)
    core = (B.astype(np.float64) @ goals.core, goals.core.T) if options.core_rank else None
    return Learned(found.encoder, tables, goals.mean @ goals.rest, ridge.gram, core)
