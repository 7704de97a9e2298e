"""Exact outputs and a learned model's scores for any rows, as tables are tuned by them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maddjit import reference
from maddjit.learning.maddness.learned import Learned
from maddjit.learning.maddness.prototypes import TreeRidge
from maddjit.learning.maddness.sample import augmented
from maddjit.models.maddness import MaddnessModel

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_COPIES, _PENALTY = 3, 3.0


@dataclass(frozen=True)
class Problem:
    """Exact outputs and the model's scores, both in units in which the mean gap is 6.

    Tables and what every row adds are one matrix, `entries` (C·K + 1, M).
    """

    stub: MaddnessModel
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
        """Prepare it; rows are centred by `mean` first, which saves digits."""
        stub = learned.encoder(len(B))
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
        return cls(stub, mean, right.astype(np.float32), added.astype(np.float32), core)

    def centred(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Return rows less their mean."""
        return (rows - self.mean).astype(np.float32)

    def exact(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Return (N, M)."""
        outputs: NDArray[np.float32] = self.centred(rows) @ self.right
        outputs += self.added
        return outputs

    def hits(self, rows: NDArray[Any]) -> csr_array:
        """Return (N, C·K + 1): which entries each row adds up."""
        from scipy.sparse import csr_array

        codes = reference.encode(self.stub, rows).astype(np.int32)
        n_rows, n_codebooks = codes.shape
        width = n_codebooks * self.stub.n_prototypes
        columns = np.full((n_rows, n_codebooks + 1), width, np.int32)
        columns[:, :-1] = codes + self.stub.n_prototypes * np.arange(n_codebooks, dtype=np.int32)
        starts = np.arange(0, columns.size + 1, n_codebooks + 1, dtype=np.int32)
        ones = np.ones(columns.size, np.float32)
        return csr_array((ones, columns.ravel(), starts), shape=(n_rows, width + 1))

    def scores(
        self, rows: NDArray[Any], hits: csr_array, entries: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return (N, M): what the model answers before its entries are rounded."""
        scores: NDArray[np.float32] = hits @ entries
        if self.core:
            projection, expansion, shared = self.core
            scores += (self.centred(rows) @ projection) @ expansion + shared
        return scores


def entries_of(learned: Learned, bias: NDArray[np.float64], unit: float) -> NDArray[np.float32]:
    """Return (C·K + 1, M): tables and what every row adds, the bias included."""
    tables = learned.tables.reshape(-1, learned.tables.shape[2])
    return (np.concatenate([tables, [learned.base + bias]]) / unit).astype(np.float32)


def with_entries(
    learned: Learned, entries: NDArray[np.float32], bias: NDArray[np.float64], unit: float
) -> Learned:
    """Return the learned with other tables; what they add to all outputs alike is left out."""
    wide = unit * (entries - entries.mean(axis=1, keepdims=True, dtype=np.float64))
    tables = wide[:-1].reshape(learned.tables.shape)
    return replace(learned, tables=tables, base=wide[-1] - bias)


def regressed(
    problem: Problem, rows: NDArray[Any], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return entries by regression on these rows and on synthetic ones."""
    sample = augmented(rows, _COPIES, rng)
    codes = reference.encode(problem.stub, sample.rows)
    regression = TreeRidge.of(codes, problem.stub.n_prototypes, sample.weights)
    tables = regression.tables(problem.centred(sample.rows), _PENALTY)
    rest, shared = problem.right, problem.added
    if problem.core:
        projection, expansion, beside = problem.core
        rest, shared = rest - projection @ expansion, shared - beside
    entries = tables.reshape(-1, len(rest)) @ rest
    return np.concatenate([entries, [shared]]).astype(np.float32)
