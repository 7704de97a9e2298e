"""Prototypes of additive codes: first guesses, their integers, and the codes that these choose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.additive import settings
from maddjit.learning.additive.clustering import clustered, nearest
from maddjit.learning.additive.frame import Frame, exact_product
from maddjit.learning.additive.weights import byte_scales
from maddjit.models.encoders import AdditiveCodes

LEAST, MOST = np.iinfo(np.int16).min, np.iinfo(np.int16).max


def first_codes(
    coordinates: NDArray[np.float32],
    n_codebooks: int,
    n_prototypes: int,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Return codes by k-means: each codebook clusters what the earlier ones leave, (N, C)."""
    left = coordinates.copy()
    codes = np.empty((len(left), n_codebooks), np.uint8)
    for c in range(n_codebooks):
        centres = clustered(left, n_prototypes, rng)
        codes[:, c] = nearest(left, centres)
        left -= centres[codes[:, c]]
    return codes


def encoder_of(
    frame: Frame, prototypes: NDArray[np.float64], u: NDArray[np.float32]
) -> AdditiveCodes:
    """Return the encoder that chooses, in integers, the nearest of prototypes (C, K, r) in turn.

    Prototypes are directions less the origin, and add up. Distances are those of coordinates. Each
    codebook has the scale that makes its weights as large as bytes allow, and the shift with which
    its scores for some of the directions `u` take half of 16 bits.
    """
    n_codebooks, n_prototypes, rank = prototypes.shape
    real = prototypes @ (frame.back @ frame.back.T)
    scales = byte_scales(real).min(axis=1)
    weights = np.rint(scales[:, np.newaxis, np.newaxis] * real).astype(np.int8)
    flat = prototypes.reshape(-1, rank)
    gram = flat @ weights.reshape(-1, rank).T.astype(np.float64)
    norms = np.diag(gram) / 2 + weights.reshape(-1, rank) @ frame.origin
    few = u[:: -(-len(u) // settings.SCORED_ROWS)]
    scores = norms - exact_product(few, weights.reshape(-1, rank).T)
    gram = gram.reshape(n_codebooks, n_prototypes, n_codebooks, n_prototypes)
    later = np.arange(n_codebooks)[:, np.newaxis] < np.arange(n_codebooks)
    gram = np.where(later[:, np.newaxis, :, np.newaxis], gram, 0)
    largest = np.maximum(
        np.abs(scores).reshape(-1, n_codebooks, n_prototypes).max(axis=(0, 2)),
        np.abs(gram).max(axis=(0, 1, 3)),
    )
    shifts = np.maximum(np.ceil(np.log2(np.maximum(largest, 1) / settings.MOST_SCORE)), 0)
    units = 2.0**shifts
    half = np.repeat((units - 1) / 2, n_prototypes)  # what a shift cuts off on average
    return AdditiveCodes(
        frame.row_scale,
        frame.row_offset,
        frame.projection,
        weights,
        np.rint(norms + half).reshape(n_codebooks, n_prototypes).astype(np.int32),
        shifts.astype(np.int32),
        np.rint(gram / units[:, np.newaxis]).astype(np.int16),
    )


def codes_of(encoder: AdditiveCodes, u: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the codes of directions u (N, r), as `maddjit.reference.encode` has them, (N, C)."""
    n_codebooks, n_prototypes = encoder.norms.shape
    weights = encoder.prototypes.reshape(-1, encoder.rank).T
    norms, shifts = encoder.norms.ravel(), np.repeat(encoder.shifts, n_prototypes)
    gram = encoder.gram.astype(np.int32)
    codes = np.empty((len(u), n_codebooks), np.uint8)
    n_rows = max(1, settings.CODED_TOGETHER // len(norms))
    for start in range(0, len(u), n_rows):
        part = u[start : start + n_rows]
        products = exact_product(part, weights).astype(np.int32)
        scores = np.clip((norms - products) >> shifts, LEAST, MOST)
        scores = scores.reshape(-1, n_codebooks, n_prototypes)
        for c in range(n_codebooks):
            chosen = scores[:, c].argmin(axis=1)
            codes[start : start + n_rows, c] = chosen
            rest = scores[:, c + 1 :]
            rest += gram[c, :, c + 1 :][chosen]
            np.clip(rest, LEAST, MOST, out=rest)
    return codes
