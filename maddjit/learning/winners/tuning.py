"""Tables tuned to name each row's largest output, rather than to approximate all outputs.

Adam on the entries of all tables; the trees stay. The loss is the Kullback-Leibler divergence of
softmax(β·ŷ) from softmax(β·y), so outputs that are far behind count for nothing, plus a little of
the squared error. B is known, so synthetic rows with exact products are drawn for every step.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness.learned import Learned
from maddjit.learning.maddness.options import Options
from maddjit.learning.maddness.prototypes import regression_work
from maddjit.learning.maddness.sample import Sample, augmented
from maddjit.learning.progress import Steps
from maddjit.learning.ranking import Standing, softmax, standing
from maddjit.learning.winners.adam import Adam
from maddjit.learning.winners.problem import Problem, entries_of, regressed, with_entries

logger = logging.getLogger(__name__)

_LEAST_ROUNDS, MAX_ROUNDS = 2, 12
_FACTORS = (1.0, 0.5, 2.0)
N_STEPS = 1 + len(_FACTORS) + MAX_ROUNDS + MAX_ROUNDS + 1
"""Calls of `advance`, at most."""

_GAP = 6.0
"""β times the mean distance of the best output from the second."""
_SQUARED_ERROR = 0.05
_SYNTHETIC_WEIGHT, _COPIES = 0.3, 3
_BATCH = 256
_RATE = 0.05
_LEAST_ROWS = 2000
"""Rows that a round of steps takes at least, each several times if there are fewer."""
_TRIED_ROWS, _TRIED_ROUNDS = 10000, 2
_MAX_APART, _LEAST_APART = 2000, 10
_MAX_OUTPUTS = 1_000_000_000
"""Outputs of real rows that all rounds together may look at, about; and so may the trials."""
_ENTRIES_PER_OUTPUT = 8
"""Entries that a step changes in the time that it takes for an output of a real row."""
_FEW_ROWS, _MAX_REGRESSED = 10000, 4097
"""Rows up to which those set apart are many of all, and entries up to which these are regressed."""
_VISITS_OF_LOOKING = 10
"""Rows looked at in the time in which a step looks at one, at its copies, and learns from them."""
_TIE = 1e-6


@dataclass(frozen=True)
class _Found:
    """Entries in some unit, β in its inverse, and how they stand on the rows set apart.

    They are those after `at` of `n_rounds` rounds.
    """

    standing: Standing
    entries: NDArray[np.float32]
    unit: float
    factor: float = 1.0
    at: int = 0
    n_rounds: int = 0

    def or_better(self, other: _Found, first: _Found) -> _Found:
        """Return a copy of the other if it costs less, and nothing of it is worse than at first."""
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
    """Tune the tables; return them with the β of the loss that they were tuned by.

    If there is nothing to tune by, no time, or nothing better, they are those given, and β is None.

    A fifth of the rows, 2000 at most, are set apart. By them one of three β is chosen after short
    trials, and the best round; tables that name fewer of their winners than those at the start, or
    need longer lists for them, are never taken. Of few rows the start is regressed without those
    set apart, and what was chosen is done once more with all rows, which nothing judges then.
    """
    n_codebooks, n_prototypes, n_outputs = learned.tables.shape
    work = regression_work(min(len(rows), 4 * _FEW_ROWS), n_codebooks, n_prototypes, len(B))
    if n_outputs < 2 or not advance.allows(advance.predicted("algebra", work)):
        return learned, None
    best: _Found | None = None
    rng = np.random.default_rng(random_state)
    try:
        with np.errstate(all="ignore"):  # what is not finite is not taken
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


def _search(
    learned: Learned,
    rows: NDArray[Any],
    B: NDArray[Any],
    bias: NDArray[np.float64],
    rng: np.random.Generator,
    advance: Steps,
) -> Iterator[tuple[_Found, int]]:
    """Yield the best so far: of the start, a trial for each β, and rounds with the best β.

    With each comes how often steps look at a row, with its synthetic ones, before the next. Few
    rows are not only chosen by: the start must not have known those set apart, and what was chosen
    is in the end done with all of them.
    """
    order = rng.permutation(len(rows))
    n_apart = min(_MAX_APART, len(rows) // 5)
    unit = _unit(rows[order[:_MAX_APART]], B, bias)
    if n_apart < _LEAST_APART or unit is None:
        return
    problem = Problem.of(learned, rows.mean(axis=0, dtype=np.float64), B, bias, unit)
    apart, kept = rows[order[:n_apart]], order[n_apart:]
    with advance.measured("tuning", n_apart / _VISITS_OF_LOOKING):
        exact, hits = problem.exact(apart), problem.hits(apart)
    start = given = entries_of(learned, bias, unit)
    few = len(rows) <= _FEW_ROWS and len(given) <= _MAX_REGRESSED
    if few:
        start = regressed(problem, rows[kept], rng)

    def stands(entries: NDArray[np.float32]) -> Standing:
        return standing(problem.scores(apart, hits, entries), exact)

    first = best = _Found(stands(start), start, unit)
    logger.debug("at first, unit %.4g: %s", unit, first.standing)
    n_affordable = int(_MAX_OUTPUTS / (B.shape[1] + start.size / _ENTRIES_PER_OUTPUT / _BATCH))
    n_tried = min(_TRIED_ROWS, 1 + n_affordable // (len(_FACTORS) * _TRIED_ROUNDS))
    tried = kept[:n_tried]
    trial_work = _TRIED_ROUNDS * _visits(len(tried))
    yield best, trial_work
    costs = []
    for factor in _FACTORS:
        with advance.measured("tuning", trial_work):
            *_, last = _rounds(problem, start, rows, tried, factor, _TRIED_ROUNDS, rng)
            trial = _Found(stands(last), last, unit, factor, _TRIED_ROUNDS, _TRIED_ROUNDS)
        logger.debug("β = %g units: %s", factor, trial.standing)
        costs.append(trial.standing.cost)
        best = best.or_better(trial, first)
        yield best, trial_work
    factor = _FACTORS[int(np.argmin(costs))]
    kept = kept[: 1 + n_affordable // _LEAST_ROUNDS]
    n_rounds = int(np.clip(n_affordable // len(kept), _LEAST_ROUNDS, MAX_ROUNDS))
    rounds = _rounds(problem, start, rows, kept, factor, n_rounds, rng)
    for at in range(1, n_rounds + 1):
        with advance.measured("tuning", _visits(len(kept))):
            entries = next(rounds)
            found = _Found(stands(entries), entries, unit, factor, at, n_rounds)
        logger.debug("round %d: %s", at, found.standing)
        best = best.or_better(found, first)
        yield best, _visits(len(kept))
    if few and best is not first:
        again = _rounds(problem, given, rows, order, best.factor, best.n_rounds, rng)
        for entries in islice(again, best.at):
            last = entries
            yield best, _visits(len(order))
        yield replace(best, entries=last), 0


def _visits(n_rows: int) -> int:
    """Return how often a round of steps looks at a row: at each of them, or at few repeatedly."""
    return n_rows * -(-_LEAST_ROWS // n_rows)


def _unit(rows: NDArray[Any], B: NDArray[Any], bias: NDArray[np.float64]) -> float | None:
    """Return a sixth of the mean gap between the two best outputs; None if all but all tie."""
    n_rows = max(1, min(len(rows), 2**24 // B.shape[1]))
    outputs = rows[:n_rows].astype(np.float64) @ B + bias
    best = np.partition(outputs, -2, axis=1)[:, -2:]
    gap = float((best[:, 1] - best[:, 0]).mean())
    outputs -= outputs.mean(axis=1, keepdims=True)
    return gap / _GAP if gap > _TIE * np.abs(outputs).max() else None


def _rounds(
    problem: Problem,
    start: NDArray[np.float32],
    rows: NDArray[Any],
    kept: NDArray[np.intp],
    factor: float,
    n_rounds: int,
    rng: np.random.Generator,
) -> Iterator[NDArray[np.float32]]:
    """Yield the entries after each round of steps over the kept rows; the next changes them."""
    adam = Adam(start.copy())
    copies = _COPIES if len(rows) <= _FEW_ROWS else 1
    passes = -(-_LEAST_ROWS // len(kept))
    n_batches = -(-passes * len(kept) // _BATCH)
    for this_round in range(n_rounds):
        order = np.concatenate([rng.permutation(kept) for _ in range(passes)])
        for i, chosen in enumerate(np.array_split(order, n_batches)):
            done = (this_round + i / n_batches) / n_rounds
            rate = _RATE * (1 + np.cos(np.pi * done)) / 2
            sample = augmented(rows[chosen], copies, rng)
            adam.step(_gradient(problem, adam.entries, sample, factor), rate)
        yield adam.entries


def _gradient(
    problem: Problem, entries: NDArray[np.float32], sample: Sample, factor: float
) -> NDArray[np.float32]:
    """Return what the loss grows by with each entry, up to a factor."""
    weights = np.where(np.arange(len(sample.rows)) < sample.n_real, 1, _SYNTHETIC_WEIGHT)
    hits, exact = problem.hits(sample.rows), problem.exact(sample.rows)
    scores = problem.scores(sample.rows, hits, entries)
    steep = np.float32(factor)
    slope = scores - exact
    slope -= slope.mean(axis=1, keepdims=True)
    slope *= 2 * _SQUARED_ERROR * steep / slope.shape[1]
    slope += softmax(steep * scores)
    slope -= softmax(steep * exact)
    slope *= (weights / weights.sum()).astype(np.float32)[:, np.newaxis]
    gradient: NDArray[np.float32] = hits.T @ slope
    return gradient
