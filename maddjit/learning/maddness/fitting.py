"""Rows that trees and tables are fitted to, and rows that these are judged by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness.alternating import alternate
from maddjit.learning.maddness.bins import Bins, BinTree, Edges, all_codes
from maddjit.learning.maddness.blocks import Blocks
from maddjit.learning.maddness.goals import Goals, leading
from maddjit.learning.maddness.growing import grow_on_bins
from maddjit.learning.maddness.options import Options
from maddjit.learning.maddness.prototypes import TreeRidge, regression_work
from maddjit.learning.maddness.sample import Sample

_DIRECTIONS = 8
"""Leading directions of a block's contribution that its tree is grown on."""


@dataclass(frozen=True)
class Fitting:
    """Rows to fit to and rows to judge by, as bins and as coordinates of their products."""

    options: Options
    goals: Goals
    sample: Sample
    bins: Bins
    apart: NDArray[Any]
    judged_bins: Bins

    @classmethod
    def of(
        cls, options: Options, goals: Goals, edges: Edges, sample: Sample, apart: NDArray[Any]
    ) -> Fitting:
        """Prepare it for a sample, and for rows that are set apart."""
        bins = Bins(sample.rows, edges)
        return cls(options, goals, sample, bins, apart, Bins(apart, edges))

    @cached_property
    def targets(self) -> NDArray[np.float32]:
        """Coordinates of the rows to fit to."""
        return self.goals.coordinates(self.sample.rows)

    @cached_property
    def judged(self) -> NDArray[np.float32]:
        """Coordinates of the rows to judge by."""
        return self.goals.coordinates(self.apart)

    @property
    def n_rows(self) -> int:
        """How many rows are fitted to."""
        return len(self.sample.rows)

    @property
    def work(self) -> float:
        """What a regression on the coordinates takes."""
        n_targets = self.goals.right.shape[1]
        return regression_work(
            self.n_rows, self.options.n_codebooks, self.options.n_prototypes, n_targets
        )

    def grown(self, blocks: Blocks) -> list[BinTree]:
        """Grow a tree per block on what the block adds to the outputs."""
        least = 1 if self.options.n_prototypes <= 16 else 5
        trees = []
        for block in blocks:
            added = self.goals.contribution(self.sample.rows, block)
            goals = leading(added, _DIRECTIONS)
            trees.append(grow_on_bins(self.bins, block, goals, self.options.depth, least))
        return trees

    def regression(self, trees: list[BinTree]) -> TreeRidge:
        """Prepare the tables' regression."""
        codes = all_codes(trees, self.bins)
        return TreeRidge.of(codes, self.options.n_prototypes, self.sample.weights)

    def refitted(
        self, trees: list[BinTree], blocks: Blocks, tables: NDArray[np.float64]
    ) -> list[BinTree]:
        """Refit every tree once to what the others and their tables leave."""
        few = tables.astype(np.float32)
        return alternate(trees, self.bins, blocks, self.targets, few, self.sample.weights)

    def error(self, trees: list[BinTree], penalty: float) -> float:
        """Return the mean square that trees and their tables leave of the rows to judge by."""
        tables = self.regression(trees).tables(self.targets, penalty)
        return self.error_of(trees, tables)

    def error_of(self, trees: list[BinTree], tables: NDArray[np.float64]) -> float:
        """Return the same for given tables."""
        left = self.judged.astype(np.float64)
        for table, tree in zip(tables, trees, strict=True):
            left -= table[tree.codes(self.judged_bins)]
        return float(np.mean(left**2))
