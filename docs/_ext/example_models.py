"""The small models that the pictures of "How it works" show, fitted when the page is built."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

import maddjit

WIDTH = 360
"""Of every picture: as wide as a phone."""
N_FEATURES = 16


@dataclass(frozen=True)
class Example:
    """What is drawn.

    Attributes
    ----------
    model : maddjit.MaddnessModel
        Four codebooks of eight codes, from 16 columns to six outputs.
    A_train : (3000, 16) float32
        Smooth curves of 16 samples.
    rows : (12, 16) float32
        Like them, not fitted to.
    shown : int
        The row of these that falls through the trees.
    codebook : int
        The tree that is drawn, one that compares more than one column if there is such a tree.
    B : (16, 6) float32
    ranking : maddjit.MaddnessModel
        A calibrated model of 24 outputs.
    queries : (1000, 16) float32
        Rows for it.
    """

    model: maddjit.MaddnessModel
    A_train: NDArray[np.float32]
    rows: NDArray[np.float32]
    shown: int
    codebook: int
    B: NDArray[np.float32]
    ranking: maddjit.MaddnessModel
    queries: NDArray[np.float32]


@cache
def example() -> Example:
    """Fit the models: a second or two."""
    rng = np.random.default_rng(4)
    waves = np.cos(np.pi * np.outer(np.arange(5), np.arange(N_FEATURES) + 0.5) / N_FEATURES)
    size = np.array([0.3, 1.0, 0.8, 0.4, 0.15])

    def curves(n: int) -> NDArray[np.float32]:
        return (rng.standard_normal((n, len(size))) * size @ waves).astype(np.float32)

    A_train, B = curves(3000), rng.standard_normal((N_FEATURES, 6)).astype(np.float32)
    model = maddjit.fit(A_train, B, n_codebooks=4, n_prototypes=8)
    many = rng.standard_normal((N_FEATURES, 24)).astype(np.float32)
    ranking = maddjit.fit(A_train, many, n_codebooks=4, n_prototypes=8, objective="argmax")
    ranking = maddjit.calibrate(ranking, curves(3000), many)
    rows = curves(12)
    rows = rows[np.argsort(rows @ waves[1])]
    codebook = max(range(4), key=lambda c: len(set(model.split_dims[c])))
    # Of the rows that turn both ways in this tree, one whose compared numbers can be seen.
    turns = ~np.isin(maddjit.reference.encode(model, rows)[:, codebook], (0, 7))
    seen = np.abs(rows[:, model.split_dims[codebook]]).min(axis=1)
    shown = int((seen * turns).argmax())
    return Example(model, A_train, rows, shown, codebook, B, ranking, curves(1000))
