"""The default learner, method="best": B is fixed, so trees and tables are fitted to its product.

Blocks of columns are chosen, trees are grown on what their block adds to A·B, trees and tables are
refitted in turns, and tables are regressed with leaves drawn to their ancestors. Each step that can
be left out is kept only if it lowers the error on rows that are set apart for that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness import settings
from maddjit.learning.maddness.bins import BinTree
from maddjit.learning.maddness.blocks import Blocks, clusters, clusters_work, contiguous, shuffled
from maddjit.learning.maddness.fitting import Fitting
from maddjit.learning.maddness.goals import Goals
from maddjit.learning.maddness.learned import Learned
from maddjit.learning.maddness.options import Options
from maddjit.learning.maddness.regression import regression_work
from maddjit.learning.maddness.sample import Sample, augmented, copies_for
from maddjit.learning.maddness.thresholds import find_edges
from maddjit.learning.progress import Steps
from maddjit.models.encoders import HashTrees

logger = logging.getLogger(__name__)

N_STEPS = 7 + 2 * settings.MAX_PASSES
"""The most steps of a fit: calls of `advance` by `learn`, and then by `fit`."""


@dataclass(frozen=True)
class _Recipe:
    """The choices made on a part of the rows, to be carried out on all rows.

    Attributes
    ----------
    blocks : list of (d,) intp
        The columns of each codebook.
    trees : list of BinTree, optional
        The trees that were grown for these choices, if any were.
    copies : int
        How many synthetic rows stand beside each real one.
    penalty : float
        The penalty of the tables' regression.
    n_passes : int
        How often all trees are refitted.
    """

    blocks: Blocks
    trees: list[BinTree] | None = None
    copies: int = 0
    penalty: float = settings.PENALTY
    n_passes: int = 1


def learn(
    rows: NDArray[Any],
    B: NDArray[Any],
    options: Options,
    random_state: int,
    advance: Steps,
) -> Learned:
    """Return trees, real tables and the core: choices made on some rows are then used for all.

    Parameters
    ----------
    rows : (N, D) float32 or float64
    B : (D, M) float32 or float64
    options : Options
    random_state : int
        Seed of the rows set apart, of synthetic rows and of blocks drawn at random.
    advance : Steps
        Called after each step. Once it returns False, everything that can be left out is left out.
    """
    rng = np.random.default_rng(random_state)
    goals = Goals.of(rows, B, options.core_rank, settings.N_COORDINATES)
    whole = Fitting.of(options, goals, find_edges(rows), Sample(rows, len(rows)), rows[:0])
    with advance.reserved("algebra", _finishing_work(len(rows), B, options)):
        recipe = _chosen(whole, rng, advance)
    n_rows = len(rows) * (1 + recipe.copies)
    with advance.reserved("algebra", _finishing_work(n_rows, B, options)):
        here, trees = _with_all_rows(whole, recipe, rng, advance)
        trees = _refitted(here, trees, recipe, advance)
    with advance.measured("algebra", _finishing_work(here.n_rows, B, options)):
        return _finished(here, trees, B, recipe.penalty)


def _with_all_rows(
    whole: Fitting, recipe: _Recipe, rng: np.random.Generator, advance: Steps
) -> tuple[Fitting, list[BinTree]]:
    """Return the fit to all rows, and trees grown on them, or the chosen ones if time is short."""
    trees, n_rows = recipe.trees, whole.n_rows * (1 + recipe.copies)
    if trees is None or advance.allows(advance.predicted("forest", n_rows)):
        here = whole.on(augmented(whole.sample.rows, recipe.copies, rng), whole.apart)
        return here, here.grown(recipe.blocks)
    logger.debug("there is no time to grow the trees again on all rows")
    return whole, trees


def _refitted(
    here: Fitting, trees: list[BinTree], recipe: _Recipe, advance: Steps
) -> list[BinTree]:
    """Return the trees after as many passes as were chosen, or fewer if time or patience ends."""
    n_rows = here.sample.n_real * (1 + recipe.copies)
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
        if here.options.on_interrupt == "raise":
            raise
        logger.warning("interrupted: the model is finished with the trees found so far")
        advance.stop()
    return trees


def _finishing_work(n_rows: int, B: NDArray[Any], options: Options) -> float:
    """Return about how long the regression on all outputs takes, in operations of a product."""
    n_codebooks, n_prototypes = options.n_codebooks, options.n_prototypes
    inner = n_codebooks * n_prototypes if B.shape[0] <= B.shape[1] else n_rows
    work = regression_work(n_rows, n_codebooks, n_prototypes, min(B.shape))
    return work + 2.0 * inner * B.size


def _chosen(whole: Fitting, rng: np.random.Generator, advance: Steps) -> _Recipe:
    """Return the best recipe found on some rows, as judged by others, until time is up."""
    rows, edges, options = whole.sample.rows, whole.edges, whole.options
    varying = np.flatnonzero([len(edge) > 0 for edge in edges])
    columns = varying if len(varying) >= options.n_codebooks else np.arange(len(edges))
    weighty = whole.goals.weighty(rows, columns, options.n_codebooks)
    recipe = _Recipe(contiguous(columns, options.n_codebooks))
    order = rng.permutation(len(rows))[: settings.MAX_CHOOSING]
    n_judged = len(order) // 5
    if n_judged < settings.LEAST_JUDGED or not advance():
        return recipe
    apart, fitted = rows[order[:n_judged]], rows[order[n_judged:]]
    here = whole.on(Sample(fitted, len(fitted)), apart)
    ways = _ways(fitted, weighty, recipe.blocks, rng)
    copies = copies_for(options.n_codebooks * options.n_prototypes, *rows.shape)
    try:
        for better in _choices(here, recipe, ways, copies, rng, advance):
            recipe = better
    except KeyboardInterrupt:
        if options.on_interrupt == "raise":
            raise
        logger.warning("interrupted: nothing more is tried")
        advance.stop()
    return recipe


def _choices(
    here: Fitting,
    recipe: _Recipe,
    ways: Iterable[_Way],
    copies: int,
    rng: np.random.Generator,
    advance: Steps,
) -> Iterator[_Recipe]:
    """Yield the best recipe so far: with other blocks, synthetic rows, a penalty and passes."""
    error = np.inf
    for name, find, work in ways:
        blocks = find()
        with advance.measured("forest", here.n_rows):
            grown = here.grown(blocks)
        with advance.measured("algebra", here.work):
            now = here.error(grown, recipe.penalty)
        logger.debug("%s blocks: %.4g", name, now)
        if now < error:
            error, recipe = now, replace(recipe, trees=grown, blocks=blocks)
            yield recipe
        needed = advance.predicted("algebra", here.work + work)
        if not advance(needed + advance.predicted("forest", here.n_rows)):
            return
    n_more = here.n_rows * (1 + copies)
    if copies and advance.allows(advance.predicted("forest", n_more)):
        with advance.measured("forest", n_more):
            more = here.on(augmented(here.sample.rows, copies, rng), here.apart)
            grown = more.grown(recipe.blocks)
        now = more.error(grown, recipe.penalty)
        logger.debug("%d synthetic rows for each: %.4g", copies, now)
        if now < error:
            here, recipe = more, replace(recipe, trees=grown, copies=copies)
            yield recipe
    if not advance(len(settings.PENALTIES) * advance.predicted("algebra", here.work)):
        return
    recipe = replace(recipe, penalty=_best_penalty(here, recipe.trees or []))
    yield recipe
    if advance(2 * advance.predicted("algebra", here.work)):
        yield _with_passes(here, recipe, advance)


_Way = tuple[str, Callable[[], Blocks], float]
"""A way to cut columns into blocks: its name, its function, and the work of the next way."""


def _ways(
    rows: NDArray[Any], columns: NDArray[np.intp], blocks: Blocks, rng: np.random.Generator
) -> Iterator[_Way]:
    """Yield ways to cut columns into blocks: the given blocks, then new ones of some `columns`.

    Each way says how much work it takes to find the blocks of the next way.
    """
    n_blocks = len(blocks)
    yield "contiguous", lambda: blocks, clusters_work(len(rows), len(columns))
    yield "clustered", lambda: clusters(rows, columns, n_blocks), 0.0
    yield "shuffled", lambda: shuffled(columns, n_blocks, rng), 0.0


def _best_penalty(here: Fitting, trees: list[BinTree]) -> float:
    """Return the penalty of the tables' regression with the least error."""
    options = here.options
    if options.n_codebooks * options.n_prototypes > settings.MAX_CODES:
        return settings.PENALTY_OF_MANY
    regression = here.regression(trees)
    errors = [
        here.error_of(trees, regression.tables(here.targets, penalty))
        for penalty in settings.PENALTIES
    ]
    return settings.PENALTIES[int(np.argmin(errors))]


