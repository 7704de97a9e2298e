"""Prototypes of additive codes: first guesses, their integers, and the codes that these choose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.additive import settings
from maddjit.learning.additive.clustering import clustered, nearest
from maddjit.learning.additive.frame import Frame, exact_product
from maddjit.learning.additive.weights import byte_scales, rounded
from maddjit.learning.maddness.regression import one_hot
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


def means_of(
    codes: NDArray[np.uint8], n_prototypes: int, centred: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Return what rows (N, r) are on average, codebook after codebook, (C, K, r).

    A codebook has the means of what the earlier ones leave. Codes without rows have 0.
    """
    left = centred.astype(np.float64)
    means = np.empty((codes.shape[1], n_prototypes, left.shape[1]))
    counts = counts_of(codes, n_prototypes)
    for c, column in enumerate(codes.T):
        sums = one_hot(column[:, np.newaxis], n_prototypes).T @ left
        means[c] = sums / np.maximum(counts[c], 1)[:, np.newaxis]
        left -= means[c][column]
    return means


def swept(
    prototypes: NDArray[np.float64],
    codes: NDArray[np.uint8],
    centred: NDArray[np.floating[Any]],
    metric: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return prototypes and codes after a sweep of coordinate descent over all codebooks.

    Each codebook has the means of what all others leave, and then rows choose anew in it alone.
    Neither step raises the squared error of rows (N, r) with their codes, as the metric has it.
    """
    prototypes, codes = prototypes.copy(), codes.copy()
    left = centred.astype(np.float64)
    for ours, column in zip(prototypes, codes.T, strict=True):
        left -= ours[column]
    for ours, column in zip(prototypes, codes.T, strict=True):
        left += ours[column]
        counts = np.bincount(column, minlength=len(ours))[:, np.newaxis]
        sums = one_hot(column[:, np.newaxis], len(ours)).T @ left
        ours[:] = np.where(counts > 0, sums / np.maximum(counts, 1), ours)
        exact = ours @ metric
        column[:] = ((ours * exact).sum(axis=1) / 2 - left @ exact.T).argmin(axis=1)
        left -= ours[column]
    return prototypes, codes


def counts_of(codes: NDArray[np.uint8], n_prototypes: int) -> NDArray[np.intp]:
    """Return how often each code occurs, (C, K)."""
    return np.stack([np.bincount(column, minlength=n_prototypes) for column in codes.T])


def encoder_of(
    frame: Frame, prototypes: NDArray[np.float64], u: NDArray[np.float32], counts: NDArray[np.intp]
) -> AdditiveCodes:
    """Return the encoder that chooses, in integers, the nearest of prototypes (C, K, r) in turn.

    Prototypes are directions less the origin, and add up. Distances are those of coordinates. What
    the weights of a codebook have in common changes no choice and is taken away. Each codebook has
    a scale of its own, and the shift with which its scores for some of the directions `u` take half
    of 16 bits. `counts` (C, K) says how often each code was chosen.
    """
    n_codebooks, n_prototypes, rank = prototypes.shape
    metric = frame.back @ frame.back.T
    few = u[:: -(-len(u) // settings.SCORED_ROWS)]
    left = few - frame.origin
    weights = np.empty(prototypes.shape, np.int8)
    norms = np.empty((n_codebooks, n_prototypes), np.int32)
    shifts = np.empty(n_codebooks, np.int32)
    gram = np.zeros((n_codebooks, n_prototypes, n_codebooks, n_prototypes), np.int16)
    for c, ours in enumerate(prototypes):
        exact = ours @ metric
        shared = exact.mean(axis=0)
        scales = _scales(exact - shared, counts[c])
        weights[c] = rounded((exact - shared).T, scales, left.T @ left).T
        real = weights[c].astype(np.float64)
        # Half the square of a prototype is that of what its weights stand for.
        halves = ((ours * real).sum(axis=1) + scales * (ours @ shared)) / 2
        level = halves + real @ frame.origin
        added = prototypes[:c].reshape(-1, rank) @ real.T
        scores = level - exact_product(few, weights[c].T)
        largest = max(np.abs(scores).max(), np.abs(added).max(initial=1))
        shifts[c] = max(0, int(np.ceil(np.log2(largest / settings.MOST_SCORE))))
        unit = 2.0 ** shifts[c]
        norms[c] = np.rint(level + (unit - 1) / 2)  # which the shift cuts off on average
        gram[:c, :, c] = np.rint(added / unit).reshape(c, n_prototypes, n_prototypes)
        halves = (ours * exact).sum(axis=1) / 2
        left -= ours[(halves - left @ exact.T).argmin(axis=1)]
    return AdditiveCodes(
        frame.row_scale, frame.row_offset, frame.projection, weights, norms, shifts, gram
    )


def _scales(weights: NDArray[np.float64], counts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the scale of each prototype of a codebook, (K,).

    All have the same scale but those of few rows in all, whose weights may be so large that they
    would take the bits from the others. These are shrunk to what bytes hold, and their norms alike,
    which keeps the plane half way between them and the middle.
    """
    finest = byte_scales(weights)
    order = np.argsort(finest, kind="stable")
    many = np.cumsum(counts[order]) > settings.SHRUNK_SHARE * counts.sum()
    scales: NDArray[np.float64] = np.minimum(finest, finest[order][int(many.argmax())])
    return scales


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
