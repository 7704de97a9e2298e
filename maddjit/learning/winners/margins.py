"""The short list of a model: how far scores fall short of naming the exact winners of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit import reference
from maddjit.learning.winners import settings
from maddjit.models.maddness import MaddnessModel
from maddjit.models.short_list import ShortList


@dataclass(frozen=True, eq=False)
class ExactWinners:
    """The k largest outputs of the exact product, which short lists must hold.

    Attributes
    ----------
    B : (D, M) float32
    bias : (M,) float32
    k : int
    """

    B: NDArray[np.float32]
    bias: NDArray[np.float32]
    k: int

    def outputs(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Return the exact outputs of rows, computed in float32, (N, M)."""
        outputs: NDArray[np.float32] = rows.astype(np.float32) @ self.B + self.bias
        return outputs

    def of(self, rows: NDArray[Any]) -> NDArray[np.intp]:
        """Return the winners of rows, (N, k); of equal outputs those of the lowest indices."""
        exact, k = self.outputs(rows), self.k
        found = np.argpartition(exact, -k, axis=1)[:, -k:]
        least = np.take_along_axis(exact, found, axis=1).min(axis=1, keepdims=True)
        (tied,) = np.nonzero((exact >= least).sum(axis=1) > k)
        found[tied] = np.argsort(-exact[tied], axis=1, kind="stable")[:, :k]
        return found


def short_list(
    model: MaddnessModel, tables: NDArray[np.uint8], winners: ExactWinners, rows: NDArray[Any]
) -> ShortList:
    """Return the short list of tables of scores, with margins and lengths measured on rows."""
    look = partial(_gaps, model, tables, winners, rows)
    known = list(look()) if len(rows) * len(winners.bias) <= settings.KEPT_SCORES else None
    gaps = np.concatenate([gap for gap, _ in known or look()])
    margins, counts = _thinned(*np.unique(gaps, return_counts=True))
    bins = np.searchsorted(margins, np.arange(margins[-1] + 2))  # score below the k-th best → bin
    every = -(-len(rows) // settings.MEASURED_ROWS)
    lengths = np.concatenate(
        [_lengths(below[::every], bins, len(margins)) for _, below in known or look()]
    )
    tails = np.quantile(lengths, 0.99, axis=0, method="higher")
    return ShortList(
        k=winners.k,
        tables=tables,
        B=winners.B,
        bias=winners.bias,
        n_rows=len(rows),
        margins=margins,
        covered=np.cumsum(counts),
        lengths=np.stack([lengths.mean(axis=0), tails, lengths.max(axis=0)], axis=1),
    )


def _thinned(
    margins: NDArray[np.int32], counts: NDArray[np.intp]
) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Return at most `MAX_MARGINS` margins; rows of a margin left out count for the next larger."""
    if len(margins) <= settings.MAX_MARGINS:
        return margins, counts
    last = len(margins) - 1
    kept = np.unique(np.rint(np.geomspace(1, last + 1, settings.MAX_MARGINS)).astype(int))
    kept = last - (kept[::-1] - 1)  # the rare large margins matter most
    return margins[kept], np.diff(np.cumsum(counts)[kept], prepend=0)


def _gaps(
    model: MaddnessModel, tables: NDArray[np.uint8], winners: ExactWinners, rows: NDArray[Any]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.uint16]]]:
    """Yield, some rows at a time, each row's gap, and how far below the k-th best each score is.

    The gap is how far the least score of the winners is below the k-th best score. Scores above
    the k-th best count as not below it.
    """
    n_rows = max(1, settings.CHUNK_SCORES // (len(winners.bias) + settings.MAX_MARGINS))
    for start in range(0, len(rows), n_rows):
        part = rows[start : start + n_rows]
        found = reference.scores(model, tables, part)
        kth = np.partition(found, -winners.k, axis=1)[:, -winners.k]
        gap = kth - np.take_along_axis(found, winners.of(part), axis=1).min(axis=1)
        yield gap, np.maximum(kth[:, np.newaxis] - found, 0).astype(np.uint16)


def _lengths(
    below: NDArray[np.uint16], bins: NDArray[np.intp], n_margins: int
) -> NDArray[np.int32]:
    """Return how many scores of each row lie within each margin, (rows, margins)."""
    place = bins[np.minimum(below, len(bins) - 1)]
    flat = place + (n_margins + 1) * np.arange(len(below))[:, np.newaxis]
    counts = np.bincount(flat.ravel(), minlength=len(below) * (n_margins + 1))
    within = counts.reshape(len(below), -1)[:, :n_margins].cumsum(axis=1, dtype=np.int32)
    return within
