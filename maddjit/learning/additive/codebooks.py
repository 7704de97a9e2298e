"""Prototypes of additive codes: first guesses, their integers, and the codes that these choose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.additive import settings
from maddjit.learning.additive.clustering import clustered, nearest
from maddjit.learning.additive.frame import Frame, exact_product
from maddjit.learning.additive.weights import byte_scales, rounded
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
    frame: Frame, prototypes: NDArray[np.float64], u: NDArray[np.float32], counts: NDArray[np.intp]
) -> AdditiveCodes:
    """Return the encoder that chooses, in integers, the nearest of prototypes (C, K, r) in turn.

    Prototypes are directions less the origin, and add up. Distances are those of coordinates. What
    the weights of a codebook have in common changes no choice and is taken away. Each codebook has
    a scale of its own, and the shift with which its scores for some of the directions `u` take half
    of 16 bits. `counts` (C, K) says how often each code was chosen.
    """
    n_codebooks, _, rank = prototypes.shape
    exact = prototypes @ (frame.back @ frame.back.T)
    shared = exact.mean(axis=1, keepdims=True)
    scales, shrunk = _scales(exact - shared, counts)
    few = u[:: -(-len(u) // settings.SCORED_ROWS)]
    left = few - frame.origin
    halves = np.einsum("ckr,ckr->ck", prototypes, exact) / 2
    weights = np.empty(exact.shape, np.int8)
    for c in range(n_codebooks):
        wanted = (exact[c] - shared[c]).T
        weights[c] = rounded(wanted, scales[c] * shrunk[c], left.T @ left).T
        left -= prototypes[c][(halves[c] - left @ exact[c].T).argmin(axis=1)]
    flat, bytes_ = prototypes.reshape(-1, rank), weights.reshape(-1, rank)
    gram = (flat @ bytes_.T.astype(np.float64)).reshape(*halves.shape, *halves.shape)
    # The prototype that the weights stand for, whose square the norm is half of.
    norms = np.einsum("ckck->ck", gram) / 2 + (
        (scales * shrunk.T).T / 2 * (prototypes @ shared.transpose(0, 2, 1))[:, :, 0]
    )
    norms += weights @ frame.origin
    later = np.arange(n_codebooks)[:, np.newaxis] < np.arange(n_codebooks)
    gram = np.where(later[:, np.newaxis, :, np.newaxis], gram, 0)
    scores = norms.ravel() - exact_product(few, bytes_.T)
    largest = np.maximum(
        np.abs(scores).reshape(-1, *norms.shape).max(axis=(0, 2)), np.abs(gram).max(axis=(0, 1, 3))
    )
    shifts = np.maximum(np.ceil(np.log2(np.maximum(largest, 1) / settings.MOST_SCORE)), 0)
    units = 2.0**shifts
    return AdditiveCodes(
        frame.row_scale,
        frame.row_offset,
        frame.projection,
        weights,
        np.rint(norms + (units[:, np.newaxis] - 1) / 2).astype(np.int32),  # what shifts cut off
        shifts.astype(np.int32),
        np.rint(gram / units[:, np.newaxis]).astype(np.int16),
    )


def _scales(
    weights: NDArray[np.float64], counts: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the scale of each codebook (C,), and by how much prototypes are shrunk, (C, K).

    A few rows far out may have prototypes that would take all the bits from the others. Prototypes
    of few rows in all are therefore shrunk to what bytes hold, and their norms alike, which keeps
    the plane half way between them and the middle.
    """
    finest = byte_scales(weights)
    scales = np.empty(len(finest))
    for c, (each, count) in enumerate(zip(finest, counts, strict=True)):
        order = np.argsort(each, kind="stable")
        many = np.cumsum(count[order]) > settings.SHRUNK_SHARE * count.sum()
        scales[c] = each[order][int(many.argmax())]
    return scales, np.minimum(finest / scales[:, np.newaxis], 1)


def counts_of(codes: NDArray[np.uint8], n_prototypes: int) -> NDArray[np.intp]:
    """Return how often each code occurs, (C, K)."""
    return np.stack([np.bincount(column, minlength=n_prototypes) for column in codes.T])


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
