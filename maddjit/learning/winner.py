"""Tables tuned to name each row's largest output, rather than to approximate all outputs.

Adam on the entries of all tables; the trees stay. The loss is the Kullback-Leibler divergence of
softmax(β·ŷ) from softmax(β·y), so outputs that are far behind count for nothing, plus a little of
the squared error. B is known, so synthetic rows with exact products are drawn for every step.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maddjit import reference
from maddjit.learning.adam import Adam
from maddjit.learning.learned import Learned
from maddjit.learning.options import Options
from maddjit.learning.ranking import Standing, softmax, standing
from maddjit.learning.sample import augmented
from maddjit.models import MaddnessModel

if TYPE_CHECKING:
    from scipy.sparse import csr_array

logger = logging.getLogger(__name__)

MAX_ROUNDS = 12
_FACTORS = (1.0, 0.5, 2.0)
N_STEPS = 1 + len(_FACTORS) + MAX_ROUNDS
"""Calls of `advance`, at most."""

_GAP = 6.0
"""β times the mean distance of the best output from the second."""
_SQUARED_ERROR = 0.05
_SYNTHETIC_WEIGHT = 0.3
_BATCH = 256
_RATE = 0.05
_LEAST_ROWS = 2000
"""Rows that a round of steps takes at least, each several times if there are fewer."""
_TRIED_ROWS, _TRIED_ROUNDS = 10000, 2
_MAX_APART, _LEAST_APART = 2000, 10
_MAX_OUTPUTS = 2_000_000_000
"""Rows × outputs × rounds from which on rounds are left out."""
_TIE = 1e-6


@dataclass(frozen=True)
class _Problem:
    """Exact outputs and the model's scores, both in units in which the mean gap is 6.

    Tables and what every row adds are one matrix, `entries` (C·K + 1, M).
    """

    stub: MaddnessModel
    mean: NDArray[np.float64]
    right: NDArray[np.float32]
    added: NDArray[np.float32]
    core: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]] | None

    @classmethod
    def of(
        cls,
        learned: Learned,
        mean: NDArray[np.float64],
        B: NDArray[Any],
        bias: NDArray[np.float64],
        unit: float,
    ) -> _Problem:
        n_codebooks, n_prototypes, _ = learned.tables.shape
        stub = MaddnessModel(
            split_dims=learned.split_dims,
            thresholds=learned.thresholds,
            tables=np.zeros((n_codebooks, n_prototypes, 1), np.uint8),
            scale=np.ones(1, np.float32),
            offset=np.zeros(1, np.float32),
            n_features=len(B),
        )
        right = B.astype(np.float64) / unit
        core = None
        if learned.core:
            projection, expansion = (part.astype(np.float64) for part in learned.core)
            core = (
                projection.astype(np.float32),
                (expansion / unit).astype(np.float32),
                (mean @ projection @ expansion / unit).astype(np.float32),
            )
        added = mean @ right + bias / unit
        return cls(stub, mean, right.astype(np.float32), added.astype(np.float32), core)

    def centred(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        return (rows - self.mean).astype(np.float32)

    def exact(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        outputs: NDArray[np.float32] = self.centred(rows) @ self.right
        outputs += self.added
        return outputs

    def hits(self, rows: NDArray[Any]) -> csr_array:
        """Return (N, C·K + 1): which entries each row adds up."""
        from scipy.sparse import csr_array

        codes = reference.encode(self.stub, rows).astype(np.int32)
        n_rows, n_codebooks = codes.shape
        width = n_codebooks * self.stub.n_prototypes
        columns = np.full((n_rows, n_codebooks + 1), width, np.int32)
        columns[:, :-1] = codes + self.stub.n_prototypes * np.arange(n_codebooks, dtype=np.int32)
        starts = np.arange(0, columns.size + 1, n_codebooks + 1, dtype=np.int32)
        ones = np.ones(columns.size, np.float32)
        return csr_array((ones, columns.ravel(), starts), shape=(n_rows, width + 1))

    def scores(
        self, rows: NDArray[Any], hits: csr_array, entries: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = hits @ entries
        if self.core:
            projection, expansion, shared = self.core
            scores += (self.centred(rows) @ projection) @ expansion + shared
        return scores


@dataclass(frozen=True)
class _Found:
    """Entries, the β they were tuned by, in units, and how they stand on the rows set apart."""

    standing: Standing
    entries: NDArray[np.float32]
    factor: float

    def or_better(self, other: _Found, first: _Found) -> _Found:
        """Return a copy of the other if it costs less, and nothing of it is worse than at first."""
        if other.standing.cost >= self.standing.cost:
            return self
        if not other.standing.no_worse_than(first.standing):
            return self
        return replace(other, entries=other.entries.copy())


def tune(
    learned: Learned,
    rows: NDArray[Any],
    B: NDArray[Any],
    bias: NDArray[np.float64],
    options: Options,
    random_state: int,
    advance: Callable[[], bool],
) -> tuple[Learned, float | None]:
    """Tune the tables; return them with the β of the loss that they were tuned by.

    If there is nothing to tune by, no time, or nothing better, they are those given, and β is None.

    A fifth of the rows, 2000 at most, are set apart. By them one of three β is chosen after short
    trials, and the best round; tables that name fewer of their winners than the ones given, or
    need longer lists for them, are never returned.
    """
    if not advance() or learned.cut_short or B.shape[1] < 2:
        return learned, None
    rng = np.random.default_rng(random_state)
    order = rng.permutation(len(rows))
    n_apart = min(_MAX_APART, len(rows) // 5)
    unit = _unit(rows[order[:_MAX_APART]], B, bias)
    if n_apart < _LEAST_APART or unit is None:
        return learned, None
    problem = _Problem.of(learned, rows.mean(axis=0, dtype=np.float64), B, bias, unit)
    start = _entries(learned, bias, unit)
    apart, kept = rows[order[:n_apart]], order[n_apart:]
    exact, hits = problem.exact(apart), problem.hits(apart)

    def found(entries: NDArray[np.float32], factor: float) -> _Found:
        now = standing(problem.scores(apart, hits, entries), exact)
        logger.debug("β = %g units: %s", factor, now)
        return _Found(now, entries, factor)

    first = best = found(start, 1.0)
    try:
        costs = []
        for factor in _FACTORS:
            some = rows[np.sort(kept[:_TRIED_ROWS])]
            *_, last = _rounds(problem, start, some, factor, _TRIED_ROUNDS, rng)
            now = found(last, factor)
            best = best.or_better(now, first)
            costs.append(now.standing.cost)
            if not advance():
                break
        else:
            factor = _FACTORS[int(np.argmin(costs))]
            n_rounds = _n_rounds(len(kept) * B.shape[1])
            for entries in _rounds(problem, start, rows[np.sort(kept)], factor, n_rounds, rng):
                best = best.or_better(found(entries, factor), first)
                if not advance():
                    break
    except KeyboardInterrupt:
        if options.on_interrupt == "raise":
            raise
        logger.warning("interrupted: the tables are the best so far")
    if best is first:
        return learned, None
    return _with_entries(learned, best.entries, bias, unit), best.factor / unit


def _unit(rows: NDArray[Any], B: NDArray[Any], bias: NDArray[np.float64]) -> float | None:
    """Return a sixth of the mean gap between the two best outputs; None if all but all tie."""
    n_rows = max(1, min(len(rows), 2**24 // B.shape[1]))
    outputs = rows[:n_rows].astype(np.float64) @ B + bias
    best = np.partition(outputs, -2, axis=1)[:, -2:]
    gap = float((best[:, 1] - best[:, 0]).mean())
    outputs -= outputs.mean(axis=1, keepdims=True)
    return gap / _GAP if gap > _TIE * np.abs(outputs).max() else None


def _n_rounds(n_outputs: int) -> int:
    return int(np.clip(_MAX_OUTPUTS // n_outputs, 2, MAX_ROUNDS))


def _entries(learned: Learned, bias: NDArray[np.float64], unit: float) -> NDArray[np.float32]:
    tables = learned.tables.reshape(-1, learned.tables.shape[2])
    return (np.concatenate([tables, [learned.base + bias]]) / unit).astype(np.float32)


def _with_entries(
    learned: Learned, entries: NDArray[np.float32], bias: NDArray[np.float64], unit: float
) -> Learned:
    """Return the learned with other tables; what they add to all outputs alike is left out."""
    wide = unit * (entries - entries.mean(axis=1, keepdims=True, dtype=np.float64))
    tables = wide[:-1].reshape(learned.tables.shape)
    return replace(learned, tables=tables, base=wide[-1] - bias)


def _rounds(
    problem: _Problem,
    start: NDArray[np.float32],
    rows: NDArray[Any],
    factor: float,
    n_rounds: int,
    rng: np.random.Generator,
) -> Iterator[NDArray[np.float32]]:
    """Yield the entries after each round of steps over the rows; the next round changes them."""
    adam = Adam(start.copy())
    passes = -(-_LEAST_ROWS // len(rows))
    n_batches = -(-passes * len(rows) // _BATCH)
    for this_round in range(n_rounds):
        order = np.concatenate([rng.permutation(len(rows)) for _ in range(passes)])
        for i, chosen in enumerate(np.array_split(order, n_batches)):
            done = (this_round + i / n_batches) / n_rounds
            rate = _RATE * (1 + np.cos(np.pi * done)) / 2
            adam.step(_gradient(problem, adam.entries, rows[chosen], factor, rng), rate)
        yield adam.entries


def _gradient(
    problem: _Problem,
    entries: NDArray[np.float32],
    rows: NDArray[Any],
    factor: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return what the loss grows by with each entry, up to a factor."""
    sample = augmented(rows, 1, rng)
    weights = np.full(len(sample.rows), _SYNTHETIC_WEIGHT, np.float32)
    weights[: sample.n_real] = 1
    hits, exact = problem.hits(sample.rows), problem.exact(sample.rows)
    scores = problem.scores(sample.rows, hits, entries)
    steep = np.float32(factor)
    slope = scores - exact
    slope -= slope.mean(axis=1, keepdims=True)
    slope *= 2 * _SQUARED_ERROR * steep / slope.shape[1]
    slope += softmax(steep * scores)
    slope -= softmax(steep * exact)
    slope *= (weights / weights.sum())[:, np.newaxis]
    gradient: NDArray[np.float32] = hits.T @ slope
    return gradient
