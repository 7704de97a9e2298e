"""Libraries on disk: finds the file, refuses what others may write, reads its description."""

from __future__ import annotations

import ctypes
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maddjit.arrays.ownership import doubt
from maddjit.compiler import llvm
from maddjit.compiler.c_interface import LAYOUT
from maddjit.compiler.platforms import files_of

_DESCRIBED = "_description"
"""The suffix of the symbol of the text in which a library describes itself."""
_loaded: dict[Path, tuple[int, ...]] = {}
"""The `_identity` of each file at the time when this process loaded it."""
_lock = threading.Lock()


def library_in(path: Path, name: str | None) -> Path:
    """Return the library that a path leads to: the file itself, or the one in a folder.

    Raises
    ------
    FileNotFoundError
        If a folder has none.
    ValueError
        If a folder has several.
    """
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


def check_owner(file: Path) -> None:
    """Refuse a library that others could have written.

    Raises
    ------
    PermissionError
        If any user but its owner may write the file or its folder, or its owner is neither the user
        of this process nor root.
    """
    for place in (file, file.parent):
        problem = doubt(place.stat(), is_folder=place is not file, with_root=True)
        if problem:
            raise PermissionError(f"{file} is not loaded, because of {place}: {problem}")


def load_file(file: Path) -> ctypes.CDLL:
    """Load a library, unless this process has loaded another file from the same path before.

    The system's loader would then return that earlier library.

    Raises
    ------
    ValueError
        If the file has changed since.
    OSError
        If the loader refuses it.
    """
    own = _identity(file)
    with _lock:
        if _loaded.get(file, own) != own:
            raise ValueError(
                f"{file} has changed since this process loaded it, and the earlier library stays "
                "loaded: export to another folder, or start a new process"
            )
        library = ctypes.CDLL(os.fspath(file))
        _loaded[file] = own
    return library


def has_changed(file: Path) -> bool:
    """Tell whether a file has changed since this process loaded it."""
    return _loaded.get(file) != _identity(file)


def description_of(library: ctypes.CDLL, file: Path, name: str) -> Mapping[str, Any]:
    """Return the description of a library, as the library holds it.

    Raises
    ------
    ValueError
        If it is not a library of an operator of that name, or another version of maddjit wrote it.
    """
    try:
        symbol = ctypes.c_char.in_dll(library, f"{name}{_DESCRIBED}")
    except ValueError:
        raise ValueError(f"{file} is no library that maddjit exported as {name!r}") from None
    told: Mapping[str, Any] = json.loads(ctypes.string_at(ctypes.addressof(symbol)))
    if told.get("layout") != LAYOUT:
        raise ValueError(f"{file} was exported by another version: {told.get('maddjit')}")
    return told


def _identity(file: Path) -> tuple[int, ...]:
    """Return numbers of a file that change if it is replaced or written to."""
    status = file.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
