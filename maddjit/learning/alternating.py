"""Trees and tables in turns: each tree is fitted again to what the others leave.

Carreira-Perpiñán & Tavallali, *Alternating optimization of decision trees*, NeurIPS 2018: with all
else fixed, a node's best split separates the rows that are cheaper on its left from the others.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.bins import N_BINS, BinTree, sum_by

_LEAST_GAIN = 1e-3
"""Share of what a level saves against sending all rows left that another column must add."""


def refit(
    tree: BinTree,
    bins: NDArray[np.uint8],
    columns: NDArray[np.intp],
    goals: NDArray[np.float32],
    table: NDArray[np.float32],
    weights: NDArray[np.float32],
) -> BinTree:
    """Choose the splits again, level by level from the leaves up, for the table as it is.

    Parameters
    ----------
    tree : BinTree
    bins : (D, N) uint8
    columns : (d,) intp
        Those that may be split.
    goals : (N, Q) float32
        What the tree's table is to look up for each row.
    table : (K, Q) float32
    weights : (N,) float32

    Returns
    -------
    BinTree
        One whose weighted squared error on these rows is not larger.
    """
    rows = np.arange(len(goals))
    costs = (table**2).sum(axis=1) - 2 * (goals @ table.T)
    costs *= weights[:, np.newaxis]
    nodes = [np.zeros(len(rows), np.int32)]
    for level in range(tree.depth - 1):
        nodes.append(tree.descend(bins, nodes[-1], level, level + 1))
    for level in reversed(range(tree.depth)):
        left, right = (
            tree.descend(bins, 2 * nodes[level] + side, level + 1, tree.depth) for side in (0, 1)
        )
        dearer = costs[rows, right] - costs[rows, left]
        tree = _with_best_level(tree, level, bins, columns, nodes[level], dearer)
    return tree


def _with_best_level(
    tree: BinTree,
    level: int,
    bins: NDArray[np.uint8],
    columns: NDArray[np.intp],
    node: NDArray[np.int32],
    dearer: NDArray[np.float32],
) -> BinTree:
    """Replace the level's column and cuts by better ones; `dearer` is what going right costs."""
    n_nodes = 2**level

    def costs_of(column: int) -> NDArray[np.float64]:
        """(nodes, cuts): the cost of the rows that a cut sends right."""
        keys = node * N_BINS + bins[column]
        sums = np.bincount(keys, weights=dearer, minlength=n_nodes * N_BINS)
        by_bin = sums.reshape(n_nodes, N_BINS)
        right = np.cumsum(by_bin[:, ::-1], axis=1)[:, ::-1]
        return np.concatenate([right, np.zeros((n_nodes, 1))], axis=1)

    column = int(tree.split_dims[level])
    costs = costs_of(column)
    now = costs[np.arange(n_nodes), tree.cuts_of(level)].sum()
    best, best_cuts = costs.min(axis=1).sum(), costs.argmin(axis=1)
    if best >= now:
        best, best_cuts = now, tree.cuts_of(level)
    for other in columns:
        costs = costs_of(other)
        cost = costs.min(axis=1).sum()
        if cost < best - _LEAST_GAIN * abs(best):
            best, best_cuts, column = cost, costs.argmin(axis=1), int(other)
    split_dims, cuts = tree.split_dims.copy(), tree.cuts.copy()
    split_dims[level] = column
    cuts[n_nodes - 1 : 2 * n_nodes - 1] = best_cuts
    return replace(tree, split_dims=split_dims, cuts=cuts)


def alternate(
    trees: list[BinTree],
    bins: NDArray[np.uint8],
    blocks: list[NDArray[np.intp]],
    targets: NDArray[np.float32],
    tables: NDArray[np.float32],
    weights: NDArray[np.float32],
) -> list[BinTree]:
    """Refit every tree once to what the others leave of the targets, and its table after it.

    Parameters
    ----------
    trees, blocks : lists of C
    bins : (D, N) uint8
    targets : (N, Q) float32
    tables : (C, K, Q) float32
        The best ones for these trees and targets; they are left alone.
    weights : (N,) float32
    """
    codes = [tree.codes(bins) for tree in trees]
    residual = targets.copy()
    for table, code in zip(tables, codes, strict=True):
        residual -= table[code]
    found = []
    for tree, block, table, code in zip(trees, blocks, tables, codes, strict=True):
        residual += table[code]
        better = refit(tree, bins, block, residual, table, weights)
        code = better.codes(bins)
        counts = np.bincount(code, weights=weights, minlength=len(table))
        sums = sum_by(code, len(table), residual * weights[:, np.newaxis])
        means = (sums / (counts[:, np.newaxis] + 1)).astype(np.float32)
        residual -= means[code]
        found.append(better)
    return found
