"""MADDNESS and maddjit: a row becomes one code for each codebook, and table rows are added."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import maddjit
from benchmarks.rivals.method import Floats, Method, powers_of_two


def own(
    A_train: Floats, B: Floats, n_codebooks: int, seed: int, **options: Any
) -> maddjit.CompiledOperator:
    """Fit and compile by maddjit, whatever error it warns of.

    With ``method="paper"`` that is MADDNESS as the paper describes it: Blalock & Guttag,
    Multiplying matrices without multiplying, ICML 2021.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", maddjit.AccuracyWarning)
        model = maddjit.fit(A_train, B, n_codebooks, random_state=seed, **options)
    return maddjit.compile(model)


def codebook_counts(n_features: int, _: int) -> tuple[int, ...]:
    """Return 4, 8, 16 … codebooks, at most 128 and at most as many as columns."""
    return powers_of_two(min(n_features, 128) + 1, first=4)


_PAPER = partial(own, method="paper")
METHODS = (
    Method("MADDNESS-PQ", "codebooks", partial(_PAPER, prototypes="bucket-means"), codebook_counts),
    Method("MADDNESS", "codebooks", partial(_PAPER, prototypes="ridge"), codebook_counts),
)
