"""Layouts of arrays: which axis of A is contiguous, and which arrays a kernel can write into."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Order = Literal["C", "F", "strided"]
"""Layouts of A: rows contiguous, columns contiguous, or neither."""
OutOrder = Literal["C", "F"]
"""Layouts of results: rows contiguous, or columns."""


def order_of(rows: NDArray[Any]) -> Order:
    """Return which axis of rows (N, D) is contiguous."""
    row_step, column_step = rows.strides
    if column_step == rows.itemsize:
        return "C"
    return "F" if row_step == rows.itemsize else "strided"


def direct_order(out: NDArray[Any], rows: NDArray[Any]) -> OutOrder | None:
    """Return the order in which a kernel can write into `out`, or None if it cannot.

    It can if one axis of `out` is contiguous, its elements are aligned, and none of them shares
    memory with another one or with the rows.
    """
    (n_rows, width), (row_step, column_step), itemsize = out.shape, out.strides, out.itemsize
    if not out.flags.aligned or np.may_share_memory(out, rows):
        return None
    if (column_step == itemsize or width == 1) and (
        n_rows < 2 or abs(row_step) >= width * itemsize
    ):
        return "C"
    if (row_step == itemsize or n_rows == 1) and abs(column_step) >= n_rows * itemsize:
        return "F"
    return None
