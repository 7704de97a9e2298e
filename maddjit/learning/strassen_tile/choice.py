"""The choice of a start: several fits are begun, and the best is taken further."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.strassen_tile import settings
from maddjit.learning.strassen_tile.least_squares import (
    Factors,
    Fit,
    bfloat16_error,
    fit_states,
    with_values,
)
from maddjit.learning.strassen_tile.moments import Moments
from maddjit.learning.strassen_tile.sequences import split_sequences
from maddjit.models.schemes import BilinearScheme
from maddjit.models.strassen_tile import StrassenTileModel
from maddjit.reference.strassen_tile import encode_right, multiply


class Chosen(NamedTuple):
    """The start that was chosen and what was fitted to it.

    Attributes
    ----------
    start : BilinearScheme
    factors : Factors
    objective : tuple of float
        The objective before the first round and after each one.
    """

    start: BilinearScheme
    factors: Factors
    objective: tuple[float, ...]


class Judge(NamedTuple):
    """Sequences that starts are not fitted to, (S, T, D), and their product with B, (S, T, M)."""

    sequences: NDArray[Any]
    product: NDArray[np.float64]

    def error(self, start: BilinearScheme, factors: Factors) -> float:
        """Return the squared error of factors, relative to the variance of the outputs."""
        r = len(factors.E)
        scheme = BilinearScheme(
            start.name,
            start.shape,
            factors.E.reshape(r, -1).astype(np.float32),
            start.encode_b,
            factors.Dec.reshape(-1, r).astype(np.float32),
        )
        D, M = self.sequences.shape[-1], self.product.shape[-1]
        values, none = factors.V.astype(np.float32), np.zeros(M, np.float32)
        model = StrassenTileModel(scheme, D, M, values, none, 8, False, rows="tokens")
        errors = multiply(model, self.sequences) - self.product
        lost = ((errors - errors.mean(axis=(0, 1))) ** 2).sum()
        power = ((self.product - self.product.mean(axis=(0, 1))) ** 2).sum()
        return float(lost / (power or 1.0))


@dataclass
class _Trial:
    """A start, the states of its fit so far, those still to come, and who judges them, if any."""

    scheme: BilinearScheme
    moments: Moments
    judge: Judge | None
    further: Iterator[Fit]
    fits: list[Fit] = field(default_factory=list)
    errors: dict[int, float] = field(default_factory=dict)

    def error(self, which: int) -> float:
        """Return the error after a round: the mean of those in float32 and in bfloat16."""
        number = which % len(self.fits)
        if number not in self.errors:
            fit = self.fits[number]
            seen = fit.error if self.judge is None else self.judge.error(self.scheme, fit.factors)
            self.errors[number] = seen + bfloat16_error(fit.factors, self.moments) / 2
        return self.errors[number]


def n_steps(n_candidates: int, max_iterations: int) -> int:
    """Return how often `chosen_start` calls `advance`, at most."""
    return n_candidates * (min(settings.TRIED_ROUNDS, max_iterations) + 1) + max_iterations


def chosen_start(
    candidates: list[BilinearScheme],
    B: NDArray[np.float64],
    moments: Moments,
    ridge: float,
    max_iterations: int,
    advance: Callable[[], bool],
    judge: Judge | None = None,
) -> Chosen:
    """Return the best start, the factors fitted to it, and how the objective fell.

    `moments` are cut for tiles of the first candidate. `judge` has other rows, on which errors in
    float32 are compared: few rows of a wide layer let every start seem good.

    Starts are compared by the mean of their squared errors in float32 and in bfloat16, since the
    model may be compiled for either: where products cancel each other, a start with little error
    in float32 may lose more to rounding than it gains.
    """
    trials, going_on = _trials(candidates, B, moments, ridge, max_iterations, advance, judge)
    best = min(trials, key=lambda trial: trial.error(-1))
    while going_on and len(best.fits) <= max_iterations and not _is_settled(best.fits):
        best.fits.append(next(best.further))
        going_on = advance()
    scheme, fits, additions = best.scheme, best.fits, _additions(best.fits[-1].factors)
    least = best.error(-1)
    for other in trials:
        unchanged = other.fits[0]
        near = other.error(0) <= settings.SPARSE_TOLERANCE * least
        if near and _additions(unchanged.factors) < additions:
            scheme, fits, additions = other.scheme, [unchanged], _additions(unchanged.factors)
    return Chosen(scheme, fits[-1].factors, tuple(fit.objective for fit in fits))


def judged_start(
    candidates: list[BilinearScheme],
    B: NDArray[np.float64],
    moments: Moments,
    ridge: float,
    max_iterations: int,
    advance: Callable[[], bool],
    sequences: tuple[NDArray[Any], float, int],
) -> Chosen:
    """Return the start that is best for sequences that are set aside, with V fitted to all.

    `moments` are those of all `sequences`, which come with the noise that is added to them and the
    seed by which some are set aside.
    """
    rows, noise, random_state = sequences
    shape, n = candidates[0].shape, max(scheme.shape[0] for scheme in candidates)
    seen, others, _ = split_sequences(rows, settings.JUDGING_SHARE, random_state, n)
    if others is None or len(candidates) == 1:
        return chosen_start(candidates, B, moments, ridge, max_iterations, advance)
    known, judge = Moments.of(seen, B, shape, noise), Judge(others, others.astype(np.float64) @ B)
    chosen = chosen_start(candidates, B, known, ridge, max_iterations, advance, judge)
    whole = moments.cut(chosen.start.shape, *B.shape)
    return chosen._replace(factors=with_values(chosen.factors, whole, ridge))


def _trials(
    candidates: list[BilinearScheme],
    B: NDArray[np.float64],
    moments: Moments,
    ridge: float,
    max_iterations: int,
    advance: Callable[[], bool],
    judge: Judge | None,
) -> tuple[list[_Trial], bool]:
    """Return the fits of all starts after a few rounds each, and whether to go on."""
    unknowns = candidates[0].rank * moments.mean.shape[1]
    tried = settings.TRIED_ROUNDS if unknowns <= settings.MAX_TRIED_UNKNOWNS else 0
    cut = {candidates[0].shape: moments}
    trials: list[_Trial] = []
    for scheme in candidates:
        if scheme.shape not in cut:
            cut[scheme.shape] = moments.cut(scheme.shape, *B.shape)
        known = cut[scheme.shape]
        further = fit_states(scheme, encode_right(scheme, B), known, ridge)
        trial = _Trial(scheme, known, judge, further)
        trials.append(trial)
        for fit in islice(trial.further, min(tried, max_iterations) + 1):
            trial.fits.append(fit)
            if not advance():
                return trials, False
    return trials, True


def scaled(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rows (r, ·) divided by their entries of largest size, and those entries, (r, 1)."""
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, np.newaxis], axis=1)
    largest = np.where(largest == 0, 1.0, largest)
    shares = rows / largest
    return np.where(np.abs(shares) < settings.NEGLIGIBLE_ENTRY, 0.0, shares), largest


def _additions(factors: Factors) -> float:
    """Return how many terms a row's sums of A's columns and of products have, before sharing."""
    (r, n, _), (_, Dk, Mk) = factors.E.shape, factors.V.shape
    encoder, decoder = scaled(factors.E.reshape(r, -1))[0], factors.Dec
    return float((np.count_nonzero(encoder) * Dk + np.count_nonzero(decoder) * Mk) / n)


def _is_settled(fits: list[Fit]) -> bool:
    """Tell whether the last round lowered the objective too little for another one."""
    return any(
        before.objective - after.objective < settings.LEAST_ROUND_GAIN * before.objective
        for before, after in pairwise(fits[-2:])
    )
