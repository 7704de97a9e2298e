"""The paper's learner, whole: greedy trees on contiguous blocks, then a joint ridge regression."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.maddness.blocks import Blocks, contiguous
from maddjit.learning.maddness.learned import Learned
from maddjit.learning.maddness.options import Options
from maddjit.learning.maddness.paper_trees import Tree, grow
from maddjit.learning.maddness.prototypes import bucket_means, one_hot, regression_work, ridge
from maddjit.learning.progress import Steps


def learn(rows: NDArray[Any], B: NDArray[Any], options: Options, advance: Steps) -> Learned:
    """Learn trees and real tables (paper, sections 4.1 and 4.2); `advance` is called per tree."""
    blocks = contiguous(np.arange(len(B)), options.n_codebooks)
    trees = []
    for block in blocks:
        trees.append(grow(rows, block, options.depth, options.n_candidates))
        advance()
    n_codebooks, n_prototypes = options.n_codebooks, options.n_prototypes
    work = regression_work(len(rows), n_codebooks, n_prototypes, min(B.shape))
    with advance.measured("algebra", work):
        tables, base = _real_tables(rows, B, blocks, trees, options)
    return Learned(
        split_dims=np.stack([tree.split_dims for tree in trees]).astype(np.int32),
        thresholds=np.stack([tree.thresholds for tree in trees]),
        tables=tables,
        base=base,
    )


def _real_tables(
    A: NDArray[Any],
    B: NDArray[Any],
    blocks: Blocks,
    trees: list[Tree],
    options: Options,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return tables (C, K, M) and the part (M,) that every row shares: the mean row's product.

    Prototypes are the bucket means plus, for "ridge", the ridge regression of what they leave,
    over all columns. Only their products with B are needed, and regression is linear in its
    targets, so the smaller of D and M is regressed on.
    """
    B = B.astype(np.float64)
    n_prototypes = options.n_prototypes
    mean = A.mean(axis=0, dtype=np.float64)
    means = [
        bucket_means(A, block, tree, n_prototypes) - mean[block]
        for block, tree in zip(blocks, trees, strict=True)
    ]
    tables = np.stack([m @ B[block] for m, block in zip(means, blocks, strict=True)])
    if options.prototypes == "ridge":
        codes = one_hot(np.stack([tree.codes for tree in trees], axis=1), n_prototypes)
        n_features, n_outputs = B.shape
        centred = A - mean
        if n_features <= n_outputs:
            for m, block, tree in zip(means, blocks, trees, strict=True):
                centred[:, block] -= m[tree.codes]
            correction = ridge(codes, centred, options.penalty) @ B
        else:
            left = centred @ B
            for table, tree in zip(tables, trees, strict=True):
                left -= table[tree.codes]
            correction = ridge(codes, left, options.penalty)
        tables += correction.reshape(tables.shape)
    return tables, mean @ B
