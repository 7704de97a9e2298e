"""Models on disk: NumPy archives without pickle, checked by the models' own rules when read."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.files import write_whole
from maddjit.models.fit_report import BoundTerms, FitReport
from maddjit.models.maddness import LowRankCore, MaddnessModel
from maddjit.models.schemes import BilinearScheme
from maddjit.models.short_list import ShortList
from maddjit.models.strassen_tile import StrassenTileModel, TileReport
from maddjit.version import __version__

FORMAT = "maddjit-model-2"
"""Written into every file; another string is another format."""
_FIRST_FORMAT = "maddjit-model-1"
"""Of older files, which are read too: their models do not say which bias they hold."""

Model = MaddnessModel | StrassenTileModel
_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (MaddnessModel, StrassenTileModel)}
_PARTS: dict[type[Any], dict[str, type[Any]]] = {
    MaddnessModel: {"core": LowRankCore, "short_list": ShortList, "report": FitReport},
    FitReport: {"bound_terms": BoundTerms},
    StrassenTileModel: {"scheme": BilinearScheme, "report": TileReport},
}
"""The records that are fields of another."""
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


def load(path: str | os.PathLike[str]) -> Model:
    """Read a model written by `save`.

    Parameters
    ----------
    path : path

    Returns
    -------
    MaddnessModel or StrassenTileModel
        Made by its constructor, which checks every shape, index and range.

    Raises
    ------
    ModelFileError
        If the file is damaged, is something else, comes from a later version, or breaks a rule of
        its model.
    FileNotFoundError
        If there is no such file.
    TypeError
        If `path` is none.
    """
    if hasattr(path, "read"):
        raise TypeError(
            f"load takes a path, not a {type(path).__name__}: for an open file there is "
            "maddjit.storage.from_bytes(file.read())"
        )
    with Path(path).open("rb") as file, _blamed(path):
        return _read(file)


def about(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a file says of its model but the arrays: kind, fields, and who wrote it.

    Raises
    ------
    ModelFileError, FileNotFoundError
        As `load`.
    """
    with Path(path).open("rb") as file, _blamed(path):
        return _opened(file)[1]


def provenance_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what `save` was told of the model's making; nothing if it was not told.

    Raises
    ------
    ModelFileError, FileNotFoundError
        As `load`.
    """
    told: dict[str, Any] = about(path).get("provenance", {})
    return told


def to_bytes(model: Model, provenance: Mapping[str, Any] | None = None) -> bytes:
    """Return what `save` writes: the same bytes for the same model."""
    file = BytesIO()
    _write(model, file, dict(provenance or {}))
    return file.getvalue()


def from_bytes(data: bytes) -> Model:
    """Return the model of `to_bytes`.

    Raises
    ------
    ModelFileError
        As `load`.
    """
    with _blamed("this"):
        return _read(BytesIO(data))


@contextmanager
def _blamed(name: object) -> Iterator[None]:
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


def _read(file: IO[bytes]) -> Model:
    archive, told = _opened(file)
    kind = _KINDS.get(told["kind"])
    if kind is None:
        raise ValueError(f"it holds a {told['kind']}, which this version does not know")
    model: Model = _put_together(kind, told["fields"], "", archive)
    return model


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


def _opened(file: IO[bytes]) -> tuple[zipfile.ZipFile, dict[str, Any]]:
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
    if str(written) == _FIRST_FORMAT and told["kind"] == MaddnessModel.__name__:
        told["fields"] = {**told["fields"], "bias": None}
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
