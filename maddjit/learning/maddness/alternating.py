"""Trees refitted in turns with their tables: each tree to what the other tables leave.

Carreira-Perpiñán & Tavallali, *Alternating optimization of decision trees*, NeurIPS 2018: with all
else fixed, the best split of a node separates the rows that cost less on its left from the others.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness.bins import Bins, BinTree
from maddjit.learning.maddness.growing import n_tried, step_compared, sum_by
from maddjit.learning.maddness.settings import LEAST_LEVEL_GAIN, N_BINS, N_COARSE


def refit(
    tree: BinTree,
    bins: Bins,
    columns: NDArray[np.intp],
    targets: NDArray[np.float32],
    table: NDArray[np.float32],
    weights: NDArray[np.float32],
) -> BinTree:
    """Return a tree with better splits for the same table, found level by level from the leaves.

    Parameters
    ----------
    tree : BinTree
    bins : Bins
    columns : (d,) intp
        The columns that may be split.
    targets : (N, Q) float32
        What the table should give for each row.
    table : (K, Q) float32
    weights : (N,) float32

    Returns
    -------
    BinTree
        Its weighted squared error on these rows is not larger than that of `tree`.
    """
    rows = np.arange(len(targets))
    costs = (table**2).sum(axis=1) - 2 * (targets @ table.T)
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
    bins: Bins,
    columns: NDArray[np.intp],
    node: NDArray[np.int32],
    dearer: NDArray[np.float32],
) -> BinTree:
    """Return the tree with a better column and better cuts at one level, if there are any.

    `dearer` is what each row costs more on the right than on the left. Columns are compared as
    when trees are grown: all of them on a part of the rows, then the best ones on all rows.
    """
    n_nodes = 2**level
    column = int(tree.split_dims[level])
    (own,) = _costs(bins[column][np.newaxis], N_BINS, node, n_nodes, dearer)
    best, cuts = own[np.arange(n_nodes), tree.cuts_of(level)].sum(), tree.cuts_of(level)
    if own.min(axis=1).sum() < best:
        best, cuts = own.min(axis=1).sum(), own.argmin(axis=1)
    n_best, step = n_tried(len(columns)), step_compared(len(node), 2**tree.depth)
    if n_best < len(columns):
        coarse = bins.coarse(columns, step)
        costs = _costs(coarse, N_COARSE, node[::step], n_nodes, dearer[::step])
        order = np.argsort(costs.min(axis=2).sum(axis=1), kind="stable")
        columns = columns[np.sort(order[:n_best])]
    costs = _costs(bins.of(columns), N_BINS, node, n_nodes, dearer)
    sums = costs.min(axis=2).sum(axis=1)
    other = int(np.argmin(sums))
    if sums[other] < best - LEAST_LEVEL_GAIN * abs(best):
        column, cuts = int(columns[other]), costs[other].argmin(axis=1)
    split_dims, all_cuts = tree.split_dims.copy(), tree.cuts.copy()
    split_dims[level] = column
    all_cuts[n_nodes - 1 : 2 * n_nodes - 1] = cuts
    return replace(tree, split_dims=split_dims, cuts=all_cuts)


def _costs(
    bins: NDArray[np.uint8],
    n_bins: int,
    node: NDArray[np.int32],
    n_nodes: int,
    dearer: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Return the cost of the rows that each cut sends right, (d, nodes, cuts), for `bins` (d, N).

    The last cut sends no row right.
    """
    by_bin = np.empty((len(bins), n_nodes, n_bins))
    first, cost = node.astype(np.intp) * n_bins, dearer.astype(np.float64)
    for sums, column in zip(by_bin, bins, strict=True):
        found = np.bincount(first + column, weights=cost, minlength=sums.size)
        sums[:] = found.reshape(sums.shape)
    costs = np.zeros((len(bins), n_nodes, n_bins + 1))
    costs[..., :-1] = np.cumsum(by_bin[..., ::-1], axis=2)[..., ::-1]
    return costs


def alternate(
    trees: list[BinTree],
    bins: Bins,
    blocks: list[NDArray[np.intp]],
    targets: NDArray[np.float32],
    tables: NDArray[np.float32],
    weights: NDArray[np.float32],
) -> list[BinTree]:
    """Return all trees, each refitted once to what the tables of the others leave of the targets.

    After each tree its table is set to the means of what is left.

    Parameters
    ----------
    trees, blocks : lists of C
    bins : Bins
    targets : (N, Q) float32
    tables : (C, K, Q) float32
        The best tables for these trees and targets; they are not changed.
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
