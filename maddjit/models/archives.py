"""NumPy archives of records, without pickle: how records are registered, written and read."""

from __future__ import annotations

import json
import mmap
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
from maddjit.models.members import Archive, array_in
from maddjit.models.records import MappedFile, let_go
from maddjit.version import __version__

_FORMATS = ("maddjit-model-1", "maddjit-model-2", "maddjit-model-3", "maddjit-model-4")
"""The names of all formats, oldest first. Files of older ones are still read."""
FORMAT = _FORMATS[-1]
"""The name of the format, which stands in every file."""

_KINDS: dict[str, type[Any]] = {}
"""The classes of models that a file may hold, by the names that files call them."""
Part = type[Any] | tuple[type[Any], ...]
"""The class of a field that is a record or a tuple of records, or all classes it can have."""
_PARTS: dict[type[Any], dict[str, Part]] = {}
"""For each class of records, the fields that are records themselves, with their classes."""
_ADDED: dict[type[Any], dict[str, tuple[int, Any]]] = {}
"""For each class, fields that it has since a format, counted from 1, and their values before it."""
_MOVED: dict[type[Any], Mapping[str, type[Any]]] = {}
"""For each class, fields that are records now and whose fields stood in it before, with classes."""
_SINGLE = b"\x93NUMPY"
"""The first bytes of a file that holds a single array."""
_PLAIN: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "str": (str,),
}
"""The Python types that JSON may give for a field with this annotation."""


class ModelFileError(ValueError):
    """The file is not a model, is damaged, or has a format that is not known."""


K = TypeVar("K", bound=type[Any])


def stored(
    parts: Mapping[str, Part] | None = None,
    added: Mapping[str, tuple[int, Any]] | None = None,
    moved: Mapping[str, type[Any]] | None = None,
) -> Callable[[K], K]:
    """Return a decorator that registers a class of frozen records for model files.

    Parameters
    ----------
    parts : mapping, optional
        The fields that are records themselves, or tuples of records, each with its class, or with
        all classes that its records can have.
    added : mapping, optional
        Fields that older files lack: the first format with each, and its value for older files.
    moved : mapping, optional
        Fields that are records of this class, where older files have the fields of that record.
    """

    def register(kind: K) -> K:
        if issubclass(kind, StoredModel):
            _KINDS[kind.__name__] = kind
        _PARTS[kind], _ADDED[kind], _MOVED[kind] = dict(parts or {}), dict(added or {}), moved or {}
        return kind

    return register


class StoredModel:
    """The methods that all models share: saving to a file, and drawing."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model with its report to an .npz file, without pickle, as `maddjit.save` does.

        Parameters
        ----------
        path : path
            Where to write. A file that is there is replaced.
        """
        save(self, path)

    def plot(self, A: ArrayLike | None = None, *, codebook: int = 0, figure: Any = None) -> Any:
        """Draw the model, as `maddjit.plot` does.

        Parameters
        ----------
        A : (N, D) array_like, optional
            Rows whose codes are counted.
        codebook : int
            The codebook whose tree, or whose prototypes, are drawn.
        figure : matplotlib.figure.Figure, optional
            Where to draw; by default a new figure of pyplot.

        Returns
        -------
        matplotlib.figure.Figure
        """
        return plot(self, A, codebook=codebook, figure=figure)


def save(
    model: StoredModel, path: str | os.PathLike[str], provenance: Mapping[str, Any] | None = None
) -> None:
    """Write a model with its report to an .npz file, without pickle.

    Each array is a member of the archive, named like its field. The member ``about`` is JSON text
    with all other fields, and with the version of maddjit that wrote it.

    Parameters
    ----------
    model : MaddnessModel, StrassenTileModel, ConvolutionModel or Network
    path : path
        Where to write. A file that is there is replaced once all of the model is written.
    provenance : mapping, optional
        What the model was made from, in values that JSON can hold, for `provenance_of`.

    Raises
    ------
    TypeError
        If `model` is not a model, or `path` is not a path.
    OSError
        If the file cannot be written; a file that was there stays.
    """
    if not isinstance(model, StoredModel):
        hint = (
            "; its .model is one" if isinstance(getattr(model, "model", None), StoredModel) else ""
        )
        raise TypeError(f"save takes a model, not {type(model).__name__}{hint}")
    if hasattr(path, "write"):
        raise TypeError(
            f"save takes a path, not a {type(path).__name__}: for an open file there is "
            "file.write(maddjit.storage.to_bytes(model))"
        )
    write_whole(path, to_bytes(model, provenance))


def to_bytes(model: StoredModel, provenance: Mapping[str, Any] | None = None) -> bytes:
    """Return the bytes that `save` writes; equal models give equal bytes."""
    file = BytesIO()
    _write(model, file, dict(provenance or {}))
    return file.getvalue()


