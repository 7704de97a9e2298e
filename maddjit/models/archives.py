"""Records in NumPy archives, without pickle: which records, how they are written and read."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from io import BytesIO
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.files import write_whole
from maddjit.models.drawing import plot
from maddjit.version import __version__

FORMAT = "maddjit-model-2"
"""Written into every file; another string is another format."""
_FIRST_FORMAT = "maddjit-model-1"
"""Of older files, which are read too: their models do not say which bias they hold."""

_KINDS: dict[str, type[Any]] = {}
"""The models that a file may hold, by the name that the file says."""
_PARTS: dict[type[Any], dict[str, type[Any]]] = {}
"""The records that are fields of another record, by its class and the field's name."""
_ADDED: dict[type[Any], dict[str, Any]] = {}
"""Fields that files of the first format lack, with the values that they are read as."""
_SINGLE = b"\x93NUMPY"
"""What a file with one array begins with."""
_PLAIN: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "str": (str,),
}
"""What JSON must hold for a field of that annotation."""


class ModelFileError(ValueError):
    """A file is not a model, is damaged, or was written in a format that is not known."""


K = TypeVar("K", bound=type[Any])


def stored(
    parts: Mapping[str, type[Any]] | None = None, added: Mapping[str, Any] | None = None
) -> Callable[[K], K]:
    """Return a decorator that lets model files hold a class of frozen records.

    Parameters
    ----------
    parts : mapping, optional
        The fields that are records themselves, each with its class.
    added : mapping, optional
        Fields that files of the format ``maddjit-model-1`` lack, with the values to read.
    """

    def register(kind: K) -> K:
        if issubclass(kind, Model):
            _KINDS[kind.__name__] = kind
        _PARTS[kind], _ADDED[kind] = dict(parts or {}), dict(added or {})
        return kind

    return register


class Model:
    """What every kind of model can do: be written to a file, and be drawn."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model with its report to an .npz file, without pickle: `maddjit.save`.

        Parameters
        ----------
        path : path
            Of the file; overwritten if it is there.
        """
        save(self, path)

    def plot(self, A: ArrayLike | None = None, *, codebook: int = 0, figure: Any = None) -> Any:
        """Draw the model: `maddjit.plot`.

        Parameters
        ----------
        A : (N, D) array_like, optional
            Rows whose codes are counted.
        codebook : int
            Whose tree is drawn.
        figure : matplotlib.figure.Figure, optional
            What to draw into; by default a new one of pyplot's.

        Returns
        -------
        matplotlib.figure.Figure
        """
        return plot(self, A, codebook=codebook, figure=figure)


def save(
    model: Model, path: str | os.PathLike[str], provenance: Mapping[str, Any] | None = None
) -> None:
    """Write a model with its report to an .npz file.

    Arrays are members of their own, named like the fields they are; ``about`` is JSON text with all
    else, and with the version of maddjit that wrote it.

    Parameters
    ----------
    model : MaddnessModel or StrassenTileModel
    path : path
        Of the file. What is there is replaced, once all of the model is written.
    provenance : mapping, optional
        What the model was made from, as far as JSON can say it, for `provenance_of`.

    Raises
    ------
    TypeError
        If it is no model, or `path` is none.
    OSError
        If the file cannot be written; what was there stays.
    """
    if not isinstance(model, Model):
        hint = "; its .model is one" if isinstance(getattr(model, "model", None), Model) else ""
        raise TypeError(f"save takes a model, not {type(model).__name__}{hint}")
    if hasattr(path, "write"):
        raise TypeError(
            f"save takes a path, not a {type(path).__name__}: for an open file there is "
            "file.write(maddjit.storage.to_bytes(model))"
        )
    write_whole(path, to_bytes(model, provenance))


def to_bytes(model: Model, provenance: Mapping[str, Any] | None = None) -> bytes:
    """Return what `save` writes: the same bytes for the same model."""
    file = BytesIO()
    _write(model, file, dict(provenance or {}))
    return file.getvalue()


@contextmanager
def blamed(name: object) -> Iterator[None]:
    """Say which file it was; damage shows in many ways: zlib, zipfile, struct, NumPy, ours."""
    try:
        yield
    except Exception as error:
        raise ModelFileError(f"{name} is not a sound model: {error}") from error


