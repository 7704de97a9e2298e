"""Fast calls: a compiled builtin of CPython that runs kernels on usual arrays."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.formats import INPUTS
from maddjit.arrays.layout import Order, OutOrder
from maddjit.compiler.strassen_tile.plan import TilePlan
from maddjit.compiler.target import Target
from maddjit.compiler.workspace import LINE, aligned_zeros, lines
from maddjit.operators.callcode import SHAPE, UNKNOWN, KernelRecord, WayRecord, loaded
from maddjit.operators.pool import POOLED_BYTES
from maddjit.operators.runner import Runner

_ROWS_WITH_GIL = 32
_WORK_WITH_GIL = 2**16
"""The GIL is released for more rows, or more look-ups or products of tiles, than these."""
_MOST_LISTED = 1024
"""The most rows of winners: what the kernel finds lies behind its workspace."""


@dataclass(frozen=True)
class Results:
    """What the results of a builtin look like.

    Attributes
    ----------
    dtypes : tuple of dtype
        Those that `out` may have. The first one is that of new arrays.
    width : int or None
        The results of a row; None for one that has no axis.
    takes_out : bool
        Whether there may be an `out`.
    is_scalar : bool
        Whether the result of one row (D,) is a number rather than an array without axes.
    """

    dtypes: tuple[np.dtype[Any], ...]
    width: int | None
    takes_out: bool = True
    is_scalar: bool = False

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of a new array."""
        return self.dtypes[0].itemsize * (self.width or 1)


def declines(*_: Any) -> None:
    """Return None, which leaves all arrays to the general code."""


class FastCall:
    """A builtin ``call(A[, out])`` and the kernels that it runs, each for one kind of arrays.

    It returns the results, or None for arrays that none of its kernels is for. Where the
    interpreter is not CPython it declines all arrays.

    Attributes
    ----------
    results : Results
    call : callable
        It may outlive this record.
    counts : (2,) int64 array
        How many rows had winners named, and how long their short lists were together.
    """

    def __init__(
        self, target: Target, n_features: int, results: Results, bits: bool, is_used: bool = True
    ) -> None:
        self.results = results
        self.call: Callable[..., NDArray[Any] | None] = declines
        self._way = way = WayRecord()
        counts = ctypes.c_int64 * 2
        self.counts = np.ctypeslib.as_array(counts.from_buffer(way, WayRecord.n_rows.offset))
        self._added: set[int] = set()
        self._kept: list[Any] = [results]
        if sys.implementation.name != "cpython" or not is_used:
            return
        way.n_features, way.width = n_features, results.width or 1
        way.takes_out, way.is_scalar = results.takes_out, results.is_scalar
        way.made_step = results.row_bytes
        way.most_made = (POOLED_BYTES - 1) // results.row_bytes
        way.dtype = id(results.dtypes[0])
        way.width_object = None if results.width is None else id(results.width)
        way.k = results.width or 1
        inputs = (f.dtype if bits or n != "bfloat16" else None for n, f in INPUTS.items())
        way.A_letters[:] = _letters(*inputs)
        way.out_letters[:] = _letters(*results.dtypes)
        code, method = loaded(target)
        new = ctypes.pythonapi.PyCFunction_NewEx
        new.restype = ctypes.py_object
        new.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.py_object)
        # The builtin's own `self` keeps alive everything whose address it knows.
        owner = (ctypes.addressof(way), way, self._kept, code, method)
        self.call = new(ctypes.addressof(method), owner, None)

    def add(self, runner: Runner) -> None:
        """Let the builtin run a kernel on the arrays that it is for, if it does not yet."""
        if id(runner) in self._added or self.call is declines:
            return
        plan = runner.kernel.plan
        signature, way = plan.signature, self._way
        first = lines(runner.workspace_bytes)
        step = 8 * (2 * signature.k + 1) if runner.more else 0
        memory = aligned_zeros(first + _MOST_LISTED * step, np.uint8)
        margin, room = runner.more or (0, 0)
        terms = plan.n_features if isinstance(plan, TilePlan) else plan.n_codebooks
        record = KernelRecord(
            function=runner.kernel.function.address,
            extra=None if runner.packed is None else _address_of(runner.packed),
            workspace=_address_of(memory),
            allocated_bytes=len(memory) + LINE,
            most_rows=_MOST_LISTED if step else runner.streaming_rows,
            rows_with_gil=min(_ROWS_WITH_GIL, _WORK_WITH_GIL // max(1, terms * plan.n_outputs)),
            found_place=first,
            found_step=step,
            margin=margin,
            room=room,
        )
        self._kept.append((runner, record, memory))
        place = (
            list(INPUTS).index(signature.dtype),
            get_args(Order).index(signature.order),
            self.results.dtypes.index(runner.dtype),
            get_args(OutOrder).index(signature.out_order),
        )
        way.kernels[int(np.ravel_multi_index(place, SHAPE))] = ctypes.addressof(record)
        self._added.add(id(runner))


def _address_of(memory: NDArray[Any]) -> int:
    """Return the address of an array's first element."""
    address: int = memory.__array_interface__["data"][0]
    return address


def _letters(*dtypes: np.dtype[Any] | None) -> list[int]:
    """Return for each letter of the buffer protocol which of these dtypes it stands for."""
    numbers = [UNKNOWN] * 256
    for number, dtype in enumerate(dtypes):
        if dtype is not None:
            numbers[ord(np.zeros(1, dtype).data.format)] = number
    return numbers
