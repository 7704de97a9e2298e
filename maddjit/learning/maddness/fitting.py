"""Trees and tables fitted to rows, and judged by other rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness import settings
from maddjit.learning.maddness.alternating import alternate
from maddjit.learning.maddness.bins import Bins, BinTree, all_codes
from maddjit.learning.maddness.blocks import Blocks
from maddjit.learning.maddness.goals import Goals, leading
from maddjit.learning.maddness.growing import grow_on_bins
from maddjit.learning.maddness.options import Options
from maddjit.learning.maddness.regression import TreeRidge, regression_work
from maddjit.learning.maddness.sample import Sample
from maddjit.learning.maddness.thresholds import Edges


@dataclass(frozen=True)
class Fitting:
    """Rows to fit to and rows to judge by, as bins and as coordinates of their products.

    Attributes
    ----------
    options : Options
    goals : Goals
        What tables should add up to.
    edges : Edges
        The thresholds of each column.
    sample : Sample
        The rows to fit to; `bins` are the same rows as bins.
    apart : (N', D)
        The rows to judge by; `judged_bins` are the same rows as bins.
    """

    options: Options
    goals: Goals
    edges: Edges
    sample: Sample
    bins: Bins
    apart: NDArray[Any]
    judged_bins: Bins

    @classmethod
    def of(
        cls, options: Options, goals: Goals, edges: Edges, sample: Sample, apart: NDArray[Any]
    ) -> Fitting:
        """Return the fit to a sample, judged by rows that are set apart."""
        bins = Bins(sample.rows, edges)
        return cls(options, goals, edges, sample, bins, apart, Bins(apart, edges))

    def on(self, sample: Sample, apart: NDArray[Any]) -> Fitting:
        """Return a fit with the same options and goals to another sample, judged by `apart`."""
        return Fitting.of(self.options, self.goals, self.edges, sample, apart)

    @cached_property
    def targets(self) -> NDArray[np.float32]:
        """The coordinates of the rows to fit to, (N, Q)."""
        return self.goals.coordinates(self.sample.rows)

    @cached_property
    def judged(self) -> NDArray[np.float32]:
        """The coordinates of the rows to judge by, (N', Q)."""
        return self.goals.coordinates(self.apart)

    @property
    def n_rows(self) -> int:
        """The number of rows to fit to."""
        return len(self.sample.rows)

    @property
    def work(self) -> float:
        """About how long a regression on the coordinates takes, as `regression_work` counts."""
        n_targets = self.goals.right.shape[1]
        return regression_work(
            self.n_rows, self.options.n_codebooks, self.options.n_prototypes, n_targets
        )

    def grown(self, blocks: Blocks) -> list[BinTree]:
        """Return one tree for each block, grown on what the block adds to the outputs."""
        small = self.options.n_prototypes <= settings.SMALL_TREE
        least = settings.LEAST_ROWS_SMALL if small else settings.LEAST_ROWS_LARGE
        trees = []
        for block in blocks:
            added = self.goals.contribution(self.sample.rows, block)
            targets = leading(added, settings.BLOCK_DIRECTIONS)
            trees.append(grow_on_bins(self.bins, block, targets, self.options.depth, least))
        return trees

    def regression(self, trees: list[BinTree]) -> TreeRidge:
        """Return the regression of tables on the codes of these trees."""
        codes = all_codes(trees, self.bins)
        return TreeRidge.of(codes, self.options.n_prototypes, self.sample.weights)

    def refitted(
        self, trees: list[BinTree], blocks: Blocks, tables: NDArray[np.float64]
    ) -> list[BinTree]:
        """Return all trees, each refitted once to what the tables of the others leave."""
        few = tables.astype(np.float32)
        return alternate(trees, self.bins, blocks, self.targets, few, self.sample.weights)

    def error(self, trees: list[BinTree], penalty: float) -> float:
        """Return the mean squared error of trees, with the best tables, on the rows to judge by."""
        tables = self.regression(trees).tables(self.targets, penalty)
        return self.error_of(trees, tables)

    def error_of(self, trees: list[BinTree], tables: NDArray[np.float64]) -> float:
        """Return the mean squared error of trees and tables on the rows to judge by."""
        left = self.judged.astype(np.float64)
        for table, tree in zip(tables, trees, strict=True):
            left -= table[tree.codes(self.judged_bins)]
        return float(np.mean(left**2))