def _with_passes(here: Fitting, recipe: _Recipe, advance: Steps) -> _Recipe:
    """Return the recipe with trees refitted in turns with tables, until that no longer helps."""
    trees = recipe.trees or []
    tables = here.regression(trees).tables(here.targets, recipe.penalty)
    error = here.error_of(trees, tables)
    for n_passes in range(settings.MAX_PASSES):
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
        if error > (1 - settings.LEAST_PASS_GAIN) * before or not advance(needed):
            return recipe
    return recipe


def _finished(here: Fitting, trees: list[BinTree], B: NDArray[Any], penalty: float) -> Learned:
    """Return what was learned, with tables that are regressed on all outputs.

    The regression is linear in its targets, so these have the smaller of D and M columns.
    """
    goals = here.goals
    regression = here.regression(trees)
    centred = here.sample.rows - goals.mean
    if B.shape[0] <= B.shape[1]:
        tables = regression.tables(centred, penalty) @ goals.rest
    else:
        tables = regression.tables(centred @ goals.rest, penalty)
    shapes = [tree.with_thresholds(here.edges) for tree in trees]
    core = (B.astype(np.float64) @ goals.core, goals.core.T) if here.options.core_rank else None
    return Learned(
        HashTrees(
            np.stack([dims for dims, _ in shapes]),
            np.stack([thresholds for _, thresholds in shapes]),
            len(B),
        ),
        tables=tables,
        base=goals.mean @ goals.rest,
        gram=regression.gram,
        core=core,
    )
