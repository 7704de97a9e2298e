"""Steps of descent on the entries of all tables: Adam on the loss of naming the wrong winner.

The loss is the Kullback-Leibler divergence of softmax(β·ŷ) from softmax(β·y), so outputs that are
far behind count for nothing, plus a little of the squared error. B is known, so synthetic rows with
exact products are drawn for every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness.sample import Sample, augmented
from maddjit.learning.ranking import softmax
from maddjit.learning.winners import settings
from maddjit.learning.winners.adam import Adam
from maddjit.learning.winners.problem import Problem


def visits(n_rows: int) -> int:
    """Return how many rows a round of steps visits: each once, or few rows several times."""
    return n_rows * -(-settings.LEAST_ROWS // n_rows)


def rounds(
    problem: Problem,
    start: NDArray[np.float32],
    rows: NDArray[Any],
    kept: NDArray[np.intp],
    factor: float,
    n_rounds: int,
    rng: np.random.Generator,
) -> Iterator[NDArray[np.float32]]:
    """Yield the entries after each round of steps over the kept rows; the next round changes them.

    Parameters
    ----------
    problem : Problem
    start : (C·K + 1, M) float32
        The entries to start from; they are copied.
    rows : (N, D)
    kept : (n,) intp
        The rows that steps may look at.
    factor : float
        β in units of the problem's.
    n_rounds : int
    rng : numpy.random.Generator
    """
    adam = Adam(start.copy())
    few = len(rows) <= settings.FEW_ROWS
    copies = settings.COPIES_OF_FEW if few else settings.COPIES
    passes = -(-settings.LEAST_ROWS // len(kept))
    n_batches = -(-passes * len(kept) // settings.BATCH)
    for this_round in range(n_rounds):
        order = np.concatenate([rng.permutation(kept) for _ in range(passes)])
        for i, chosen in enumerate(np.array_split(order, n_batches)):
            done = (this_round + i / n_batches) / n_rounds
            rate = settings.RATE * (1 + np.cos(np.pi * done)) / 2
            sample = augmented(rows[chosen], copies, rng)
            adam.step(_gradient(problem, adam.entries, sample, factor), rate)
        yield adam.entries


def _gradient(
    problem: Problem, entries: NDArray[np.float32], sample: Sample, factor: float
) -> NDArray[np.float32]:
    """Return how fast the loss grows with each entry, (C·K + 1, M), up to a factor."""
    is_real = np.arange(len(sample.rows)) < sample.n_real
    weights = np.where(is_real, 1, settings.SYNTHETIC_WEIGHT)
    hits, exact = problem.hits(sample.rows), problem.exact(sample.rows)
    scores = problem.scores(sample.rows, hits, entries)
    steep = np.float32(factor)
    slope = scores - exact
    slope -= slope.mean(axis=1, keepdims=True)
    slope *= 2 * settings.SQUARED_ERROR * steep / slope.shape[1]
    slope += softmax(steep * scores)
    slope -= softmax(steep * exact)
    slope *= (weights / weights.sum()).astype(np.float32)[:, np.newaxis]
    gradient: NDArray[np.float32] = hits.T @ slope
    return gradient
