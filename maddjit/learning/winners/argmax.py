"""Tables tuned to name each row's largest output, for objective="argmax"; the trees stay.

The tables are changed by the steps of `maddjit.learning.winners.descent`. Rows that are set apart
choose the β of its loss and how many rounds are taken.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness.learned import Learned
from maddjit.learning.maddness.options import Options
from maddjit.learning.maddness.regression import regression_work
from maddjit.learning.progress import Steps
from maddjit.learning.ranking import Standing, standing
from maddjit.learning.winners import settings
from maddjit.learning.winners.descent import rounds, visits
from maddjit.learning.winners.problem import (
    Problem,
    entries_of,
    regressed,
    unit_of,
    with_entries,
)

logger = logging.getLogger(__name__)

N_STEPS = 1 + len(settings.FACTORS) + settings.MAX_ROUNDS + settings.MAX_ROUNDS + 1
"""The most calls of `advance` by `tune`."""


@dataclass(frozen=True)
class _Found:
    """Entries after `at` of `n_rounds` rounds, and how they stand on the rows set apart.

    Entries are in the unit of the problem, and β is `factor` in its inverse.
    """

    standing: Standing
    entries: NDArray[np.float32]
    unit: float
    factor: float = 1.0
    at: int = 0
    n_rounds: int = 0

    def or_better(self, other: _Found, first: _Found) -> _Found:
        """Return a copy of `other` if it costs less than this and is nowhere worse than `first`."""
        cheaper = other.standing.cost < self.standing.cost
        if cheaper and other.standing.no_worse_than(first.standing):
            return replace(other, entries=other.entries.copy())
        return self


def tune(
    learned: Learned,
    rows: NDArray[Any],
    B: NDArray[Any],
    bias: NDArray[np.float64],
    options: Options,
    random_state: int,
    advance: Steps,
) -> tuple[Learned, float | None]:
    """Return what was learned with tuned tables, and the β of the loss that they were tuned by.

    If there is nothing to tune by, no time, or nothing better, the given tables are returned, and β
    is None.

    A fifth of the rows, 2000 at most, are set apart. They choose one of three β after short
    trials, and the best round. Tables that name fewer of their winners than those at the start, or
    need longer lists for them, are never taken. If rows are few, the start is regressed without the
    rows set apart, and the chosen steps are then repeated with all rows; nothing judges the result.
    """
    n_codebooks, n_prototypes, n_outputs = learned.tables.shape
    n_rows = min(len(rows), 4 * settings.FEW_ROWS)
    work = regression_work(n_rows, n_codebooks, n_prototypes, len(B))
    if n_outputs < 2 or not advance.allows(advance.predicted("algebra", work)):
        return learned, None
    best: _Found | None = None
    rng = np.random.default_rng(random_state)
    try:
        with np.errstate(all="ignore"):  # entries that are not finite are never taken
            for found, n_next in _search(learned, rows, B, bias, rng, advance):
                best = found
                if not advance(advance.predicted("tuning", n_next)):
                    break
    except KeyboardInterrupt:
        if options.on_interrupt == "raise":
            raise
        logger.warning("interrupted: the tables are the best so far")
        advance.stop()
    if best is None or best.at == 0:
        return learned, None
    return with_entries(learned, best.entries, bias, best.unit), best.factor / best.unit


@dataclass(frozen=True)
class _Search:
    """The rows, their exact outputs and the settings that all parts of a search share.

    Attributes
    ----------
    problem : Problem
    unit : float
    rows : (N, D)
    order : (N,) intp
        The rows in the order in which they are set apart, and then kept for steps.
    apart : (n, D)
        The rows set apart, with `exact`, their exact outputs, and `hits`, the entries they add up.
    rng : numpy.random.Generator
    advance : Steps
    """

    problem: Problem
    unit: float
    rows: NDArray[Any]
    order: NDArray[np.intp]
    apart: NDArray[Any]
    exact: NDArray[np.float32]
    hits: Any
    rng: np.random.Generator
    advance: Steps

    @property
    def kept(self) -> NDArray[np.intp]:
        """The rows that are not set apart."""
        return self.order[len(self.apart) :]

    def stands(self, entries: NDArray[np.float32]) -> Standing:
        """Return how entries stand on the rows set apart."""
        return standing(self.problem.scores(self.apart, self.hits, entries), self.exact)

    def rounds(
        self, start: NDArray[np.float32], kept: NDArray[np.intp], factor: float, n_rounds: int
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the entries after each round of steps over the kept rows."""
        return rounds(self.problem, start, self.rows, kept, factor, n_rounds, self.rng)


