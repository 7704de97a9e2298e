"""Models that were learned elsewhere: made from plain arrays, or from halutmatmul's files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.checks import as_bias
from maddjit.learning.maddness.tables import quantise
from maddjit.models.encoders import HashTrees, tree_depth
from maddjit.models.maddness import MaddnessModel

_SPLITS, _TABLES = 0, 1
"""The items of what halutmatmul stores that hold hash trees and look-up tables."""


def from_arrays(
    split_dims: ArrayLike,
    thresholds: ArrayLike,
    tables: ArrayLike,
    n_features: int,
    *,
    bias: ArrayLike | None = None,
) -> MaddnessModel:
    """Return a model made from trees and real look-up tables, which are rounded to 8 bits.

    Parameters
    ----------
    split_dims : (C, T) array_like of int
        The column that each level of each tree compares.
    thresholds : (C, K − 1) array_like
        The thresholds of the nodes, level by level from the root. A row goes right when
        ``a >= threshold``.
    tables : (C, K, M) array_like
        What each prototype contributes to each output.
    n_features : int
        D, the number of columns of A.
    bias : (M,) array_like, optional
        Added to each output. The model carries it as its bias. Without it the bias is not known,
        since tables may hold one.

    Returns
    -------
    MaddnessModel
        Without a report, as nothing is known of its error. Each output differs from the sum of the
        real tables by at most C / 2 · scale, and by float32 rounding.

    Raises
    ------
    ValueError, TypeError
        If a shape does not fit, an entry is not finite, or a column is not one of A's.

    Examples
    --------
    >>> import numpy as np, maddjit
    >>> model = maddjit.from_arrays([[1]], [[0.5]], [[[1.0, 0.0], [3.0, 8.0]]], n_features=2)
    >>> maddjit.reference.apply(model, [[0.0, 0.0], [0.0, 1.0]]).round(2).tolist()
    [[1.0, 0.0], [3.0, 8.0]]
    """
    real = np.asarray(tables, np.float64)
    if real.ndim != 3 or 0 in real.shape:
        raise ValueError(f"tables must have shape (C, K, M), none of them 0, not {real.shape}")
    if not np.isfinite(real).all():
        raise ValueError("tables must be finite")
    tree_depth(real.shape[1])
    added = as_bias(bias, real.shape[2]).astype(np.float64)
    entries, scale, offset = quantise(real, added, scale="per-output", accumulate="exact")
    return MaddnessModel(
        HashTrees(np.asarray(split_dims), np.asarray(thresholds), n_features),
        tables=entries,
        scale=scale,
        offset=offset,
        bias=None if bias is None else added,
    )


def from_halutmatmul(
    stored: Sequence[Any], n_features: int, *, bias: ArrayLike | None = None
) -> MaddnessModel:
    """Return a model made from what halutmatmul stores: https://github.com/joennlae/halutmatmul.

    Its ``.npy`` files hold pickled objects, which can run any code when they are read, so maddjit
    does not read them. If you trust a file, read it yourself by
    ``np.load(path, allow_pickle=True)`` and pass the result.

    Parameters
    ----------
    stored : sequence
        Item 0 holds the hash trees, (C, T, K/2 + 3): in level t 2^t thresholds, and last column,
        scale and offset. Item 1 holds the look-up tables, (M, C, K). The rest is not needed.
    n_features : int
        D, the number of columns of A.
    bias : (M,) array_like, optional
        Added to each output, as in `from_arrays`.

    Returns
    -------
    MaddnessModel
        Without a report, as from `from_arrays`. In halutmatmul a row goes right when
        ``(a − offset) · scale > threshold``; here it does when `a` is at least the next float32
        above ``threshold / scale + offset``. So rows within rounding of a threshold may go the
        other way.

    Raises
    ------
    ValueError, TypeError
        If there are no such arrays, as in files of k-means prototypes without hash trees.

    Examples
    --------
    >>> import numpy as np, maddjit
    >>> trees = np.array([[[0.5, 1.0, 1.0, 0.0]]], np.float32)  # a >= 0.5 in column 1
    >>> tables = np.array([[[1.0, 3.0]], [[0.0, 8.0]]], np.float32)
    >>> maddjit.from_halutmatmul([trees, tables], n_features=2)
    MaddnessModel(D=2, M=2, C=1, K=2, accumulate='exact')
    """
    if len(stored) <= _TABLES:
        raise ValueError(f"stored must hold hash trees and look-up tables, not {len(stored)} items")
    trees, tables = (np.asarray(stored[place], np.float64) for place in (_SPLITS, _TABLES))
    if tables.ndim != 3:
        raise ValueError(f"look-up tables must have shape (M, C, K), not {tables.shape}")
    depth = tree_depth(tables.shape[2])
    wanted = (tables.shape[1], depth, 2 ** (depth - 1) + 3)
    if trees.shape != wanted:
        raise ValueError(
            f"hash trees must have shape (C, T, K/2 + 3) = {wanted}, not {trees.shape}"
        )
    columns, scales, offsets = (trees[:, :, place] for place in (-3, -2, -1))
    if (scales <= 0).any() or (columns != np.rint(columns)).any():
        raise ValueError("scales of hash trees must be positive, and columns whole numbers")
    levels = [
        trees[:, t, : 2**t] / scales[:, t, np.newaxis] + offsets[:, t, np.newaxis]
        for t in range(depth)
    ]
    reached: NDArray[np.float32] = np.nextafter(
        np.concatenate(levels, axis=1).astype(np.float32), np.float32(np.inf)
    )
    return from_arrays(
        columns.astype(np.int64), reached, tables.transpose(1, 2, 0), n_features, bias=bias
    )
