"""Exported operators, loaded back: checks the library, the CPU and every array, then calls C."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import threading
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
from maddjit.compiler.c_interface import LAYOUT
from maddjit.compiler.ownership import doubt
from maddjit.compiler.platforms import files_of
from maddjit.compiler.target import TargetError

_DESCRIBED = "_description"
_RUN = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_void_p,
)
_loaded: dict[Path, tuple[int, ...]] = {}
_lock = threading.Lock()


class NativeOperator:
    """An exported operator, as a callable; made by `maddjit.native.load`.

    It may be called from many threads; each call runs in its own, without the GIL. It can be
    pickled: the path of its library travels, and the same file must be there where it lands.

    Attributes
    ----------
    path : Path
        The library.
    description : mapping
        What the library says of itself: sizes, dtypes, orders, feature level, versions.
    """

    def __init__(self, path: Path, description: Mapping[str, Any], library: ctypes.CDLL) -> None:
        self.path = path
        self.description = MappingProxyType(dict(description))
        self._library = library  # it is there as long as this is
        self._run = _RUN((f"{description['name']}_run", library))
        self._form = INPUTS[description["dtype"]]
        is_outputs = description["what"] == "outputs"
        self._dtype = (OUTPUTS[description["output"]] if is_outputs else RESULTS["winners"]).dtype
        self._spare: list[NDArray[np.uint8]] = []

    @property
    def n_features(self) -> int:
        """Columns of A."""
        return int(self.description["n_features"])

    @property
    def width(self) -> int:
        """Results of a row."""
        return int(self.description["width"])

    def __call__(self, A: ArrayLike, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Compute what the operator computed that was exported.

        Parameters
        ----------
        A : (N, D) or (D,) array_like
            Of the dtype that was exported. Read in place if its rows (or columns, as exported) are
            contiguous, else copied.
        out : (N, M) or (M,) array, optional
            Where to write; written directly if it is contiguous in the order that was exported and
            shares no memory with A. Of the k largest it is (N, k), of the largest (N,). If the
            operator adds a residual, `out` must be given and holds it.

        Returns
        -------
        array
            The same bits as those of the operator that was exported.

        Raises
        ------
        TypeError
            If A or `out` has another dtype.
        ValueError
            If a shape does not fit, `out` is read-only, or it lacks though it holds a residual.
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
        if _loaded.get(self.path) != _identity(self.path):
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
    """Load an exported library, whose operator then has no need of the model or of LLVM.

    A library is code that will run. It is refused if any other user than its owner could have
    written it or its folder; the owner must be the user of this process, or root.

    Parameters
    ----------
    path : path
        The library, or the folder it was exported to.
    name : str, optional
        What the operator was called; needed if the folder has several or the file was renamed.

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
        If this machine lacks a feature that the code needs; none of it has run then.
    ValueError
        If it is no library of this package, of another version of it, the folder has several, or
        another one was loaded from the same path before.
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
    file = _library_in(Path(path), name).resolve(strict=True)
    for place in (file, file.parent):
        problem = doubt(place.stat(), is_folder=place is not file, with_root=True)
        if problem:
            raise PermissionError(f"{file} is not loaded: as for {place}, {problem}")
    host = llvm.host()
    with open(file, "rb") as opened:
        architecture = objects.architecture(opened.read(objects.HEAD_BYTES))
    if architecture not in (None, host.architecture):
        raise TargetError(f"{file} is for {architecture}, this machine is {host.architecture}")
    library = _open(file)
    prefix = files_of(host.triple).library_prefix
    name = name or file.name.partition(".")[0].removeprefix(prefix)
    description = _description(library, file, name)
    missing = sorted(set(description["requires"]) - host.features)
    if missing:
        raise TargetError(
            f"{file} is for {description['level']} and needs {', '.join(missing)}, which this "
            f"machine ({host.cpu}) lacks: export it for another target"
        )
    return NativeOperator(file, description, library)


def _loaded_again(path: str, name: str, digest: str) -> NativeOperator:
    """Load the library of a pickled operator, if it is the one that was pickled.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If another file is.
    PermissionError, TargetError, OSError
        As `load`.
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
            f"{path} is not the library of the operator that was pickled: copy that one there"
        )
    return load(path, name)


def _identity(file: Path) -> tuple[int, ...]:
    status = file.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _library_in(path: Path, name: str | None) -> Path:
    if not path.is_dir():
        return path
    files = files_of(llvm.host().triple)
    pattern = files.library_name(name or "*")
    found = sorted(path.glob(pattern))
    if not found:
        raise FileNotFoundError(f"there is no {pattern} in {path}")
    if len(found) > 1:
        names = ", ".join(each.stem.removeprefix(files.library_prefix) for each in found)
        raise ValueError(f"{path} has several libraries, name one of them: {names}")
    return found[0]


def _open(file: Path) -> ctypes.CDLL:
    """Load a file; the system would take one that was loaded from the same path for it."""
    own = _identity(file)
    with _lock:
        if _loaded.get(file, own) != own:
            raise ValueError(
                f"{file} has changed since this process loaded it, which keeps the earlier one: "
                "export to another folder, or start anew"
            )
        library = ctypes.CDLL(os.fspath(file))
        _loaded[file] = own
    return library


def _description(library: ctypes.CDLL, file: Path, name: str) -> Mapping[str, Any]:
    try:
        symbol = ctypes.c_char.in_dll(library, f"{name}{_DESCRIBED}")
    except ValueError:
        raise ValueError(f"{file} is no library that maddjit exported as {name!r}") from None
    told: Mapping[str, Any] = json.loads(ctypes.string_at(ctypes.addressof(symbol)))
    if told.get("layout") != LAYOUT:
        raise ValueError(f"{file} was exported by another version: {told.get('maddjit')}")
    return told


def _is_in_order(rows: NDArray[Any], order: str) -> bool:
    """Tell whether rows can be read where they are: aligned, and contiguous along one axis."""
    along, across = rows.strides[::-1] if order == "C" else rows.strides
    length = rows.shape[1 if order == "C" else 0]
    contiguous = along == rows.itemsize or length <= 1
    return rows.flags.aligned and contiguous and across % rows.itemsize == 0


def _is_ascending(written: NDArray[Any], out_order: str) -> bool:
    axis = 0 if out_order == "C" else 1
    step = written.strides[axis]
    return written.shape[axis] < 2 or (step > 0 and step % written.itemsize == 0)