def _write(model: Model, file: IO[bytes], provenance: dict[str, Any]) -> None:
    arrays: dict[str, Any] = {}
    name, kind = next(each for each in _KINDS.items() if isinstance(model, each[1]))
    told = {
        "kind": name,
        "fields": _taken_apart(model, kind, "", arrays),
        "written_by": f"maddjit {__version__}, numpy {np.__version__}",
        "provenance": provenance,
    }
    np.savez(file, format=np.array(FORMAT), about=np.array(json.dumps(told)), **arrays)


def read(file: IO[bytes]) -> Any:
    """Return the model of an open file, made by its constructor."""
    archive, told = opened(file)
    kind = _KINDS.get(told["kind"])
    if kind is None:
        raise ValueError(f"it holds a {told['kind']}, which this version does not know")
    return _put_together(kind, told["fields"], "", archive)


def _taken_apart(
    record: Any, kind: type[Any], prefix: str, arrays: dict[str, Any]
) -> dict[str, Any]:
    """Return what is no array as JSON takes it; arrays join `arrays`, by dotted names."""
    parts = _PARTS.get(kind, {})
    tree: dict[str, Any] = {}
    for name in (field.name for field in fields(kind)):
        value = getattr(record, name)
        if isinstance(value, np.ndarray):
            arrays[prefix + name] = value.astype(value.dtype.newbyteorder("<"), copy=False)
            tree[name] = {"shape": value.shape}
        elif name in parts and value is not None:
            tree[name] = _taken_apart(value, parts[name], f"{prefix}{name}.", arrays)
        else:
            tree[name] = value
    return tree


def _put_together(kind: type[Any], tree: Any, prefix: str, archive: zipfile.ZipFile) -> Any:
    parts, values = _PARTS.get(kind, {}), {}
    own = {field.name: str(field.type) for field in fields(kind)}
    if not isinstance(tree, dict) or set(tree) != set(own):
        raise ValueError(f"it does not have the fields of a {kind.__name__}")
    for name, value in tree.items():
        if name in parts:
            values[name] = (
                value
                if value is None
                else _put_together(parts[name], value, f"{prefix}{name}.", archive)
            )
        elif isinstance(value, dict):
            array = _array(archive, prefix + name)
            if list(array.shape) != value.get("shape"):
                raise ValueError(f"{prefix}{name} does not have the shape that the text says")
            values[name] = array
        elif isinstance(value, list):
            values[name] = tuple(value)
        else:
            if own[name] in _PLAIN and type(value) not in _PLAIN[own[name]]:
                raise TypeError(f"{name} is {value!r}, no {own[name]}")
            values[name] = value
    return kind(**values)


def opened(file: IO[bytes]) -> tuple[zipfile.ZipFile, dict[str, Any]]:
    """Return the archive and its ``about``, if it is one of ours and no larger than it says."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    first = file.read(len(_SINGLE))
    if not first.startswith((b"PK", _SINGLE)):
        raise ValueError("it is neither .npz nor .npy")
    if first == _SINGLE:
        raise ValueError("it holds a single array")
    archive = zipfile.ZipFile(file)
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("it is compressed")
    if sum(member.file_size for member in members) > size:
        raise ValueError("its members are larger than itself")
    written = _array(archive, "format")
    if written.shape or str(written) not in (FORMAT, _FIRST_FORMAT):
        raise ValueError(f"it holds {str(written)[:100]!r}, not {FORMAT!r}")
    told = json.loads(str(_array(archive, "about")))
    if not isinstance(told, dict) or not {"kind", "fields", "written_by"} <= set(told):
        raise ValueError("it does not say what it is")
    if not isinstance(told.get("provenance", {}), dict):
        raise TypeError("its provenance is no mapping")
    if str(written) == _FIRST_FORMAT and told["kind"] in _KINDS:
        told["fields"] = {**told["fields"], **_ADDED[_KINDS[told["kind"]]]}
    return archive, told


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Return a member, read to its end: only there is its checksum compared."""
    with archive.open(f"{name}.npy") as member:
        array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
        rest = member.read(1)
    # Elements that take no bytes could be any number, more than can ever be looked at.
    if rest or array.dtype.itemsize == 0 or array.dtype.kind not in "biufU":
        raise ValueError(f"{name} is no array of numbers or text, or not all of its member")
    return array
