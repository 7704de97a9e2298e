"""Loads exported operators back: checks the library, the CPU and every array, then calls C."""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.checks import as_rows, check_out
from maddjit.arrays.formats import INPUTS, OUTPUTS, RESULTS
from maddjit.arrays.layout import direct_order
from maddjit.compiler import llvm, objects
from maddjit.compiler.platforms import files_of
from maddjit.compiler.target import TargetError
from maddjit.exporting.libraries import (
    check_owner,
    description_of,
    has_changed,
    library_in,
    load_file,
)

# int name_run(A, n_rows, A_stride, Y, Y_stride, workspace); the result is an error, or 0.
_RUN = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_void_p,
)


class NativeOperator:
    """An exported operator as a callable; made by `maddjit.native.load`.

    It may be called from many threads; each call runs in its own, without the GIL. It can be
    pickled: the path of its library travels, and the same file must be there where it lands.

    Attributes
    ----------
    path : Path
        The library.
    description : mapping
        What the library says of itself: sizes, dtypes, orders, feature level and versions.
    """

    def __init__(self, path: Path, description: Mapping[str, Any], library: ctypes.CDLL) -> None:
        self.path = path
        self.description = MappingProxyType(dict(description))
        self._library = library  # keeps it loaded as long as this object lives
        self._run = _RUN((f"{description['name']}_run", library))
        self._form = INPUTS[description["dtype"]]
        is_outputs = description["what"] == "outputs"
        self._dtype = (OUTPUTS[description["output"]] if is_outputs else RESULTS["winners"]).dtype
        self._spare: list[NDArray[np.uint8]] = []

    @property
    def n_features(self) -> int:
        """How many columns A has."""
        return int(self.description["n_features"])

    @property
    def width(self) -> int:
        """How many results each row has."""
        return int(self.description["width"])

    def __call__(self, A: ArrayLike, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return what the exported operator computes.

        Parameters
        ----------
        A : (N, D) or (D,) array_like
            Of the dtype that was exported. It is read in place if its rows are contiguous, or its
            columns if the operator was exported for those; else it is copied. If the tiles of a
            Strassen-Tile operator are made of neighbouring rows, a call is one sequence.
        out : array, optional
            Where to write: (N, M) or (M,) for outputs, (N, k) or (k,) for the k largest, (N,) or ()
            for the arg-max. The function writes into it directly if it is contiguous in the order
            that was exported and shares no memory with A. If the operator adds a residual, `out`
            must be given and hold it.

        Returns
        -------
        array
            The same bits as those of the operator that was exported.

        Raises
        ------
        TypeError
            If A or `out` has another dtype.
        ValueError
            If a shape does not fit, `out` is read-only, or the operator adds a residual and `out`
            is not given.
        """
        told, form = self.description, self._form
        rows, found, single = as_rows(A, self.n_features, form.name == "bfloat16")
        if found is not form:
            raise TypeError(
                f"A must hold {form.name}, for which this was exported, not {found.name}"
            )
        if out is None and told["adds"]:
            raise ValueError("out must hold the residual: the operator adds to it")
        if not _is_in_order(rows, told["order"]):
            rows = np.array(rows, order=told["order"])
        n_rows = len(rows)
        shape: tuple[int, ...] = (self.width,) if single else (n_rows, self.width)
        if told["what"] == "argmax":
            shape = () if single else (n_rows,)
        order = told["out_order"]
        if out is None:
            answer = np.empty(shape, self._dtype, order if len(shape) == 2 else "C")
        else:
            answer = check_out(out, shape, self._dtype)
        table = answer[np.newaxis] if single else answer
        table = table[:, np.newaxis] if told["what"] == "argmax" else table
        written = table
        if direct_order(table, rows) != order or not _is_ascending(table, order):
            written = np.empty(table.shape, self._dtype, order)
            written[...] = table
        self._call(rows, written)
        if written is not table:
            table[...] = written
        return answer if out is not None else answer[()]

    def _call(self, rows: NDArray[Any], written: NDArray[Any]) -> None:
        """Call the C function on arrays that it can read and write where they are."""
        try:
            workspace = self._spare.pop()
        except IndexError:
            workspace = np.empty(self.description["workspace_bytes"], np.uint8)
        A_axis = 0 if self.description["order"] == "C" else 1
        Y_axis = 0 if self.description["out_order"] == "C" else 1
        least = written.shape[1 - Y_axis]
        error = self._run(
            rows.__array_interface__["data"][0],
            len(rows),
            rows.strides[A_axis] // rows.itemsize if rows.shape[A_axis] > 1 else 0,
            written.__array_interface__["data"][0],
            written.strides[Y_axis] // written.itemsize if written.shape[Y_axis] > 1 else least,
            workspace.__array_interface__["data"][0],
        )
        if error:
            raise RuntimeError(f"{self.path.name} refused the call with error {error}")
        self._spare.append(workspace)

    def __reduce__(self) -> tuple[Any, ...]:
        if has_changed(self.path):
            raise ValueError(
                f"{self.path} has changed since it was loaded, so the operator cannot be pickled"
            )
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        return _loaded_again, (os.fspath(self.path), self.description["name"], digest)

    def __repr__(self) -> str:
        told = self.description
        return (
            f"NativeOperator((N, {self.n_features}) → (N, {self.width}), {told['words']!r}, "
            f"target={told['level']!r}, {os.fspath(self.path)!r})"
        )


def load(path: str | os.PathLike[str], name: str | None = None) -> NativeOperator:
    """Load an exported library as an operator, without its model and without compiling anything.

    A library is code that will run. It is refused if any user but its owner could have written the
    file or its folder; the owner must be the user of this process, or root.

    Parameters
    ----------
    path : path
        The library, or the folder that it was exported to.
    name : str, optional
        The name that the operator was exported by. It is needed if the folder has several libraries
        or the file was renamed.

    Returns
    -------
    NativeOperator

    Raises
    ------
    FileNotFoundError
        If there is no library.
    PermissionError
        If others could have written it.
    TargetError
        If this machine lacks a feature that the code needs; none of the code has run then.
    ValueError
        If the file was not exported by maddjit, or by a version with another interface, or is a
        convolution, or the folder has several libraries, or the file has changed since this process
        loaded it.
    OSError
        If the system's loader refuses it.

    Examples
    --------
    >>> import numpy as np, maddjit, tempfile
    >>> rng = np.random.default_rng(0)
    >>> A, B = rng.standard_normal((500, 32)), rng.standard_normal((32, 3))
    >>> op = maddjit.compile(maddjit.fit(A, B, n_codebooks=16))
    >>> rows = A[:4].astype(np.float32)
    >>> folder = tempfile.TemporaryDirectory()
    >>> if op.export(folder.name, name="head").library:  # None without a C compiler
    ...     head = maddjit.native.load(folder.name)
    ...     assert (head(rows) == op(rows)).all()
    >>> folder.cleanup()
    """
    file = library_in(Path(path), name).resolve(strict=True)
    check_owner(file)
    host = llvm.host()
    with open(file, "rb") as code:
        architecture = objects.architecture(code.read(objects.HEAD_BYTES))
    if architecture not in (None, host.architecture):
        raise TargetError(
            f"{file} is for {architecture}, this machine is {host.architecture}: export it for "
            "another target"
        )
    library = load_file(file)
    prefix = files_of(host.triple).library_prefix
    name = name or file.name.partition(".")[0].removeprefix(prefix)
    description = description_of(library, file, name)
    if description["what"] == "planes":
        raise ValueError(
            f"{file} is a convolution, which C programs call: for Python, maddjit.compile its model"
        )
    missing = sorted(set(description["requires"]) - host.features)
    if missing:
        raise TargetError(
            f"{file} is for {description['level']} and needs {', '.join(missing)}, which this "
            f"machine ({host.cpu}) lacks: export it for another target"
        )
    return NativeOperator(file, description, library)


def _loaded_again(path: str, name: str, digest: str) -> NativeOperator:
    """Load the library of an operator that was pickled, if it still is the same file.

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    ValueError
        If its content is another one.
    PermissionError, TargetError, OSError
        As for `load`.
    """
    try:
        found = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"a pickled operator needs its library, and {path} is not there: copy it, or pickle "
            "what maddjit.compile returns, which needs no file"
        ) from None
    if found != digest:
        raise ValueError(
            f"{path} is not the library of the operator that was pickled: copy that library there"
        )
    return load(path, name)


def _is_in_order(rows: NDArray[Any], order: str) -> bool:
    """Tell whether rows can be read in place: they are aligned, and contiguous along an axis."""
    along, across = rows.strides[::-1] if order == "C" else rows.strides
    length = rows.shape[1 if order == "C" else 0]
    contiguous = along == rows.itemsize or length <= 1
    return rows.flags.aligned and contiguous and across % rows.itemsize == 0


def _is_ascending(written: NDArray[Any], out_order: str) -> bool:
    """Tell whether the steps between rows (or columns) are positive and of whole elements."""
    axis = 0 if out_order == "C" else 1
    step = written.strides[axis]
    return written.shape[axis] < 2 or (step > 0 and step % written.itemsize == 0)
