"""The compiled function behind fast calls: its records and numbers, and how it is loaded."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

import numpy as np

from maddjit.arrays.formats import INPUTS
from maddjit.arrays.layout import Order, OutOrder
from maddjit.compiler import cache as kept_code
from maddjit.compiler import llvm
from maddjit.compiler.fingerprint import key_of, target_bytes
from maddjit.compiler.objects import Code
from maddjit.compiler.render import render_call
from maddjit.compiler.target import Target
from maddjit.compiler.workspace import LINE

_API = (
    "PyBuffer_Release",
    "PyErr_Clear",
    "PyEval_RestoreThread",
    "PyEval_SaveThread",
    "PyLong_AsVoidPtr",
    "PyLong_FromSsize_t",
    "PyMem_RawCalloc",
    "PyMem_RawFree",
    "PyObject_GetBuffer",
    "PyObject_GetItem",
    "PyObject_Type",
    "PyObject_Vectorcall",
    "PyTuple_GetItem",
    "PyTuple_Pack",
    "Py_DecRef",
    "Py_IncRef",
)
"""The functions of CPython that the compiled function calls."""
_OBJECTS = {
    "None": None,
    "empty": np.empty,
    "ndarray": np.ndarray,
    "no_axes": (),
}
"""Python objects that the compiled function refers to, beside CPython's functions."""
# Flags of CPython's headers.
_PYBUF_STRIDES_FORMAT = 0x1C
_PYBUF_WRITABLE = 0x01
_METH_FASTCALL = 0x80

UNKNOWN = 255
"""The number of a letter that stands for no format."""
_MOST_RESULTS = 3
"""How many formats of results one builtin has at most: those of sums."""
SHAPE = (len(INPUTS), len(get_args(Order)), _MOST_RESULTS, len(get_args(OutOrder)))
"""Kernels of a builtin: formats of A, orders of A, formats of results, orders of results."""


class KernelRecord(ctypes.Structure):
    """A kernel as the compiled function knows it; `found_step` is 0 unless it lists outputs."""

    _fields_ = (
        ("function", ctypes.c_void_p),
        ("extra", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("allocated_bytes", ctypes.c_int64),
        ("most_rows", ctypes.c_int64),
        ("rows_with_gil", ctypes.c_int64),
        ("found_place", ctypes.c_int64),
        ("found_step", ctypes.c_int64),
        ("margin", ctypes.c_int64),
        ("room", ctypes.c_int64),
    )


class WayRecord(ctypes.Structure):
    """What the compiled function knows of a builtin: which arrays it takes, and their kernels."""

    _fields_ = (
        ("n_features", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("takes_out", ctypes.c_int64),
        ("most_made", ctypes.c_int64),
        ("made_step", ctypes.c_int64),
        ("width_object", ctypes.c_void_p),
        ("dtype", ctypes.c_void_p),
        ("is_scalar", ctypes.c_int64),
        ("k", ctypes.c_int64),
        ("n_rows", ctypes.c_int64),
        ("n_listed", ctypes.c_int64),
        ("A_letters", ctypes.c_uint8 * 256),
        ("out_letters", ctypes.c_uint8 * 256),
        ("kernels", ctypes.c_void_p * int(np.prod(SHAPE))),
    )


class _MethodDef(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


@dataclass(frozen=True)
class Field:
    """A field of a record: its number, and its type for LLVM."""

    index: int
    type: str


@dataclass(frozen=True)
class Record:
    """A record that Python writes and compiled code reads."""

    name: str
    fields: Mapping[str, Field]

    @classmethod
    def of(cls, name: str, structure: type[ctypes.Structure]) -> Record:
        """Return the record that lies in memory as a structure of ctypes does."""
        fields = enumerate(structure._fields_)
        return cls(name, {field[0]: Field(i, _llvm_type(field[1])) for i, field in fields})


@dataclass(frozen=True)
class CallCode:
    """The numbers that the template of calls is rendered with.

    Functions and objects have other addresses in each process. The code reads them from a table
    that is filled when it has been loaded; `addresses` has their places in it.
    """

    triple: str
    addresses: Mapping[str, int]
    way: Record
    kernel: Record
    symbol: str = "call"
    shape: tuple[int, ...] = SHAPE
    unknown: int = UNKNOWN
    readable: int = _PYBUF_STRIDES_FORMAT
    writable: int = _PYBUF_STRIDES_FORMAT | _PYBUF_WRITABLE
    line_less_one: int = LINE - 1
    line_mask: int = -LINE

    @property
    def order(self) -> dict[str, int]:
        """The numbers of the orders of A."""
        return {order: i for i, order in enumerate(get_args(Order))}

    @property
    def out_order(self) -> dict[str, int]:
        """The numbers of the orders of results."""
        return {order: i for i, order in enumerate(get_args(OutOrder))}


def _llvm_type(kind: Any) -> str:
    """Return LLVM's type for a type of ctypes."""
    simple = {ctypes.c_void_p: "ptr", ctypes.c_int64: "i64", ctypes.c_uint8: "i8"}
    return simple.get(kind) or f"[{kind._length_} x {_llvm_type(kind._type_)}]"


def call_code(triple: str) -> CallCode:
    """Return the numbers that the code of calls is rendered with for a platform."""
    addresses = {name: i for i, name in enumerate((*_API, *_OBJECTS))}
    records = Record.of("way", WayRecord), Record.of("kernel", KernelRecord)
    return CallCode(triple, addresses, *records)


@cache
def loaded(target: Target) -> tuple[llvm.LoadedFunction, _MethodDef]:
    """Return the compiled function that all builtins of a target share, and its definition."""
    numbers = call_code(target.triple)
    key = key_of(repr(numbers).encode(), target_bytes(target))
    code = kept_code.read(key)
    if code is None:
        code = Code(llvm.to_object(render_call(numbers), target))
        kept_code.write(key, code)
    function = llvm.load(code, numbers.symbol, target, beside="addresses")
    found = [*map(_address, _API), *map(id, _OBJECTS.values())]
    places: Any = (ctypes.c_size_t * len(found)).from_address(function.beside)
    places[:] = found
    return function, _MethodDef(b"call", function.address, _METH_FASTCALL, None)


def _address(name: str) -> int:
    """Return the address of one of CPython's functions."""
    address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
    assert address is not None
    return address
