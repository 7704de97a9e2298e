"""Helpers of frozen records: read-only arrays, and copies that are made by the constructor."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
    if np.issubdtype(dtype, np.integer) and given.size:
        limits = np.iinfo(dtype)
        if given.min() < limits.min or given.max() > limits.max:
            raise ValueError(f"{name} does not fit {np.dtype(dtype)}")
    if given.dtype == dtype and given.flags.c_contiguous and _is_fixed(given):
        return given
    with np.errstate(over="ignore"):
        array: NDArray[Any] = np.asarray(given, dtype=dtype, order="C")
    if array.dtype.kind == "f" and (np.isinf(array) & np.isfinite(given)).any():
        raise ValueError(f"{name} holds numbers beyond the range of {array.dtype}")
    return np.frombuffer(array.tobytes(), array.dtype, array.size).reshape(shape)


def _is_fixed(array: NDArray[Any]) -> bool:
    """Tell whether an array's numbers are those of bytes, which NumPy lets nobody change."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, bytes)


def fields_of(record: Any) -> dict[str, Any]:
    """Return the fields of a record by name."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def made_again(kind: type[Any], values: dict[str, Any]) -> Any:
    """Return a pickled or copied record, made by its constructor, which checks and freezes it."""
    return kind(**values)
