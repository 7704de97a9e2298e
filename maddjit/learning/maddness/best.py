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

from maddjit.learning.maddness.bins import BinTree, Edges, find_edges
from maddjit.learning.maddness.blocks import Blocks, clusters, clusters_work, contiguous, shuffled
from maddjit.learning.maddness.fitting import Fitting
from maddjit.learning.maddness.goals import Goals
from maddjit.learning.maddness.learned import Learned
from maddjit.learning.maddness.options import Options
from maddjit.learning.maddness.prototypes import regression_work
from maddjit.learning.maddness.sample import Sample, augmented
from maddjit.learning.progress import Steps

logger = logging.getLogger(__name__)

MAX_PASSES = 4
N_STEPS = 7 + 2 * MAX_PASSES
"""Calls of `advance`, at most."""

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
class _Recipe:
    """What was chosen, and the trees that were grown for it on a part of the rows, if any were."""

    blocks: Blocks
    trees: list[BinTree] | None = None
    copies: int = 0
    penalty: float = _PENALTY
    n_passes: int = 1


def learn(
    rows: NDArray[Any],
    B: NDArray[Any],
    options: Options,
    random_state: int,
    advance: Steps,
) -> Learned:
    """Learn trees, real tables and the core: choose on a part of the rows, then use all.

    Parameters
    ----------
    rows : (N, D) float32 or float64
    B : (D, M) float32 or float64
    options : Options
    random_state : int
        Seed of the rows set apart, of synthetic rows and of blocks drawn at random.
    advance : Steps
        Called after each step; if it returns False, what can be left out is left out from then on.
    """
    rng = np.random.default_rng(random_state)
    goals = Goals.of(rows, B, options.core_rank, _COORDINATES)
    edges = find_edges(rows)
    with advance.reserved("algebra", _finishing_work(len(rows), B, options)):
        recipe = _chosen(rows, goals, edges, options, rng, advance)
    trees = recipe.trees
    n_rows = len(rows) * (1 + recipe.copies)
    with advance.reserved("algebra", _finishing_work(n_rows, B, options)):
        if trees is None or advance.allows(advance.predicted("forest", n_rows)):
            sample = augmented(rows, recipe.copies, rng)
            here = Fitting.of(options, goals, edges, sample, rows[:0])
            trees = here.grown(recipe.blocks)
        else:
            logger.debug("there is no time to grow the trees again on all rows")
            here = Fitting.of(options, goals, edges, Sample(rows, len(rows)), rows[:0])
        try:
            for _ in range(recipe.n_passes):
                needed = advance.predicted("pass", n_rows) + advance.predicted("algebra", here.work)
                if not advance(needed):
                    break
                with advance.measured("algebra", here.work):
                    tables = here.regression(trees).tables(here.targets, recipe.penalty)
                with advance.measured("pass", here.n_rows):
                    trees = here.refitted(trees, recipe.blocks, tables)
        except KeyboardInterrupt:
            if options.on_interrupt == "raise":
                raise
            logger.warning("interrupted: the model is finished with the trees found so far")
            advance.stop()
    with advance.measured("algebra", _finishing_work(here.n_rows, B, options)):
        return _finished(here, trees, edges, B, recipe.penalty)


def _finishing_work(n_rows: int, B: NDArray[Any], options: Options) -> float:
    """Return what the regression on all outputs takes, and its product."""
    n_codebooks, n_prototypes = options.n_codebooks, options.n_prototypes
    inner = n_codebooks * n_prototypes if B.shape[0] <= B.shape[1] else n_rows
    work = regression_work(n_rows, n_codebooks, n_prototypes, min(B.shape))
    return work + 2.0 * inner * B.size


