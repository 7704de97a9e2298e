"""Learning for the product that is asked: B is fixed, so trees and tables may know it.

Blocks of columns are chosen, trees are grown on what their block adds to A·B, trees and tables are
fitted in turns, tables are regressed with leaves drawn to their ancestors. What can be left out is
kept only if it lowers the error on rows set apart for that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.alternating import alternate
from maddjit.learning.bins import Bins, BinTree, Edges, all_codes, find_edges
from maddjit.learning.blocks import Blocks, clusters, contiguous, shuffled
from maddjit.learning.goals import Goals, leading
from maddjit.learning.growing import grow_on_bins
from maddjit.learning.learned import Learned
from maddjit.learning.options import Options
from maddjit.learning.prototypes import TreeRidge
from maddjit.learning.sample import Sample, augmented

logger = logging.getLogger(__name__)

MAX_PASSES = 4
N_STEPS = 7 + 2 * MAX_PASSES
"""Calls of `advance`, at most."""

_DIRECTIONS = 8
"""Leading directions of a block's contribution that its tree is grown on."""
_COORDINATES = 64
"""Leading directions of the outputs that steps are judged by and trees are refitted to."""
_MAX_CHOOSING = 20000
"""Rows on which choices are made, a fifth of them to judge by."""
_LEAST_GAIN = 0.003
"""Share of the error that a pass over all trees must save to be followed by another."""
_PENALTY, _PENALTIES = 3.0, (1.0, 3.0, 10.0, 30.0)
_LEAST_JUDGED = 10
_MAX_SYNTHETIC = 2**23
"""Entries of synthetic rows, where there are more than three for each real one."""
_MAX_CODES = 4096
"""C·K up to which several penalties are tried."""


