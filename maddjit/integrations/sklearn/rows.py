"""Rows in the forms that scikit-learn takes: arrays, frames with named columns, sparse matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 22
"""The entries of sparse rows that are made dense at a time, at most 32 MiB."""
_LEARNED = 1 << 26
"""The entries of sparse rows that are made dense to learn from, at most 512 MiB."""
_ENOUGH = 1000
"""The rows that must fit in that memory, if as many are given."""


def is_sparse(rows: Any) -> bool:
    """Return whether rows are a sparse matrix of SciPy."""
    return hasattr(rows, "toarray")


def is_numbers(X: Any) -> bool:
    """Return whether X holds numbers alone, or texts that can be read as numbers."""
    if is_sparse(X):
        return True
    try:
        array = np.asarray(X)
        if array.dtype.kind in "OSU":
            array.astype(np.float64)
    except (TypeError, ValueError):
        return False
    return array.dtype.kind in "biufcOSU"


def check_width(rows: Any) -> None:
    """Refuse sparse rows that are too wide to be learned from.

    Raises
    ------
    ValueError
        If `to_learn_from` would take fewer than 1000 rows although more are given.
    """
    n_rows, n_features = rows.shape
    if is_sparse(rows) and min(n_rows, _ENOUGH) * n_features > _LEARNED:
        raise ValueError(
            f"sparse rows of {n_features} columns are too wide to be made dense, and their exact "
            "product is cheap: put sklearn.decomposition.TruncatedSVD before the estimator, or "
            "keep it as it is"
        )


def to_learn_from(rows: Any, random_state: int) -> NDArray[Any]:
    """Return dense rows: all rows, or as many random rows of a sparse matrix as 512 MiB hold."""
    n_rows, n_features = rows.shape
    most = _LEARNED // n_features
    if is_sparse(rows) and n_rows > most:
        rows = rows[np.sort(np.random.default_rng(random_state).permutation(n_rows)[:most])]
    dense: NDArray[Any] = rows.toarray() if is_sparse(rows) else rows
    return dense


def in_blocks(function: Callable[[NDArray[Any]], NDArray[Any]], rows: Any) -> NDArray[Any]:
    """Return `function` of rows. Sparse rows are made dense and passed to it block by block."""
    if not is_sparse(rows):
        return function(rows)
    step = max(1, _BLOCK // rows.shape[1])
    starts = range(0, max(rows.shape[0], 1), step)
    return np.concatenate([function(rows[start : start + step].toarray()) for start in starts])


def framed(X: Any) -> Callable[[NDArray[Any]], Any]:
    """Return a function that gives an array the columns of X, if X is a frame of pandas."""
    if not hasattr(X, "iloc"):
        return lambda rows: rows
    return lambda rows: type(X)(rows, columns=X.columns)
