"""Exact outputs and the scores of a learned model, by which tables are tuned for winners."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maddjit import reference
from maddjit.learning.maddness.learned import Learned
from maddjit.learning.maddness.regression import TreeRidge
from maddjit.learning.maddness.sample import augmented
from maddjit.learning.winners import settings
from maddjit.models.encoders import HashTrees
from maddjit.models.maddness import MaddnessModel

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True)
class Problem:
    """Exact outputs and the scores of a model, in the unit in which their mean gap is 6.

    Tables and what every row adds stand in one matrix, `entries` (C·K + 1, M). Rows are centred by
    their mean first, which saves digits.

    Attributes
    ----------
    encoder : MaddnessModel
        A model that encodes rows.
    mean : (D,) float64
        The mean row.
    right : (D, M) float32
        B in the unit.
    added : (M,) float32
        The product of the mean row, with the bias, in the unit.
    core : tuple of arrays, optional
        Projection (D, r), expansion (r, M) in the unit, and the core's product of the mean row.
    """

    encoder: MaddnessModel
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
    ) -> Problem:
        """Return the problem of what was learned, in a unit; `mean` centres the rows."""
        encoder = learned.encoding()
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
        return cls(encoder, mean, right.astype(np.float32), added.astype(np.float32), core)

    def centred(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Return rows without the mean row, (N, D)."""
        return (rows - self.mean).astype(np.float32)

    def exact(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Return the exact outputs of rows, (N, M)."""
        outputs: NDArray[np.float32] = self.centred(rows) @ self.right
        outputs += self.added
        return outputs

    def hits(self, rows: NDArray[Any]) -> csr_array:
        """Return which entries each row adds up, (N, C·K + 1)."""
        from scipy.sparse import csr_array

        codes = reference.encode(self.encoder, rows).astype(np.int32)
        n_rows, n_codebooks = codes.shape
        width = n_codebooks * self.encoder.n_prototypes
        columns = np.full((n_rows, n_codebooks + 1), width, np.int32)
        columns[:, :-1] = codes + self.encoder.n_prototypes * np.arange(n_codebooks, dtype=np.int32)
        starts = np.arange(0, columns.size + 1, n_codebooks + 1, dtype=np.int32)
        ones = np.ones(columns.size, np.float32)
        return csr_array((ones, columns.ravel(), starts), shape=(n_rows, width + 1))

    def scores(
        self, rows: NDArray[Any], hits: csr_array, entries: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return what the model answers before its entries are rounded, (N, M)."""
        scores: NDArray[np.float32] = hits @ entries
        if self.core:
            projection, expansion, shared = self.core
            scores += (self.centred(rows) @ projection) @ expansion + shared
        return scores


def entries_of(learned: Learned, bias: NDArray[np.float64], unit: float) -> NDArray[np.float32]:
    """Return tables, and last what every row adds, bias included, in one matrix (C·K + 1, M)."""
    tables = learned.tables.reshape(-1, learned.tables.shape[2])
    return (np.concatenate([tables, [learned.base + bias]]) / unit).astype(np.float32)


def with_entries(
    learned: Learned, entries: NDArray[np.float32], bias: NDArray[np.float64], unit: float
) -> Learned:
    """Return what was learned with other tables, without what they add to all outputs alike."""
    wide = unit * (entries - entries.mean(axis=1, keepdims=True, dtype=np.float64))
    tables = wide[:-1].reshape(learned.tables.shape)
    return replace(learned, tables=tables, base=wide[-1] - bias)


def regressed(
    problem: Problem, rows: NDArray[Any], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return entries by regression on these rows and on synthetic rows."""
    sample = augmented(rows, settings.REGRESSION_COPIES, rng)
    codes = reference.encode(problem.encoder, sample.rows)
    related = isinstance(problem.encoder.encoder, HashTrees)
    regression = TreeRidge.of(codes, problem.encoder.n_prototypes, sample.weights, related)
    tables = regression.tables(problem.centred(sample.rows), settings.REGRESSION_PENALTY)
    rest, shared = problem.right, problem.added
    if problem.core:
        projection, expansion, beside = problem.core
        rest, shared = rest - projection @ expansion, shared - beside
    entries = tables.reshape(-1, len(rest)) @ rest
    return np.concatenate([entries, [shared]]).astype(np.float32)


def unit_of(rows: NDArray[Any], B: NDArray[Any], bias: NDArray[np.float64]) -> float | None:
    """Return a sixth of the mean gap between the two best outputs; None if nearly all tie."""
    n_rows = max(1, min(len(rows), 2**24 // B.shape[1]))
    outputs = rows[:n_rows].astype(np.float64) @ B + bias
    best = np.partition(outputs, -2, axis=1)[:, -2:]
    gap = float((best[:, 1] - best[:, 0]).mean())
    outputs -= outputs.mean(axis=1, keepdims=True)
    return gap / settings.GAP if gap > settings.TIE * np.abs(outputs).max() else None