def contents(model: StoredModel) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return all that a model is: its fields that are no arrays, as text, and its arrays by name.

    Equal models have equal contents.
    """
    arrays: dict[str, Any] = {}
    name, kind = next(each for each in _KINDS.items() if isinstance(model, each[1]))
    return json.dumps([name, _taken_apart(model, kind, "", arrays)]), arrays


@contextmanager
def blamed(name: object) -> Iterator[None]:
    """Turn any error inside into a `ModelFileError` that names the file.

    Damage shows in many ways: as errors of zlib, zipfile, struct, NumPy, and of ours.
    """
    try:
        yield
    except Exception as error:
        raise ModelFileError(f"{name} is not a sound model: {error}") from error


def _write(model: StoredModel, file: IO[bytes], provenance: dict[str, Any]) -> None:
    """Write the archive of a model into an open file."""
    arrays: dict[str, Any] = {}
    name, kind = next(each for each in _KINDS.items() if isinstance(model, each[1]))
    told = {
        "kind": name,
        "fields": _taken_apart(model, kind, "", arrays),
        "written_by": f"maddjit {__version__}, numpy {np.__version__}",
        "provenance": provenance,
    }
    np.savez(file, format=np.array(FORMAT), about=np.array(json.dumps(told)), **arrays)


def read(file: IO[bytes], is_mapped: bool = False) -> Any:
    """Return the model that an open file holds, made by its constructor.

    Large arrays of bytes may be mapped: they stay in the file.
    """
    archive, told = opened(file)
    if is_mapped:
        archive.mapped = MappedFile(file.fileno(), 0, access=mmap.ACCESS_READ)
    kind = _KINDS.get(told["kind"])
    if kind is None:
        raise ValueError(f"it holds a {told['kind']}, which this version does not know")
    model = _put_together(kind, told["fields"], "", archive)
    let_go()
    return model


def _taken_apart(
    record: Any, kind: type[Any], prefix: str, arrays: dict[str, Any]
) -> dict[str, Any]:
    """Return a record's fields that are not arrays, ready for JSON; add its arrays to `arrays`.

    Arrays are named by their fields, with dots between the fields of nested records.
    """
    parts = _PARTS.get(kind, {})
    tree: dict[str, Any] = {}
    for name in (field.name for field in fields(kind)):
        value = getattr(record, name)
        if isinstance(value, np.ndarray):
            arrays[prefix + name] = value.astype(value.dtype.newbyteorder("<"), copy=False)
            tree[name] = {"shape": value.shape}
        elif name in parts and value is not None:
            tree[name] = _part_taken_apart(value, parts[name], f"{prefix}{name}.", arrays)
        else:
            tree[name] = value
    return tree


def _part_taken_apart(value: Any, kind: Part, prefix: str, arrays: dict[str, Any]) -> Any:
    """Return a field that is a record or a tuple of records, as `_taken_apart` does."""
    if isinstance(value, tuple):
        return [
            _part_taken_apart(each, kind, f"{prefix}{number}.", arrays)
            for number, each in enumerate(value)
        ]
    if isinstance(kind, tuple):
        own = type(value)
        return {"kind": own.__name__, "fields": _taken_apart(value, own, prefix, arrays)}
    return _taken_apart(value, kind, prefix, arrays)


def _part_put_together(kind: Part, tree: Any, prefix: str, archive: Archive) -> Any:
    """Return the field that `_part_taken_apart` took apart."""
    if isinstance(tree, list):
        return tuple(
            _part_put_together(kind, each, f"{prefix}{number}.", archive)
            for number, each in enumerate(tree)
        )
    if isinstance(kind, tuple):
        known = {each.__name__: each for each in kind}
        if not isinstance(tree, dict) or tree.get("kind") not in known:
            raise ValueError(f"{prefix[:-1]} is of no kind that this version knows")
        return _put_together(known[tree["kind"]], tree.get("fields"), prefix, archive)
    return _put_together(kind, tree, prefix, archive)


def _put_together(kind: type[Any], tree: Any, prefix: str, archive: Archive) -> Any:
    """Return the record that `_taken_apart` took apart into `tree` and arrays of the archive."""
    parts, values = _PARTS.get(kind, {}), dict[str, Any]()
    own = {field.name: str(field.type) for field in fields(kind)}
    if isinstance(tree, dict):
        tree, values = _moved(kind, tree, prefix, archive)
    if not isinstance(tree, dict) or set(tree) | set(values) != set(own):
        raise ValueError(f"it does not have the fields of a {kind.__name__}")
    for name, value in tree.items():
        if name in parts:
            values[name] = (
                value
                if value is None
                else _part_put_together(parts[name], value, f"{prefix}{name}.", archive)
            )
        elif isinstance(value, dict):
            array = array_in(archive, prefix + name)
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


def _moved(
    kind: type[Any], tree: dict[str, Any], prefix: str, archive: Archive
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields of an older file that stayed, and the records that others became."""
    values: dict[str, Any] = {}
    for name, part in _MOVED.get(kind, {}).items():
        inner = {field.name for field in fields(part)}
        if name not in tree and inner <= set(tree):  # as files of the first three formats have it
            values[name] = _put_together(
                part, {each: tree[each] for each in inner}, prefix, archive
            )
            tree = {each: value for each, value in tree.items() if each not in inner}
    return tree, values


def opened(file: IO[bytes]) -> tuple[Archive, dict[str, Any]]:
    """Return the archive and its ``about``, once its format and its size are known to be sound."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    first = file.read(len(_SINGLE))
    if not first.startswith((b"PK", _SINGLE)):
        raise ValueError("it is neither .npz nor .npy")
    if first == _SINGLE:
        raise ValueError("it holds a single array")
    archive = Archive(file)
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("it is compressed")
    if sum(member.file_size for member in members) > size:
        raise ValueError("its members are larger than itself")
    written = array_in(archive, "format")
    if written.shape or str(written) not in _FORMATS:
        raise ValueError(f"it holds {str(written)[:100]!r}, not {FORMAT!r}")
    told = json.loads(str(array_in(archive, "about")))
    if not isinstance(told, dict) or not {"kind", "fields", "written_by"} <= set(told):
        raise ValueError("it does not say what it is")
    if not isinstance(told.get("provenance", {}), dict):
        raise TypeError("its provenance is no mapping")
    number = _FORMATS.index(str(written)) + 1
    missing = _ADDED.get(_KINDS.get(told["kind"], object), {}).items()
    told["fields"] |= {name: value for name, (since, value) in missing if number < since}
    return archive, told
