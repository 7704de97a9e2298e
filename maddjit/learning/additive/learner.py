"""The learner of additive codes: directions, prototypes through the integers that run, and tables.

The number of directions, the turns of prototypes and codes, and the penalty of tables are chosen by
the error on rows that are set apart. Every error is that of the integer encoder.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.additive import settings
from maddjit.learning.additive.codebooks import codes_of, counts_of, encoder_of, first_codes
from maddjit.learning.additive.frame import Frame
from maddjit.learning.maddness.goals import Goals
from maddjit.learning.maddness.learned import Learned
from maddjit.learning.maddness.options import Options
from maddjit.learning.maddness.regression import TreeRidge, regression_work
from maddjit.learning.progress import Steps
from maddjit.models.encoders import AdditiveCodes

logger = logging.getLogger(__name__)

N_STEPS = 3 + len(settings.RANKS) + settings.MAX_TURNS
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
    n_coordinates = settings.DIRECT_FEATURES if _is_direct(B) else settings.RANKS[-1]
    goals = Goals.of(rows, B, options.core_rank, n_coordinates)
    with advance.reserved("algebra", _finishing_work(len(rows), B, options)):
        found = _chosen(rows, goals, options, rng, advance)
    u = found.frame.directions(rows)
    with advance.measured("algebra", _finishing_work(len(rows), B, options)):
        return _finished(found, rows, u, B, goals, options)


@dataclass(frozen=True)
class _Found:
    """An encoder, how it was made, and its error on the rows to judge by."""

    frame: Frame
    encoder: AdditiveCodes
    codes: Codes
    error: float = np.inf
    penalty: float = settings.PENALTY


@dataclass(frozen=True)
class _Part:
    """Rows to learn prototypes from, and rows to judge by, with their coordinates.

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

    @property
    def work(self) -> float:
        """About how long a turn takes, as `regression_work` counts."""
        n_codebooks, n_prototypes = self.options.n_codebooks, self.options.n_prototypes
        width = self.targets.shape[1]
        return regression_work(len(self.rows), n_codebooks, n_prototypes, 2 * width)

    def ridge(self, codes: Codes) -> TreeRidge:
        """Return the regression on codes of the rows."""
        weights = np.ones(len(codes), np.float32)
        return TreeRidge.of(codes, self.options.n_prototypes, weights, related=False)

    def start(self, frame: Frame, u: NDArray[np.float32], rng: np.random.Generator) -> Codes:
        """Return the first codes of the rows."""
        seen = ((u - frame.origin) @ frame.back).astype(np.float32)
        options = self.options
        return first_codes(seen, options.n_codebooks, options.n_prototypes, rng)

    def error(self, encoder: AdditiveCodes, codes: Codes, u: NDArray[np.float32]) -> _Judged:
        """Return the least error on the rows to judge by, over the penalties of tables."""
        there = codes_of(encoder, u)
        ridge = self.ridge(codes)
        errors = {}
        for penalty in settings.PENALTIES:
            left = self.judged.astype(np.float64)
            for c, table in enumerate(ridge.tables(self.targets, penalty)):
                left -= table[there[:, c]]
            errors[penalty] = float(np.mean(left**2)) if left.size else 0.0
        penalty = min(errors, key=lambda each: errors[each])
        return errors[penalty], penalty


_Judged = tuple[float, float]
"""An error, and the penalty with which it is reached."""


def _is_direct(B: NDArray[Any]) -> bool:
    """Tell whether the bytes of rows are the directions."""
    return len(B) <= settings.DIRECT_FEATURES


def _chosen(
    rows: NDArray[Any],
    goals: Goals,
    options: Options,
    rng: np.random.Generator,
    advance: Steps,
) -> _Found:
    """Return the best encoder found on some rows, as judged by others, until time is up."""
    order = rng.permutation(len(rows))[: settings.MAX_CHOOSING]
    n_apart = len(order) // 5
    if n_apart < settings.LEAST_JUDGED:
        n_apart = 0
    apart, fitted = rows[order[:n_apart]], rows[order[n_apart:]]
    part = _Part(fitted, goals.coordinates(fitted), apart, goals.coordinates(apart), options)
    ranks: tuple[int | None, ...] = (
        settings.RANKS if goals.right.shape[0] > settings.DIRECT_FEATURES else (None,)
    )
    best: _Found | None = None
    try:
        for rank in ranks:
            frame = Frame.of(rows, goals, rank)
            for found in _turns(part, frame, rng, advance):
                if best is None or found.error < best.error:
                    best = found
            if best is not None and not advance(advance.predicted("turn", part.work)):
                break
    except KeyboardInterrupt:
        if best is None or options.on_interrupt == "raise":
            raise
        logger.warning("interrupted: nothing more is tried")
        advance.stop()
    assert best is not None
    return best


def _turns(part: _Part, frame: Frame, rng: np.random.Generator, advance: Steps) -> Iterator[_Found]:
    """Yield encoders: that of the first clusters, then of turns of regression and new codes."""
    u, there = frame.directions(part.rows), frame.directions(part.apart)
    centred = u - frame.origin
    codes = part.start(frame, u, rng)
    for turn in range(settings.MAX_TURNS):
        prototypes = part.ridge(codes).tables(centred, settings.PROTOTYPE_PENALTY)
        encoder = encoder_of(frame, prototypes, u, counts_of(codes, part.options.n_prototypes))
        codes = codes_of(encoder, u)
        if not len(there):
            yield _Found(frame, encoder, codes)
            return
        error, penalty = part.error(encoder, codes, there)
        logger.debug("%d directions, turn %d: %.4g", u.shape[1], turn, error)
        yield _Found(frame, encoder, codes, error, penalty)


def _finishing_work(n_rows: int, B: NDArray[Any], options: Options) -> float:
    """Return about how long the regression on all outputs takes, in operations of a product."""
    n_codebooks, n_prototypes = options.n_codebooks, options.n_prototypes
    inner = n_codebooks * n_prototypes if B.shape[0] <= B.shape[1] else n_rows
    work = regression_work(n_rows, n_codebooks, n_prototypes, min(B.shape))
    return work + 2.0 * inner * B.size


def _finished(
    found: _Found,
    rows: NDArray[Any],
    u: NDArray[np.float32],
    B: NDArray[Any],
    goals: Goals,
    options: Options,
) -> Learned:
    """Return what was learned, with tables that are regressed on all outputs.

    The regression is linear in its targets, so these have the smaller of D and M columns.
    """
    codes = codes_of(found.encoder, u)
    weights = np.ones(len(codes), np.float32)
    ridge = TreeRidge.of(codes, options.n_prototypes, weights, related=False)
    centred = rows - goals.mean
    if B.shape[0] <= B.shape[1]:
        tables = ridge.tables(centred, found.penalty) @ goals.rest
    else:
        tables = ridge.tables(centred @ goals.rest, found.penalty)
    core = (B.astype(np.float64) @ goals.core, goals.core.T) if options.core_rank else None
    return Learned(found.encoder, tables, goals.mean @ goals.rest, ridge.gram, core)
