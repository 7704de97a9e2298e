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
    """Return which axis of rows (N, D), or of sequences (S, T, D), is contiguous."""
    row_step, column_step = rows.strides[-2:]
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


def are_direct(out: NDArray[Any], sequences: NDArray[Any]) -> bool:
    """Return whether a kernel can write results of sequences, (S, T, M), directly into `out`.

    It can if rows are contiguous, elements are aligned, and none of them shares memory with another
    one or with the sequences.
    """
    (count, length, width), itemsize = out.shape, out.itemsize
    if not out.flags.aligned or np.may_share_memory(out, sequences):
        return False
    if out.strides[2] != itemsize and width != 1:
        return False
    reach = width * itemsize
    for step, size in sorted(
        (abs(step), size) for step, size in zip(out.strides, (count, length), strict=False)
    ):
        if size > 1 and step < reach:
            return False
        reach += (size - 1) * step
    return True
