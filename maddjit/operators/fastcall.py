"""Fast calls: a compiled builtin of CPython that runs a kernel on usual arrays."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from maddjit.arrays.formats import INPUTS
from maddjit.compiler import cache, llvm
from maddjit.compiler.fingerprint import key_of, target_bytes
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.render import render_call
from maddjit.operators.pool import POOLED_BYTES

_API = (
    "PyBuffer_Release",
    "PyErr_Clear",
    "PyEval_RestoreThread",
    "PyEval_SaveThread",
    "PyLong_FromSsize_t",
    "PyObject_GetBuffer",
    "PyObject_Type",
    "PyObject_Vectorcall",
    "PyTuple_Pack",
    "Py_DecRef",
    "Py_IncRef",
)
"""The functions of CPython that the compiled function calls."""
_OBJECTS = ("empty", "ndarray", "dtype", "n_outputs", "NotImplemented")
"""Python objects that the compiled function refers to, beside CPython's functions."""
# Flags of CPython's headers.
_PYBUF_STRIDES_FORMAT = 0x1C
_PYBUF_WRITABLE = 0x01
_METH_FASTCALL = 0x80

_MAX_STACK = 32 * 1024
"""The most bytes of workspace that are taken from the stack, which may be small in threads."""
_ROWS_WITHOUT_GIL = 32
"""The number of rows above which releasing the GIL is worth its time."""


class _MethodDef(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


@dataclass(frozen=True)
class Call:
    """The numbers that the template of a call is rendered with.

    Functions and objects have other addresses in each process. The code reads them from a table
    that is filled when it has been loaded; `addresses` names them in the order of that table.
    """

    symbol: str
    triple: str
    letter: int
    itemsize: int
    n_features: int
    row_bytes: int
    n_outputs: int
    output_letter: int
    output_itemsize: int
    output_row_bytes: int
    readable: int
    writable: int
    rows_without_gil: int
    most_rows: int
    workspace_bytes: int
    addresses: tuple[str, ...]


def declines(*_: Any) -> Any:
    """Return NotImplemented, which leaves all arrays to the general code."""
    return NotImplemented


def call_of(plan: Plan) -> Call:
    """Return the numbers that the builtin of a kernel is rendered with."""
    output = plan.signature.output
    return Call(
        symbol=f"call_{plan.symbol}",
        triple=plan.target.triple,
        letter=ord(INPUTS[plan.signature.dtype].letter),
        itemsize=plan.input.itemsize,
        n_features=plan.n_features,
        row_bytes=plan.input.itemsize * plan.n_features,
        n_outputs=plan.n_outputs,
        output_letter=ord(output.letter),
        output_itemsize=output.itemsize,
        output_row_bytes=output.itemsize * plan.n_outputs,
        readable=_PYBUF_STRIDES_FORMAT,
        writable=_PYBUF_STRIDES_FORMAT | _PYBUF_WRITABLE,
        rows_without_gil=_ROWS_WITHOUT_GIL,
        most_rows=min(plan.streaming_rows, (POOLED_BYTES - 1) // plan.output.row_bytes),
        workspace_bytes=plan.workspace_bytes,
        addresses=("kernel", *_API, *_OBJECTS),
    )


def fast_call(plan: Plan, kernel: llvm.LoadedFunction) -> Callable[..., Any]:
    """Return a builtin ``call(A[, out])`` that runs a kernel on C-order arrays of its own dtype.

    It returns the outputs, or NotImplemented for arrays that it was not made for. Where the
    interpreter is not CPython, or the workspace is too large for the stack, it declines all arrays.
    """
    usual = plan.signature.order == "C" and plan.workspace_bytes <= _MAX_STACK
    if sys.implementation.name != "cpython" or not usual:
        return declines
    objects = dict(
        zip(
            _OBJECTS,
            (np.empty, np.ndarray, plan.signature.output.dtype, plan.n_outputs, NotImplemented),
            strict=True,
        )
    )
    call = call_of(plan)
    key = key_of(repr(call).encode(), target_bytes(plan.target))
    code = cache.read(key)
    if code is None:
        code = llvm.to_object(render_call(call), plan.target)
        cache.write(key, code)
    function = llvm.load(code, call.symbol, plan.target, table="addresses")
    found = [kernel.address, *map(_address, _API), *map(id, objects.values())]
    places: Any = (ctypes.c_size_t * len(found)).from_address(function.table)
    places[:] = found
    method = _MethodDef(b"call", function.address, _METH_FASTCALL, None)
    new = ctypes.pythonapi.PyCFunction_NewEx
    new.restype = ctypes.py_object
    new.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.py_object)
    # The builtin's own `self` keeps alive everything whose address is in the table.
    builtin: Callable[..., Any] = new(
        ctypes.addressof(method), (method, function, kernel, objects), None
    )
    return builtin


def _address(name: str) -> int:
    """Return the address of one of CPython's functions."""
    address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
    assert address is not None
    return address
