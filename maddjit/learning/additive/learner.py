"""The learner of additive codes: directions, prototypes through the integers that run, and tables.

The number of directions, the first clusters, synthetic rows, the turns of prototypes and codes, and
the penalty of tables are chosen by the error on rows that are set apart. Every error is that of the
integer encoder.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.additive import settings
from maddjit.learning.additive.codebooks import codes_of
from maddjit.learning.additive.frame import Frame
from maddjit.learning.additive.part import Found, Part
from maddjit.learning.maddness.goals import Goals
from maddjit.learning.maddness.learned import Learned
from maddjit.learning.maddness.options import Options
from maddjit.learning.maddness.regression import TreeRidge, regression_work
from maddjit.learning.maddness.sample import Sample, augmented, copies_for
from maddjit.learning.progress import Steps

logger = logging.getLogger(__name__)

N_STEPS = 1 + len(settings.RANKS) + settings.STARTS + settings.MAX_SWEEPS + settings.MAX_TURNS
"""The most steps of a fit: calls of `advance` by `learn`, and then by `fit`."""


@dataclass(frozen=True)
class _Recipe:
    """An encoder, and what it was learned from: some rows, with synthetic copies of each."""

    found: Found
    part: Part
    copies: int = 0


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
        Seed of the rows set apart, of synthetic rows and of those that clusters begin with.
    advance : Steps
        Called after each step. Once it returns False, everything that can be left out is left out.
    """
    rng = np.random.default_rng(random_state)
    ranks = _ranks(B, options)
    goals = Goals.of(rows, B, options.core_rank, ranks[-1] or len(B))
    part = Part.of(rows, goals, options, rng)
    best: _Recipe | None = None
    with advance.reserved("algebra", _finishing_work(len(rows), B, options)):
        try:
            for better in _recipes(part, rows, B, goals, ranks, rng, advance):
                best = better
        except KeyboardInterrupt:
            if best is None or options.on_interrupt == "raise":
                raise
            logger.warning("interrupted: nothing more is tried")
            advance.stop()
    assert best is not None
    sample = augmented(rows, best.copies, rng) if best.copies else Sample(rows, len(rows))
    with advance.measured("algebra", _finishing_work(len(sample.rows), B, options)):
        return _finished(best.found, sample, B, goals, options)


def _ranks(B: NDArray[Any], options: Options) -> tuple[int | None, ...]:
    """Return the numbers of directions to try; None stands for the bytes of rows themselves.

    More than the fewest are tried only if they and the scores take no more multiply-adds than the
    exact product.
    """
    if len(B) <= settings.DIRECT_FEATURES:
        return (None,)
    useful = B.size // (len(B) + options.n_codebooks * options.n_prototypes)
    tried = [rank for rank in settings.RANKS if rank <= useful] or [settings.RANKS[0]]
    return tuple(sorted({min(rank, *B.shape) for rank in tried}))


def _recipes(
    part: Part,
    rows: NDArray[Any],
    B: NDArray[Any],
    goals: Goals,
    ranks: tuple[int | None, ...],
    rng: np.random.Generator,
    advance: Steps,
) -> Iterator[_Recipe]:
    """Yield the best recipe so far, as judged by rows set apart, until time is up.

    The number of directions is chosen first, then the clusters to start from and whether synthetic
    rows help. Turns of prototypes and codes follow, and the penalty of the tables is chosen last.
    """
    best: Found | None = None
    codes = part.first_codes(rng)
    for rank in ranks:
        with advance.measured("rank", 1), advance.measured("algebra", part.work):
            found = part.first(Frame.of(rows, goals, rank), codes)
        logger.debug("%s directions: %.4g", rank, found.error)
        no_better = best is not None and _cost(found, B) >= _cost(best, B)
        if not no_better:
            best = found
            yield _Recipe(best, part)
        if not advance(2 * advance.predicted("rank", 1)):
            return
        if no_better:
            break
    if best is None or not len(part.apart):
        return
    recipe = _Recipe(best, part)
    for start in _starts(recipe, goals, rng, advance):
        recipe = start
        yield recipe
    if not advance.allows():
        return
    for found in _turns(recipe, advance):
        recipe = _Recipe(found, recipe.part, recipe.copies)
        yield recipe
    if advance.allows(4 * advance.predicted("algebra", recipe.part.work)):
        yield _Recipe(recipe.part.with_best_penalty(recipe.found), recipe.part, recipe.copies)


