"""Runs a kernel over the rows of arrays: by their addresses, in one thread or several."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.checks import check_threads
from maddjit.arrays.layout import OutOrder
from maddjit.compiler.maddness.lists import Lists
from maddjit.compiler.workspace import aligned_zeros
from maddjit.operators.kernel import Kernel
from maddjit.operators.threads import run, spans

_ARGUMENTS = (
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_void_p,
    ctypes.c_void_p,
)
"""The arguments of every kernel, in the order of `KERNEL`."""
KERNEL = ctypes.CFUNCTYPE(None, *_ARGUMENTS)
"""void kernel(A, n_rows, row_step, column_step, Y, Y_step, workspace, extra); steps in bytes.

The extra argument is the packed B of kernels that name winners or multiply tiles. For others it is
the stage, through which results go past the caches, or null.
"""
_WINNERS_KERNEL = ctypes.CFUNCTYPE(None, *_ARGUMENTS, ctypes.c_int64, ctypes.c_int64)
"""A kernel with two more arguments: the margin of short lists, and the room on each list."""
_SEQUENCES = ctypes.CFUNCTYPE(None, *_ARGUMENTS, *4 * (ctypes.c_int64,))
"""A kernel for the rows of many sequences, whose arguments `Runner.run_sequences` names."""


@dataclass(frozen=True)
class Runner:
    """A kernel with everything that a call needs to know; the code lives as long as this does."""

    kernel: Kernel[Any]
    run: Any
    dtype: np.dtype[Any]
    workspace_bytes: int
    stage_bytes: int
    streaming_rows: int
    out_order: OutOrder
    row_unit: int
    packed: NDArray[Any] | None
    more: tuple[int, ...] = ()
    """Further arguments of a winners' kernel: the margin, and the room on lists."""
    run_many: Any = None
    """The kernel's function for many sequences; None if tiles are not made of neighbours."""
    _spare: list[NDArray[np.uint8]] = field(default_factory=list, compare=False, repr=False)

    @classmethod
    def of(cls, kernel: Kernel[Any], lists: Lists | None = None) -> Runner:
        """Return the runner of a kernel; `lists` are for a kernel of winners, which needs them."""
        plan = kernel.plan
        assert (lists is not None) == (plan.signature.result == "winners")
        return cls(
            kernel,
            (_WINNERS_KERNEL if lists else KERNEL)(kernel.function.address),
            plan.signature.output.dtype,
            plan.workspace_bytes + (lists.n_bytes if lists else 0),
            plan.stage_bytes,
            plan.streaming_rows,
            plan.signature.out_order,
            plan.row_unit,
            plan.packed,
            (lists.margin, lists.room) if lists else (),
            _SEQUENCES(kernel.function.beside) if plan.sequences_symbol else None,
        )

    def __call__(
        self, rows: NDArray[Any], out: NDArray[Any], threads: int = 1, least_rows: int = 1
    ) -> None:
        """Run the kernel on aligned rows (N, D), and let it write directly into `out`.

        Parameters
        ----------
        rows, out : array
            Of the dtypes and orders that the kernel is for; they share no memory.
        threads : int
            At most this many share the rows, each at least `least_rows`.
        """
        n_rows = len(rows)
        row_step, column_step = rows.strides
        Y_row, Y_step = out.strides if self.out_order == "F" else (out.strides[0],) * 2
        streams = n_rows > self.streaming_rows and out.flags.c_contiguous

        def work(first: int, last: int) -> None:  # holds the arrays as long as it may run
            A_address = rows.__array_interface__["data"][0]
            Y_address = out.__array_interface__["data"][0]
            memory = self._workspace()
            extra = self.packed
            if extra is None and streams and self.stage_bytes:
                extra = np.empty(self.stage_bytes, np.uint8)
            self.run(
                A_address + first * row_step,
                last - first,
                row_step,
                column_step,
                Y_address + first * Y_row,
                Y_step,
                memory.__array_interface__["data"][0],
                0 if extra is None else extra.__array_interface__["data"][0],
                *self.more,
            )
            self._spare.append(memory)

        if threads == 1:
            work(0, n_rows)
        else:
            run(work, spans(n_rows, check_threads(threads), least_rows, self.row_unit))

    def run_sequences(
        self, A: NDArray[Any], out: NDArray[Any], threads: int = 1, least_rows: int = 1
    ) -> None:
        """Run a kernel of neighbouring rows on aligned sequences (S, T, D), all at once.

        Parameters
        ----------
        A, out : array
            Of the dtypes and orders that the kernel is for; they share no memory.
        threads : int
            At most this many share the tiles, each at least those of `least_rows`.
        """
        rows = self.kernel.plan.rows
        sequence_step, row_step, column_step = A.strides
        Y_sequence_step, Y_step, _ = out.strides
        n_tiles = len(A) * -(-A.shape[1] // rows.tile_height)
        assert self.packed is not None
        V_address = self.packed.__array_interface__["data"][0]

        def work(first: int, last: int) -> None:  # holds the arrays as long as it may run
            memory = self._workspace()
            self.run_many(
                A.__array_interface__["data"][0],
                A.shape[1],
                row_step,
                column_step,
                out.__array_interface__["data"][0],
                Y_step,
                memory.__array_interface__["data"][0],
                V_address,
                sequence_step,
                Y_sequence_step,
                first,
                last,
            )
            self._spare.append(memory)

        if threads == 1:
            work(0, n_tiles)
        else:
            least_tiles = -(-least_rows // rows.tile_height)
            run(work, spans(n_tiles, check_threads(threads), least_tiles, rows.tile_rows))

    def _workspace(self) -> NDArray[np.uint8]:
        """Return memory to work in, if possible of an earlier call: fresh pages cost time."""
        try:
            return self._spare.pop()
        except IndexError:
            return aligned_zeros(self.workspace_bytes, np.uint8)
