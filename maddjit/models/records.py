"""Helpers of frozen records: read-only arrays, and copies that are made by the constructor."""

from __future__ import annotations

import mmap
import threading
import weakref
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


class MappedFile(mmap.mmap):
    """A file whose bytes are memory that cannot be written, and that its owner leaves alone."""

    def __init__(self, *_: Any, **__: Any) -> None:
        with _mapping:
            _mapped.add(self)


_mapped: weakref.WeakSet[MappedFile] = weakref.WeakSet()
_mapping = threading.Lock()
"""What a thread holds that adds to the mapped files, or lists them."""


def let_go() -> None:
    """Let the system take back the memory of mapped files; it is read again when it is needed."""
    if hasattr(mmap, "MADV_DONTNEED"):
        with _mapping:
            all_mapped = list(_mapped)
        for mapped in all_mapped:
            mapped.madvise(mmap.MADV_DONTNEED)


def frozen_array(name: str, value: ArrayLike, dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return `value` as an array of that dtype and shape which nobody can change.

    It is a copy, or `value` itself if it is such an array already.

    Raises
    ------
    TypeError
        If `value` holds numbers of another kind.
    ValueError
        If the shape differs, or a number is beyond the range of the dtype.
    """
    given = np.asarray(value)
    kinds = "iu" if np.issubdtype(dtype, np.integer) else "fiu"
    if given.dtype.kind not in kinds:
        raise TypeError(f"{name} must hold {np.dtype(dtype)} values, not {given.dtype}")
    if given.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, not {given.shape}")
    if given.dtype == dtype and given.flags.c_contiguous and _is_fixed(given):
        return given
    if np.issubdtype(dtype, np.integer) and given.size and given.dtype != dtype:
        limits = np.iinfo(dtype)
        if given.min() < limits.min or given.max() > limits.max:
            raise ValueError(f"{name} does not fit {np.dtype(dtype)}")
    with np.errstate(over="ignore"):
        array: NDArray[Any] = np.asarray(given, dtype=dtype, order="C")
    if array.dtype.kind == "f" and (np.isinf(array) & np.isfinite(given)).any():
        raise ValueError(f"{name} holds numbers beyond the range of {array.dtype}")
    return np.frombuffer(array.tobytes(), array.dtype, array.size).reshape(shape)


def _is_fixed(array: NDArray[Any]) -> bool:
    """Tell whether an array's numbers are bytes, or mapped, which NumPy lets nobody change."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    return isinstance(base, bytes | MappedFile)


def fields_of(record: Any) -> dict[str, Any]:
    """Return the fields of a record by name."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def made_again(kind: type[Any], values: dict[str, Any]) -> Any:
    """Return a pickled or copied record, made by its constructor, which checks and freezes it."""
    return kind(**values)