def _chosen(
    rows: NDArray[Any],
    goals: Goals,
    edges: Edges,
    options: Options,
    rng: np.random.Generator,
    advance: Steps,
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
    apart, fitted = rows[order[:n_judged]], rows[order[n_judged:]]
    here = Fitting.of(options, goals, edges, Sample(fitted, len(fitted)), apart)
    error = np.inf
    try:
        for name, find, work in _ways(fitted, weighty, recipe.blocks, rng):
            blocks = find()
            with advance.measured("forest", here.n_rows):
                grown = here.grown(blocks)
            with advance.measured("algebra", here.work):
                now = here.error(grown, recipe.penalty)
            logger.debug("%s blocks: %.4g", name, now)
            if now < error:
                error, recipe = now, replace(recipe, trees=grown, blocks=blocks)
            needed = advance.predicted("algebra", here.work + work)
            if not advance(needed + advance.predicted("forest", here.n_rows)):
                return recipe
        copies = _copies(options, *rows.shape)
        n_more = len(fitted) * (1 + copies)
        if copies and advance.allows(advance.predicted("forest", n_more)):
            with advance.measured("forest", n_more):
                more = Fitting.of(options, goals, edges, augmented(fitted, copies, rng), apart)
                grown = more.grown(recipe.blocks)
            now = more.error(grown, recipe.penalty)
            logger.debug("%d synthetic rows for each: %.4g", copies, now)
            if now < error:
                here, recipe = more, replace(recipe, trees=grown, copies=copies)
        if not advance(len(_PENALTIES) * advance.predicted("algebra", here.work)):
            return recipe
        recipe = replace(recipe, penalty=_best_penalty(here, recipe.trees or []))
        if advance(2 * advance.predicted("algebra", here.work)):
            recipe = _with_passes(here, recipe, advance)
    except KeyboardInterrupt:
        if options.on_interrupt == "raise":
            raise
        logger.warning("interrupted: nothing more is tried")
        advance.stop()
    return recipe


def _ways(
    rows: NDArray[Any], columns: NDArray[np.intp], blocks: Blocks, rng: np.random.Generator
) -> Iterator[tuple[str, Callable[[], Blocks], float]]:
    """Yield ways to cut columns into blocks: all as they stand, those that matter otherwise.

    With each comes the work that it takes to find the next ones.
    """
    n_blocks = len(blocks)
    yield "contiguous", lambda: blocks, clusters_work(len(rows), len(columns))
    yield "clustered", lambda: clusters(rows, columns, n_blocks), 0.0
    yield "shuffled", lambda: shuffled(columns, n_blocks, rng), 0.0


def _copies(options: Options, n_rows: int, n_features: int) -> int:
    """Return how many synthetic rows to try for each real one."""
    if options.n_codebooks * options.n_prototypes <= n_rows / 10:
        return 0
    if n_rows < 2000:
        return int(np.clip(_MAX_SYNTHETIC // (n_rows * n_features), 3, 20))
    return 3 if n_rows < 20000 else 1


def _best_penalty(here: Fitting, trees: list[BinTree]) -> float:
    options = here.options
    if options.n_codebooks * options.n_prototypes > _MAX_CODES:
        return _PENALTIES[2]
    regression = here.regression(trees)
    errors = [
        here.error_of(trees, regression.tables(here.targets, penalty)) for penalty in _PENALTIES
    ]
    return _PENALTIES[int(np.argmin(errors))]


def _with_passes(here: Fitting, recipe: _Recipe, advance: Steps) -> _Recipe:
    """Refit trees and tables in turns until it no longer helps."""
    trees = recipe.trees or []
    tables = here.regression(trees).tables(here.targets, recipe.penalty)
    error = here.error_of(trees, tables)
    for n_passes in range(MAX_PASSES):
        with advance.measured("pass", here.n_rows):
            trees = here.refitted(trees, recipe.blocks, tables)
        with advance.measured("algebra", here.work):
            tables = here.regression(trees).tables(here.targets, recipe.penalty)
            before, error = error, here.error_of(trees, tables)
        logger.debug("pass over the trees: %.4g → %.4g", before, error)
        if error > before:
            return replace(recipe, n_passes=n_passes)
        recipe = replace(recipe, trees=trees, n_passes=n_passes + 1)
        needed = advance.predicted("pass", here.n_rows) + advance.predicted("algebra", here.work)
        if error > (1 - _LEAST_GAIN) * before or not advance(needed):
            return recipe
    return recipe


def _finished(
    here: Fitting, trees: list[BinTree], edges: Edges, B: NDArray[Any], penalty: float
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
