"""Checks of arguments: which arrays and numbers are accepted, and what the errors say."""

from __future__ import annotations

import sys
from operator import index
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.formats import INPUTS, Format, format_of


def as_array(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return an argument as an array, or say by its name why it cannot be one.

    Raises
    ------
    TypeError
        If it has a mask, is sparse, or is a table whose columns are objects to NumPy.
    ValueError
        If it is nested lists of different lengths.
    """
    masked = sys.modules.get("numpy.ma")  # which takes 10 ms to load
    if masked and isinstance(value, masked.MaskedArray):
        raise TypeError(f"{name} must not be a masked array: masks would be ignored")
    sparse = sys.modules.get("scipy.sparse")  # nothing is sparse before it was loaded
    if sparse and sparse.issparse(value):
        raise TypeError(
            f"{name} must be dense, not a sparse {type(value).__name__}: {name}.toarray() converts "
            "it, a block of rows at a time if all would not fit in memory"
        )
    try:
        array: NDArray[Any] = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array, but its rows differ in length") from error
    if array.dtype == object and hasattr(value, "to_numpy"):
        raise TypeError(
            f"{name} has nullable or mixed columns, which are objects to NumPy: "
            f"{name}.to_numpy(np.float32, na_value=np.nan) converts numbers"
        )
    return array


def as_whole(name: str, value: object) -> int:
    """Return an argument as an int, if it is a whole number.

    Raises
    ------
    TypeError
        If it is not; 2.0 is not.
    """
    try:
        return index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None


def check_random_state(random_state: int) -> None:
    """Refuse a seed that NumPy's random numbers cannot be drawn with.

    Raises
    ------
    ValueError, TypeError
        If it is negative or not a whole number.
    """
    try:
        np.random.default_rng(random_state)
    except (ValueError, TypeError) as error:
        raise type(error)(
            f"random_state must be a whole number from 0, not {random_state!r}"
        ) from None


def check_threads(threads: int) -> int:
    """Return a number of threads as an int, if it is a whole number of at least 1.

    Raises
    ------
    ValueError
        If it is not.
    """
    if not isinstance(threads, (int, np.integer)) or threads < 1:
        raise ValueError(f"threads must be a whole number of at least 1, not {threads!r}")
    return int(threads)


def as_numbers(A: ArrayLike, bits: bool = False, name: str = "A") -> tuple[NDArray[Any], Format]:
    """Return A as an array of any shape, and the format of its elements.

    An array keeps its memory and strides; lists of numbers become float64, as in NumPy. Arrays of
    uint16 are bfloat16 numbers if `bits` says so. Else they are refused, because they could be
    whole numbers.

    Raises
    ------
    TypeError
        If an array holds numbers of another format.
    """
    rows = as_array(name, A)
    if not hasattr(A, "dtype") and rows.dtype.kind in "iu":
        rows = rows.astype(np.float64)
    form = format_of(rows.dtype)
    if form is None and bits and rows.dtype == np.uint16:
        form = INPUTS["bfloat16"]
    if form is None:
        native = rows.dtype.newbyteorder("=")
        form = format_of(native)
        if form is None:
            known = rows.dtype.kind in "biuf" and native != np.uint16  # which may be bfloat16
            hint = f": {name}.astype(np.float32) converts it" if known else ""
            raise TypeError(f"{name} must hold {', '.join(INPUTS)}, not {rows.dtype}{hint}")
        rows = rows.astype(native)
    return (rows if rows.dtype == form.dtype else rows.view(form.dtype)), form


def as_rows(A: ArrayLike, n_features: int, bits: bool = False) -> tuple[NDArray[Any], Format, bool]:
    """Return A as (N, D), the format of its elements, and whether it was one row of shape (D,).

    Elements are those that `as_numbers` takes.

    Raises
    ------
    TypeError
        If an array holds numbers of another format.
    ValueError
        If the shape is neither (N, D) nor (D,).
    """
    rows, form = as_numbers(A, bits)
    single = rows.ndim == 1
    if single:
        rows = rows[np.newaxis]
    if rows.ndim != 2 or rows.shape[1] != n_features:
        raise ValueError(
            f"A must have shape (N, {n_features}) or ({n_features},), not {np.shape(A)}"
        )
    return rows, form, single


def as_planes(x: ArrayLike, n_channels: int, bits: bool = False) -> tuple[NDArray[Any], Format]:
    """Return x as planes (N, C, H, W) with aligned elements, and the format of its elements.

    Elements are those that `as_numbers` takes.

    Raises
    ------
    TypeError
        If an array holds numbers of another format.
    ValueError
        If the shape is not (N, C, H, W), or planes have no rows or no columns.
    """
    planes, form = as_numbers(x, bits, "x")
    shape = planes.shape
    if planes.ndim != 4 or shape[1] != n_channels:
        last = planes.ndim == 4 and shape[3] == n_channels
        hint = ": x.transpose(0, 3, 1, 2) is the same memory as (N, C, H, W)" if last else ""
        raise ValueError(f"x must have shape (N, {n_channels}, H, W), not {shape}{hint}")
    if not (shape[2] and shape[3]):
        raise ValueError(f"planes must have at least one row and one column, not shape {shape}")
    return planes if planes.flags.aligned else planes.copy(), form


def check_out(out: object, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return `out` if results of that shape and dtype can be written into it.

    Raises
    ------
    TypeError
        If it is not an array of that dtype.
    ValueError
        If its shape differs or it is read-only.
    """
    if not isinstance(out, np.ndarray) or out.dtype != dtype:
        found = out.dtype if isinstance(out, np.ndarray) else type(out).__name__
        raise TypeError(f"out must be an array of {dtype}, not {found}")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}, not {out.shape}")
    if not out.flags.writeable:
        raise ValueError("out must be writeable, but it is read-only")
    return out


def as_training_matrix(name: str, value: ArrayLike, ndim: int = 2) -> NDArray[Any]:
    """Return an argument as a finite, non-empty float32 or float64 array of `ndim` axes.

    Raises
    ------
    TypeError
        If it does not hold real numbers.
    ValueError
        If its number of axes differs, an axis is empty, or an entry is NaN, infinite or beyond
        the range of float32; the message names the first such entry.
    """
    array = as_array(name, value)
    if array.dtype.name == "bfloat16":  # of ml_dtypes, which NumPy does not count as a float
        array = array.astype(np.float32)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, not {array.dtype}")
    if array.dtype not in (np.float32, np.float64):
        narrow = array.dtype == np.float16
        array = array.astype(np.float32 if narrow else np.float64)
    if array.ndim != ndim or 0 in array.shape:
        raise ValueError(f"{name} must have {ndim} non-empty axes, not shape {array.shape}")
    finite = np.abs(array) <= np.finfo(np.float32).max  # False for NaN
    if not finite.all():
        where = np.argwhere(~finite)[0]
        place = (
            f"row {where[0]}, column {where[1]}"
            if ndim == 2
            else f"position {', '.join(map(str, where))}"
        )
        raise ValueError(
            f"{name} must be finite in float32, but holds {array[tuple(where)]} at {place}"
        )
    return array


def as_bias(bias: ArrayLike | None, n_outputs: int) -> NDArray[Any]:
    """Return the bias as a finite array (M,); it is zeros if there is none.

    Raises
    ------
    TypeError, ValueError
        As `as_training_matrix`, or if its shape differs.
    """
    added = np.zeros(n_outputs) if bias is None else as_training_matrix("bias", bias, ndim=1)
    if added.shape != (n_outputs,):
        raise ValueError(f"bias must have shape ({n_outputs},), not {added.shape}")
    return added
