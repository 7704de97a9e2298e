"""A kernel as a function of addresses, and which arrays it can write into."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.signature import OutOrder
from maddjit.kernel import Kernel

_KERNEL = ctypes.CFUNCTYPE(
    None,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_void_p,
    ctypes.c_void_p,
)
"""void kernel(A, n_rows, row_step, column_step, Y, Y_step, workspace, stage); steps in bytes."""


@dataclass(frozen=True)
class Function:
    """What a call needs to know of a kernel, which lives as long as this does."""

    kernel: Kernel
    run: Any
    dtype: np.dtype[Any]
    workspace_bytes: int
    stage_bytes: int
    streaming_rows: int
    out_order: OutOrder

    @classmethod
    def of(cls, kernel: Kernel) -> Function:
        """Take from a kernel what calls need."""
        plan = kernel.plan
        return cls(
            kernel,
            _KERNEL(kernel.function.address),
            plan.signature.output.dtype,
            plan.workspace_bytes,
            plan.stage_bytes,
            plan.streaming_rows,
            plan.signature.out_order,
        )


def direct_order(out: NDArray[Any], rows: NDArray[Any]) -> OutOrder | None:
    """Tell which order of `out` a kernel writes directly: contiguous, apart, not A's memory."""
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
