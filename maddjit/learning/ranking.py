"""Measures of how well scores name each row's largest output: agreement, lists, divergence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

COVERED = 0.99
"""Share of the rows whose exact winner a short list must hold."""


@dataclass(frozen=True)
class Standing:
    """How well scores name the winners of some rows.

    Attributes
    ----------
    agreement : float
        Share of the rows whose largest score is the exact winner's.
    length : float
        Mean number of outputs within the margin of the best score that holds 99 % of the winners.
    """

    agreement: float
    length: float

    @property
    def cost(self) -> float:
        """The figure to make small; infinite if scores are not numbers, as nothing is listed."""
        return self.length * (2 - self.agreement) if self.length else np.inf

    def no_worse_than(self, other: Standing) -> bool:
        """Tell whether neither agreement nor length is worse than that of `other`."""
        return self.agreement >= other.agreement and self.length <= other.length


def standing(scores: NDArray[Any], exact: NDArray[Any], covered: float = COVERED) -> Standing:
    """Return how well scores (N, M) name the winners of the exact outputs (N, M)."""
    best = scores.max(axis=1)
    behind = best - np.take_along_axis(scores, exact.argmax(axis=1)[:, np.newaxis], axis=1)[:, 0]
    margin = np.quantile(behind, covered, method="higher")
    listed = (scores >= (best - margin)[:, np.newaxis]).sum(axis=1)
    return Standing(float((behind <= 0).mean()), float(listed.mean()))


def divergence(scores: NDArray[Any], exact: NDArray[Any], sharpness: float) -> float:
    """Return the mean over rows of KL(softmax(β·exact) ‖ softmax(β·scores)); β is `sharpness`."""
    shares = softmax(sharpness * exact)
    logs = _log_softmax(sharpness * exact) - _log_softmax(sharpness * scores)
    return float(np.einsum("nm,nm->n", shares, logs).mean())


def softmax(values: NDArray[Any]) -> NDArray[Any]:
    """Return exp(v) / Σ exp(v) of each row."""
    powers: NDArray[Any] = np.exp(values - values.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def _log_softmax(values: NDArray[Any]) -> NDArray[Any]:
    """Return the logarithm of `softmax`."""
    lowered: NDArray[Any] = values - values.max(axis=1, keepdims=True)
    lowered -= np.log(np.exp(lowered).sum(axis=1, keepdims=True))
    return lowered


def agreement(scores: NDArray[Any], exact: NDArray[Any]) -> float:
    """Return the share of the rows whose first largest score is one of the largest outputs."""
    named = np.take_along_axis(exact, scores.argmax(axis=1)[:, np.newaxis], axis=1)[:, 0]
    return float((named >= exact.max(axis=1)).mean())