def _cost(found: Found, B: NDArray[Any]) -> float:
    """Return the error times a power of the time of a row, by which directions are chosen."""
    encoder = found.encoder
    per_direction = encoder.n_codebooks * encoder.n_prototypes
    if encoder.projection is not None:
        per_direction += len(B)
    time = encoder.rank * per_direction + encoder.n_codebooks * B.shape[1]
    return float(found.error * time**settings.TIME_WEIGHT)


def _starts(
    recipe: _Recipe, goals: Goals, rng: np.random.Generator, advance: Steps
) -> Iterator[_Recipe]:
    """Yield better starts: from other clusters, and with synthetic rows if real ones are few."""
    part, least, frame = recipe.part, recipe.found.error, recipe.found.frame
    width = recipe.found.encoder.n_codebooks * recipe.found.encoder.n_prototypes
    copies = copies_for(width, *part.rows.shape)
    for number in range(settings.STARTS):
        used = copies if number == settings.STARTS - 1 else 0
        if number == settings.STARTS - 1 and not copies:
            return
        if not advance.allows((1 + used) * advance.predicted("start", 1)):
            return
        with advance.measured("start", 1 + used):
            here = part.with_synthetic(used, goals, rng) if used else part
            found = here.first(frame, here.first_codes(rng))
        logger.debug("start with %d synthetic rows for each: %.4g", used, found.error)
        if found.error < least:
            least = found.error
            yield _Recipe(found, here, used)
        advance()


def _turns(recipe: _Recipe, advance: Steps) -> Iterator[Found]:
    """Yield better encoders, from sweeps and then from turns of regression and new codes.

    Sweeps go on while they help. The first turns may do harm: they are followed by others as long
    as each is better than the last.
    """
    part, best = recipe.part, recipe.found
    n_turns = 0 if part.has_many_codes else settings.MAX_TURNS
    for way, most in ((part.swept, settings.MAX_SWEEPS), (part.next, n_turns)):
        last, before = best, best.error if way == part.swept else np.inf
        for turn in range(most):
            with advance.measured("turn", 1), advance.measured("algebra", part.work):
                last = way(last)
            logger.debug("%s %d: %.4g", way.__name__, turn, last.error)
            if last.error < best.error:
                best = last
                yield best
            if not advance(2 * advance.predicted("turn", 1)):
                return
            if last.error > (1 - settings.LEAST_TURN_GAIN) * before:
                break
            before = last.error


def _finishing_work(n_rows: int, B: NDArray[Any], options: Options) -> float:
    """Return about how long the regression on all outputs takes, in operations of a product."""
    n_codebooks, n_prototypes = options.n_codebooks, options.n_prototypes
    inner = n_codebooks * n_prototypes if B.shape[0] <= B.shape[1] else n_rows
    work = regression_work(n_rows, n_codebooks, n_prototypes, min(B.shape))
    return work + 2.0 * inner * B.size


def _finished(
    found: Found, sample: Sample, B: NDArray[Any], goals: Goals, options: Options
) -> Learned:
    """Return what was learned, with tables that are regressed on all outputs.

    The regression is linear in its targets, so these have the smaller of D and M columns.
    """
    codes = codes_of(found.encoder, found.frame.directions(sample.rows))
    ridge = TreeRidge.of(codes, options.n_prototypes, sample.weights, related=False)
    centred = sample.rows - goals.mean
    if B.shape[0] <= B.shape[1]:
        tables = ridge.tables(centred, found.penalty) @ goals.rest
    else:
        tables = ridge.tables(centred @ goals.rest, found.penalty)
    core = (B.astype(np.float64) @ goals.core, goals.core.T) if options.core_rank else None
    return Learned(found.encoder, tables, goals.mean @ goals.rest, ridge.gram, core)