@dataclass(frozen=True)
class _Rows:
    """Rows to fit to and rows to judge by, as bins and as coordinates of their products."""

    options: Options
    goals: Goals
    sample: Sample
    bins: Bins
    targets: NDArray[np.float32]
    judged_bins: Bins
    judged: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        options: Options,
        goals: Goals,
        edges: Edges,
        sample: Sample,
        judged: NDArray[Any],
    ) -> _Rows:
        return cls(
            options,
            goals,
            sample,
            Bins(sample.rows, edges),
            goals.coordinates(sample.rows),
            Bins(judged, edges),
            goals.coordinates(judged),
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


@dataclass(frozen=True)
class _Recipe:
    """What was chosen."""

    blocks: Blocks
    copies: int = 0
    penalty: float = _PENALTY
    n_passes: int = 1
    cut_short: bool = False


def learn(
    rows: NDArray[Any],
    B: NDArray[Any],
    options: Options,
    random_state: int,
    advance: Callable[[], bool],
) -> Learned:
    """Learn trees, real tables and the core: choose on a part of the rows, then use all.

    Parameters
    ----------
    rows : (N, D) float32 or float64
    B : (D, M) float32 or float64
    options : Options
    random_state : int
        Seed of the rows set apart, of synthetic rows and of blocks drawn at random.
    advance : callable
        Called after each step; if it returns False, what can be left out is left out from then on.
    """
    rng = np.random.default_rng(random_state)
    goals = Goals.of(rows, B, options.core_rank, _COORDINATES)
    edges = find_edges(rows)
    recipe = _chosen(rows, goals, edges, options, rng, advance)
    sample = augmented(rows, recipe.copies, rng)
    here = _Rows.of(options, goals, edges, sample, rows[:0])
    trees, cut_short = here.grown(recipe.blocks), recipe.cut_short
    try:
        for _ in range(recipe.n_passes):
            if not advance():
                break
            tables = here.regression(trees).tables(here.targets, recipe.penalty)
            trees = here.refitted(trees, recipe.blocks, tables)
    except KeyboardInterrupt:
        if options.on_interrupt == "raise":
            raise
        logger.warning("interrupted: the model is finished with the trees found so far")
        cut_short = True
    learned = _finished(here, trees, edges, B, recipe.penalty)
    return replace(learned, cut_short=cut_short)


def _chosen(
    rows: NDArray[Any],
    goals: Goals,
    edges: Edges,
    options: Options,
    rng: np.random.Generator,
    advance: Callable[[], bool],
) -> _Recipe:
    """Try each step on some rows, and judge it by others."""
    varying = np.flatnonzero([len(edge) > 0 for edge in edges])
    columns = varying if len(varying) >= options.n_codebooks else np.arange(len(edges))
    weighty = goals.weighty(rows, columns, options.n_codebooks)
    recipe = _Recipe(contiguous(columns, options.n_codebooks))
    order = rng.permutation(len(rows))[:_MAX_CHOOSING]
    n_judged = len(order) // 5
    if n_judged < _LEAST_JUDGED or not advance():
        return recipe
    judged, fitted = rows[order[:n_judged]], rows[order[n_judged:]]
    here = _Rows.of(options, goals, edges, Sample(fitted, len(fitted)), judged)
    trees: list[BinTree] = []
    error = np.inf
    try:
        for name, blocks in _ways(fitted, weighty, recipe.blocks, rng):
            grown = here.grown(blocks)
            now = here.error(grown, recipe.penalty)
            logger.debug("%s blocks: %.4g", name, now)
            if now < error:
                error, trees, recipe = now, grown, replace(recipe, blocks=blocks)
            if not advance():
                return recipe
        copies = _copies(options, *rows.shape)
        if copies:
            more = _Rows.of(options, goals, edges, augmented(fitted, copies, rng), judged)
            grown = more.grown(recipe.blocks)
            now = more.error(grown, recipe.penalty)
            logger.debug("%d synthetic rows for each: %.4g", copies, now)
            if now < error:
                here, trees, recipe = more, grown, replace(recipe, copies=copies)
        if not advance():
            return recipe
        recipe = replace(recipe, penalty=_best_penalty(here, trees))
        if advance():
            n_passes = _n_useful_passes(here, trees, recipe, advance)
            recipe = replace(recipe, n_passes=n_passes)
    except KeyboardInterrupt:
        if options.on_interrupt == "raise":
            raise
        logger.warning("interrupted: nothing more is tried")
        return replace(recipe, n_passes=0, cut_short=True)
    return recipe


def _ways(
    rows: NDArray[Any], columns: NDArray[np.intp], blocks: Blocks, rng: np.random.Generator
) -> Iterator[tuple[str, Blocks]]:
    """Yield ways to cut columns into blocks: all as they stand, those that matter otherwise."""
    yield "contiguous", blocks
    yield "clustered", clusters(rows, columns, len(blocks))
    yield "shuffled", shuffled(columns, len(blocks), rng)


def _copies(options: Options, n_rows: int, n_features: int) -> int:
    """Return how many synthetic rows to try for each real one."""
    if options.n_codebooks * options.n_prototypes <= n_rows / 10:
        return 0
    if n_rows < 2000:
        return int(np.clip(_MAX_SYNTHETIC // (n_rows * n_features), 3, 20))
    return 3 if n_rows < 20000 else 1


def _best_penalty(here: _Rows, trees: list[BinTree]) -> float:
    options = here.options
    if options.n_codebooks * options.n_prototypes > _MAX_CODES:
        return _PENALTIES[2]
    regression = here.regression(trees)
    errors = [
        here.error_of(trees, regression.tables(here.targets, penalty)) for penalty in _PENALTIES
    ]
    return _PENALTIES[int(np.argmin(errors))]


def _n_useful_passes(
    here: _Rows, trees: list[BinTree], recipe: _Recipe, advance: Callable[[], bool]
) -> int:
    """Return how often trees and tables are refitted in turns until it no longer helps."""
    tables = here.regression(trees).tables(here.targets, recipe.penalty)
    error = here.error_of(trees, tables)
    for n_passes in range(MAX_PASSES):
        trees = here.refitted(trees, recipe.blocks, tables)
        tables = here.regression(trees).tables(here.targets, recipe.penalty)
        before, error = error, here.error_of(trees, tables)
        logger.debug("pass over the trees: %.4g → %.4g", before, error)
        if error > before:
            return n_passes
        if error > (1 - _LEAST_GAIN) * before or not advance():
            return n_passes + 1
    return MAX_PASSES


def _finished(
    here: _Rows, trees: list[BinTree], edges: Edges, B: NDArray[Any], penalty: float
) -> Learned:
    """Regress the tables on all outputs.

    Regression is linear in its targets, so the smaller of D and M is regressed on.
    """
    goals = here.goals
    regression = here.regression(trees)
    centred = here.sample.rows - goals.mean
    if B.shape[0] <= B.shape[1]:
        tables = regression.tables(centred, penalty) @ goals.rest
    else:
        tables = regression.tables(centred @ goals.rest, penalty)
    shapes = [tree.with_thresholds(edges) for tree in trees]
    core = (B.astype(np.float64) @ goals.core, goals.core.T) if here.options.core_rank else None
    return Learned(
        split_dims=np.stack([dims for dims, _ in shapes]).astype(np.int32),
        thresholds=np.stack([thresholds for _, thresholds in shapes]),
        tables=tables,
        base=goals.mean @ goals.rest,
        gram=regression.gram,
        core=core,
    )
