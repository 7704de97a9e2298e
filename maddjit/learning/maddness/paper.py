"""The paper's learner: greedy trees on contiguous blocks, then a joint ridge regression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maddjit import reference
from maddjit.learning.maddness.blocks import Blocks, contiguous
from maddjit.learning.maddness.learned import Learned
from maddjit.learning.maddness.options import Options
from maddjit.learning.maddness.paper_trees import PaperTree, grow
from maddjit.learning.maddness.regression import one_hot, regression_work
from maddjit.learning.progress import Steps
from maddjit.models.encoders import HashTrees
from maddjit.models.fit_report import BoundTerms
from maddjit.models.maddness import MaddnessModel

if TYPE_CHECKING:  # SciPy takes a quarter of a second to import, and only learning needs it
    from scipy.sparse import csr_array


def n_steps(options: Options) -> int:
    """Return the steps of a fit: one for each tree in `learn`, and one in `fit` after it."""
    return options.n_codebooks + 1


def learn(rows: NDArray[Any], B: NDArray[Any], options: Options, advance: Steps) -> Learned:
    """Return trees and real tables (paper, sections 4.1 and 4.2).

    Parameters
    ----------
    rows : (N, D) float32 or float64
    B : (D, M) float32 or float64
    options : Options
    advance : Steps
        Called after each tree; its answer changes nothing.
    """
    blocks = contiguous(np.arange(len(B)), options.n_codebooks)
    trees = []
    for block in blocks:
        trees.append(grow(rows, block, options.depth, options.n_candidates))
        advance()
    n_codebooks, n_prototypes = options.n_codebooks, options.n_prototypes
    work = regression_work(len(rows), n_codebooks, n_prototypes, min(B.shape))
    with advance.measured("algebra", work):
        tables, base = real_tables(rows, B, blocks, trees, options)
    return Learned(
        HashTrees(
            np.stack([tree.split_dims for tree in trees]),
            np.stack([tree.thresholds for tree in trees]),
            len(B),
        ),
        tables=tables,
        base=base,
    )


def real_tables(
    A: NDArray[Any],
    B: NDArray[Any],
    blocks: Blocks,
    trees: list[PaperTree],
    options: Options,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return tables (C, K, M), and the product (M,) of the mean row, which every row shares.

    Prototypes are the bucket means. With "ridge", a ridge regression over all columns of what the
    means leave is added to them. Only the products of prototypes with B are needed, and the
    regression is linear in its targets, so the targets have the smaller of D and M columns.
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


def bucket_means(
    A: NDArray[Any], columns: NDArray[np.intp], tree: PaperTree, n_prototypes: int
) -> NDArray[np.float64]:
    """Return the mean of each leaf's rows over the columns of a block, (K, d).

    A leaf without training rows takes the mean of its nearest ancestor that has some.
    """
    counts = np.bincount(tree.codes, minlength=n_prototypes)
    sums = one_hot(tree.codes[:, np.newaxis], n_prototypes).T @ A[:, columns].astype(np.float64)
    means: NDArray[np.float64] = np.zeros(sums.shape)
    size, unknown = 1, np.ones(n_prototypes, dtype=bool)
    while unknown.any():  # take the subtree of `size` leaves around each leaf; the root has all
        rows = counts.reshape(-1, size).sum(axis=1)
        subtree = sums.reshape(len(rows), size, -1).sum(axis=1)
        subtree /= np.maximum(rows, 1)[:, np.newaxis]
        found = unknown & np.repeat(rows > 0, size)
        means[found] = np.repeat(subtree, size, axis=0)[found]
        unknown &= ~found
        size *= 2
    return means


def ridge(G: csr_array, residual: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """Return (GᵀG + λI)⁻¹ Gᵀ residual (paper, equation 8)."""
    from scipy.linalg import solve

    gram = (G.T @ G).toarray()
    gram[np.diag_indices_from(gram)] += penalty
    solution: NDArray[np.float64] = solve(gram, G.T @ residual, assume_a="pos", overwrite_a=True)
    return solution


def is_bounded(options: Options) -> bool:
    """Tell whether the paper's bound on the error (theorem 4.1) holds for these options."""
    return (
        options.method == "paper"
        and options.objective == "product"
        and options.n_prototypes == 16
        and options.prototypes == "ridge"
    )


def bound_terms(
    model: MaddnessModel,
    rows: NDArray[Any],
    B: NDArray[Any],
    bias: NDArray[Any],
    penalty: float,
) -> BoundTerms:
    """Return what the paper's bound needs to know of a model and its training rows."""
    A = rows.astype(np.float64)
    wide = A if len(A) < A.shape[1] else A.T
    errors = reference.apply(model, rows) - bias - A @ B
    return BoundTerms(
        n_rows=len(rows),
        n_features=rows.shape[1],
        n_codebooks=model.n_codebooks,
        penalty=penalty,
        largest_singular_value=float(np.sqrt(np.linalg.eigvalsh(wide @ wide.T)[-1])),
        norms=np.linalg.norm(B.astype(np.float64), axis=0),
        training_error=np.abs(errors).mean(axis=0),
    )
