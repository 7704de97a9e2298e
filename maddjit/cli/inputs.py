"""Read matrices from files: npy, npz, safetensors and the constants of ONNX graphs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.checks import as_training_matrix

_NAMED = re.compile(r"(?P<path>.+?\.(?P<kind>npz|safetensors|onnx))(?::(?P<name>.+))?")
"""A file that holds several arrays, and after a colon the name of one."""


class MissingExtraError(ImportError):
    """A package that the command needs is not installed."""

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs {package}, which is not installed: pip install 'maddjit[{extra}]'"
        )


class InputError(ValueError):
    """A file does not hold what was expected."""


@dataclass(frozen=True)
class Matrix:
    """An array and the words that named it on the command line."""

    source: str
    array: NDArray[Any]

    def facts(self) -> dict[str, Any]:
        """Return what a model file remembers of it: source, shape, dtype and SHA-256."""
        content = np.ascontiguousarray(self.array)
        return {
            "source": self.source,
            "shape": list(self.array.shape),
            "dtype": str(self.array.dtype),
            "sha256": hashlib.sha256(content.tobytes()).hexdigest(),
        }


def read(source: str, what: str, ndim: int = 2, transpose: bool = False) -> Matrix:
    """Read a finite, non-empty array of real numbers.

    Parameters
    ----------
    source : str
        file.npy, file.npz:key, file.safetensors:name or file.onnx:name. The colon and what follows
        may be left out if the file holds a single array. In an ONNX file a name is that of a
        constant, or of a MatMul or Gemm that multiplies by one, or of its output. The matrix of a
        Gemm is transposed and scaled as its transB and alpha say. A name with two meanings is
        refused.
    what : str
        What errors call the array.
    ndim : int
        2 for a matrix, 1 for a vector, 4 for images.
    transpose : bool
        Whether to return the transpose of what the file holds.

    Raises
    ------
    InputError
        If the file is damaged; if it holds several arrays and none was named, or none of that name;
        if the array has another number of axes or is empty; if it holds NaN or numbers that are too
        large for float32.
    MissingExtraError
        If the package that reads such files is not installed.
    FileNotFoundError
        If there is no such file.
    """
    path, kind, name = _parts(source)
    if not Path(path).is_file():
        raise FileNotFoundError(f"{what}: there is no file {path}")
    try:
        array = {"npy": _npy, "npz": _npz, "safetensors": _safetensors, "onnx": _onnx}[kind](
            path, name
        )
    except MissingExtraError:
        raise
    except InputError as error:
        raise InputError(f"{what}: {error}") from error
    except Exception as error:  # damage shows in many ways
        raise InputError(f"{what}: {path} cannot be read as {kind}: {error}") from error
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if array.dtype.kind not in "fiu":
        raise InputError(f"{what}: {source} must hold real numbers, not {array.dtype}")
    if array.ndim != ndim:
        wanted = {1: "a vector", 2: "a matrix"}.get(ndim, "images (N, C, H, W)")
        raise InputError(f"{what}: {source} must be {wanted}, but its shape is {array.shape}")
    try:
        as_training_matrix(f"{what}: {source}", array, ndim)
    except ValueError as error:
        raise InputError(str(error)) from error
    return Matrix(source, array.T if transpose else array)


def path_of(source: str) -> str:
    """Return the path of the file that an array's source names."""
    return _parts(source)[0]


def check_pair(rows: Matrix, right: Matrix) -> None:
    """Check that A and B can be multiplied.

    Raises
    ------
    InputError
        If they cannot; the message says whether the transpose of B could be.
    """
    D, (n_rows, n_outputs) = rows.array.shape[1], right.array.shape
    if n_rows != D:
        hint = "; with --transpose it would" if n_outputs == D else ""
        raise InputError(
            f"A of shape {rows.array.shape} and B of shape {right.array.shape} do not fit: "
            f"B must have {D} rows{hint}"
        )


def _parts(source: str) -> tuple[str, str, str | None]:
    """Return the path, the kind of file and the name of the array, if one is given."""
    found = _NAMED.fullmatch(source)
    return (found["path"], found["kind"], found["name"]) if found else (source, "npy", None)


def _npy(path: str, _: str | None) -> NDArray[Any]:
    if _is_archive(path):
        raise InputError(f"{path} is an archive: call it .npz and name the array, file.npz:key")
    array: NDArray[Any] = np.load(path, allow_pickle=False)
    return array


def _npz(path: str, name: str | None) -> NDArray[Any]:
    if not _is_archive(path):
        raise InputError(f"{path} holds a single array: call it .npy")
    with np.load(path, allow_pickle=False) as archive:
        array: NDArray[Any] = archive[_key(path, name, archive.files)]
    return array


def _is_archive(path: str) -> bool:
    """Return whether a file is .npz, not .npy, by its first bytes, whatever its name."""
    with Path(path).open("rb") as file:
        start = file.read(6)
    if not start.startswith((b"PK", b"\x93NUMPY")):
        raise InputError(f"{path} is neither .npy nor .npz")
    return start.startswith(b"PK")


def _safetensors(path: str, name: str | None) -> NDArray[Any]:
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise MissingExtraError(path, "safetensors", "safetensors") from error
    with safe_open(path, framework="np") as file:
        key = _key(path, name, file.keys())
        try:
            array: NDArray[Any] = file.get_tensor(key)
        except TypeError as error:
            kind = file.get_slice(key).get_dtype()
            raise InputError(
                f"{path}: {key} is of type {kind}, which NumPy lacks (BF16 is in ml_dtypes)"
            ) from error
    return array


def _onnx(path: str, name: str | None) -> NDArray[Any]:
    try:
        import onnx

        from maddjit.integrations.onnx.arrays import array_named

        return array_named(onnx.load(path), name, lambda names: _key(path, name, names))
    except ImportError as error:
        raise MissingExtraError(path, "onnx and onnxruntime", "onnx") from error
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def _key(path: str, name: str | None, names: Iterable[str]) -> str:
    """Return the name of the array that is meant, which must be one of those in the file."""
    known = list(names)
    if name is None and len(known) == 1:
        return known[0]
    shown = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
    if name is None:
        raise InputError(f"{path} holds {len(known)} arrays, name one: {path}:key, of {shown}")
    if name not in known:
        raise InputError(f"{path} holds no {name}; it has {shown or 'nothing'}")
    return name