def _search(
    learned: Learned,
    rows: NDArray[Any],
    B: NDArray[Any],
    bias: NDArray[np.float64],
    rng: np.random.Generator,
    advance: Steps,
) -> Iterator[tuple[_Found, int]]:
    """Yield the best so far: the start, a short trial of each β, and rounds with the best β.

    With each comes how many rows, with their synthetic copies, are visited before the next. If rows
    are few, the start must not have known those set apart, and what was chosen is in the end done
    with all rows.
    """
    order = rng.permutation(len(rows))
    n_apart = min(settings.MAX_APART, len(rows) // 5)
    unit = unit_of(rows[order[: settings.MAX_APART]], B, bias)
    if n_apart < settings.LEAST_APART or unit is None:
        return
    problem = Problem.of(learned, rows.mean(axis=0, dtype=np.float64), B, bias, unit)
    apart = rows[order[:n_apart]]
    with advance.measured("tuning", n_apart / settings.VISITS_OF_LOOKING):
        exact, hits = problem.exact(apart), problem.hits(apart)
    search = _Search(problem, unit, rows, order, apart, exact, hits, rng, advance)
    start = given = entries_of(learned, bias, unit)
    few = len(rows) <= settings.FEW_ROWS and len(given) <= settings.MAX_REGRESSED
    if few:
        start = regressed(problem, rows[search.kept], rng)
    first = _Found(search.stands(start), start, unit)
    logger.debug("at first, unit %.4g: %s", unit, first.standing)
    cost = B.shape[1] + start.size / settings.ENTRIES_PER_OUTPUT / settings.BATCH
    n_affordable = int(settings.MAX_OUTPUTS / cost)
    best, factor = yield from _trials(search, first, n_affordable)
    best = yield from _all_rounds(search, first, best, factor, n_affordable)
    if few and best is not first:
        yield from _with_all_rows(search, given, best)


def _trials(
    search: _Search, first: _Found, n_affordable: int
) -> Generator[tuple[_Found, int], None, tuple[_Found, float]]:
    """Yield the best so far, before and after a short trial of each β; return it and the best β."""
    n_tried = 1 + n_affordable // (len(settings.FACTORS) * settings.TRIED_ROUNDS)
    tried = search.kept[: min(settings.TRIED_ROWS, n_tried)]
    work, n_rounds = settings.TRIED_ROUNDS * visits(len(tried)), settings.TRIED_ROUNDS
    best, costs = first, []
    yield best, work
    for factor in settings.FACTORS:
        with search.advance.measured("tuning", work):
            *_, last = search.rounds(first.entries, tried, factor, n_rounds)
            trial = _Found(search.stands(last), last, search.unit, factor, n_rounds, n_rounds)
        logger.debug("β = %g units: %s", factor, trial.standing)
        costs.append(trial.standing.cost)
        best = best.or_better(trial, first)
        yield best, work
    return best, settings.FACTORS[int(np.argmin(costs))]


def _all_rounds(
    search: _Search, first: _Found, best: _Found, factor: float, n_affordable: int
) -> Generator[tuple[_Found, int], None, _Found]:
    """Yield the best so far after each round over the kept rows with one β; return it."""
    kept = search.kept[: 1 + n_affordable // settings.LEAST_ROUNDS]
    n_rounds = int(np.clip(n_affordable // len(kept), settings.LEAST_ROUNDS, settings.MAX_ROUNDS))
    entries_after = search.rounds(first.entries, kept, factor, n_rounds)
    for at in range(1, n_rounds + 1):
        with search.advance.measured("tuning", visits(len(kept))):
            entries = next(entries_after)
            found = _Found(search.stands(entries), entries, search.unit, factor, at, n_rounds)
        logger.debug("round %d: %s", at, found.standing)
        best = best.or_better(found, first)
        yield best, visits(len(kept))
    return best


def _with_all_rows(
    search: _Search, given: NDArray[np.float32], best: _Found
) -> Iterator[tuple[_Found, int]]:
    """Repeat the best's rounds with all rows; yield the best meanwhile, then the new entries."""
    again = search.rounds(given, search.order, best.factor, best.n_rounds)
    for entries in islice(again, best.at):
        last = entries
        yield best, visits(len(search.order))
    yield replace(best, entries=last), 0
