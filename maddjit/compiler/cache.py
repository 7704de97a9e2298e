"""The cache of compiled objects on disk; each object is checked before it is loaded."""

from __future__ import annotations

import hashlib
import logging
import mmap
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

from maddjit.arrays.ownership import doubt
from maddjit.compiler.objects import Code

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "MADDJIT_CACHE_DIR"
"""The environment variable that names the cache's folder; an empty one turns the cache off."""
BYTES_VARIABLE = "MADDJIT_CACHE_BYTES"
"""The environment variable that bounds the size of the cache, in bytes."""

_MOST_BYTES = 256 * 1024 * 1024
"""The bound if the environment names none."""
_EVICTED_TO = 0.8
"""Share of the bound that eviction leaves in use, so that not every write has to evict."""
_PART_SECONDS = 3600
"""Age at which a file that is being written belongs to a process that was ended."""

_MAGIC = b"maddjit object 2\n"
"""The first bytes of a kept object; a digest follows, then a line of text, then the code."""
_HEAD_BYTES = len(_MAGIC) + hashlib.sha256().digest_size
"""Bytes in front of the line."""
_MOST_LINE_BYTES = 1000
"""The line is shorter: it has the size of the object, and where its other constants belong."""
_PIECE_BYTES = 1024 * 1024
"""Bytes of a file that are in memory at once: a multiple of pages."""
_SUFFIX = ".object"
"""The suffix of a kept object."""
_PART_SUFFIX = ".object-part"
"""The suffix of a file that is still being written."""
_DAMAGED = "it is damaged"
"""The problem of a file that is not what was written."""
_ABSENT = "it is not there"
"""The problem of a folder that does not exist (yet)."""
_TO_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
"""How objects are opened: links are not followed, where the system can refuse them."""
_GONE_OR_IN_USE = (FileNotFoundError, *([PermissionError] if os.name == "nt" else []))
"""Errors of removing a file that may be ignored. Windows removes no file that is open."""


@dataclass(frozen=True)
class CacheInfo:
    """What the cache holds.

    Attributes
    ----------
    folder : Path or None
        None if there is no cache: `MADDJIT_CACHE_DIR` is empty, or the home folder is not known.
    problem : str
        Why the folder is not used; empty if it is used.
    n_objects, n_bytes : int
        Number of objects, and their size in bytes.
    most_bytes : int
        Bytes that they may have.
    """

    folder: Path | None
    problem: str
    n_objects: int
    n_bytes: int
    most_bytes: int

    def __str__(self) -> str:
        if self.folder is None:
            return "no cache"
        used = (
            f"{self.n_objects} objects, {self.n_bytes / 2**20:.1f} of at most "
            f"{self.most_bytes / 2**20:.1f} MiB"
        )
        return f"{self.folder}: {self.problem or used}"


def read(key: str | None) -> Code | None:
    """Return the object of that name, or None if there is none that may be run.

    An object is code that will run. So it must be complete, belong to the user of this process, and
    be in a file and a folder that nobody else may write. Nothing is raised; problems are logged.
    """
    folder = _folder()
    if key is None or folder is None or _problem(folder):
        return None
    path = folder / f"{key}{_SUFFIX}"
    try:
        descriptor = os.open(path, _TO_READ)
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.warning("%s is not used: %s", path, error)
        return None
    with os.fdopen(descriptor, "rb") as file:
        found = doubt(os.fstat(descriptor), is_folder=False) or _checked(key, file)
    if isinstance(found, str):
        logger.warning("%s is not used: %s", path, found)
        return None
    with suppress(OSError):
        os.utime(path)  # used just now
    return found


def _checked(key: str, file: IO[bytes]) -> Code | str:
    """Return the object that an open file holds, or why there is none.

    Constants that stand apart stay in the file: only one piece at a time is in memory.
    """
    size = os.fstat(file.fileno()).st_size
    if size <= _HEAD_BYTES:
        return _DAMAGED
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if mapped[:_HEAD_BYTES] != _MAGIC + _digest(key, _pieces(mapped, _HEAD_BYTES)):
        return _DAMAGED
    begun = mapped.find(b"\n", _HEAD_BYTES, _HEAD_BYTES + _MOST_LINE_BYTES) + 1
    length, place = mapped[_HEAD_BYTES : begun - 1].decode().split(" ")
    end = begun + int(length)
    return Code(mapped[begun:end], place, size - end, _pieces(mapped, end))


def _pieces(mapped: mmap.mmap, begun: int) -> Iterator[bytes]:
    """Yield what a file holds from a place on; pages that were read are given back."""
    while begun < len(mapped):
        page = begun // _PIECE_BYTES * _PIECE_BYTES
        yield mapped[begun : page + _PIECE_BYTES]
        if hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED, page, min(_PIECE_BYTES, len(mapped) - page))
        begun = page + _PIECE_BYTES


def write(key: str | None, code: Code) -> None:
    """Keep an object; the least recently used objects make room for it.

    The file appears under its name only when it is complete. If it cannot be kept (there is no home
    folder, the disk is full or read-only), that is logged and nothing else happens.
    """
    folder = _folder()
    if key is None or folder is None or code.n_bytes > _most_bytes():
        return
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _problem(folder):
            return
        line = f"{len(code.object)} {code.place}\n".encode()
        parts = (line, code.object, *code.constants)
        descriptor, part = tempfile.mkstemp(_PART_SUFFIX, dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_MAGIC + _digest(key, parts))
                file.writelines(parts)
            os.replace(part, folder / f"{key}{_SUFFIX}")
        except BaseException:
            os.unlink(part)
            raise
        _evict(folder)
    except OSError as error:
        logger.info("%s cannot be written: %s", folder, error)


def _digest(key: str, parts: Iterable[bytes | memoryview]) -> bytes:
    """Return the digest of an object and its name."""
    digest = hashlib.sha256(key.encode())
    for part in parts:
        digest.update(part)
    return digest.digest()


def info() -> CacheInfo:
    """Return what the cache holds."""
    folder = _folder()
    problem = _problem(folder) if folder else ""
    if problem == _ABSENT:  # until the first object is written
        problem = ""
    sizes = [size for _, size, _ in _objects(folder)] if folder and not problem else []
    return CacheInfo(folder, problem, len(sizes), sum(sizes), _most_bytes())


def works() -> bool:
    """Tell whether the cache works: write an object, read it back, and remove it."""
    key, content = secrets.token_hex(32), secrets.token_bytes(100)
    write(key, Code(content))
    found = read(key)
    folder = _folder()
    if folder is not None:
        with suppress(OSError):
            (folder / f"{key}{_SUFFIX}").unlink()
    return found is not None and found.object == content


def clear() -> int:
    """Remove all objects, and return how many were removed."""
    folder, n_removed = _folder(), 0
    if folder is None or _problem(folder):
        return 0
    _remove_parts(folder)
    for path, _, _ in list(_objects(folder)):
        with suppress(*_GONE_OR_IN_USE):
            path.unlink()
            n_removed += 1
    return n_removed


def _folder() -> Path | None:
    """Return the folder that the environment or the operating system names; None for no cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named is not None:
        return Path(named) if named else None
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return Path(base, "maddjit", "cache") if base else None
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        if home and Path(home).is_absolute():  # the specification ignores relative paths
            return Path(home, "maddjit")
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "maddjit"
        return Path.home() / ".cache" / "maddjit"
    except RuntimeError:
        return None


def _most_bytes() -> int:
    """Return the largest size of the cache, in bytes."""
    told = os.environ.get(BYTES_VARIABLE)
    return _as_bytes(told) if told else _MOST_BYTES


@cache
def _as_bytes(told: str) -> int:
    """Return the number of bytes that a text names; warn once if it names none."""
    try:
        found = int(told)
    except ValueError:
        found = -1
    if found < 0:
        logger.warning("%s=%s is no number of bytes and is ignored", BYTES_VARIABLE, told)
        return _MOST_BYTES
    return found


def _problem(folder: Path) -> str:
    """Return why a folder's objects must not be run, and warn once; empty if they may be run."""
    try:
        found = doubt(folder.stat(), is_folder=True)
    except FileNotFoundError:
        return _ABSENT
    except OSError as error:
        found = str(error)
    if found:
        _warn_once(folder, found)
    return found


@cache
def _warn_once(folder: Path, problem: str) -> None:
    logger.warning("the cache %s is not used: %s", folder, problem)


def _objects(folder: Path | None, suffix: str = _SUFFIX) -> Iterator[tuple[Path, int, float]]:
    """Yield the path, the size and the time of last use of each file with a suffix."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(suffix) and entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    yield Path(entry.path), status.st_size, status.st_mtime


def _remove_parts(folder: Path) -> None:
    """Remove files that were left by processes that were ended while they wrote."""
    for path, _, written in list(_objects(folder, _PART_SUFFIX)):
        if time.time() - written > _PART_SECONDS:
            with suppress(*_GONE_OR_IN_USE):
                path.unlink()


def _evict(folder: Path) -> None:
    """Remove the least recently used objects if all together exceed the bound."""
    found = sorted(_objects(folder), key=lambda each: each[2])
    total, most = sum(size for _, size, _ in found), _most_bytes()
    if total <= most:
        return
    _remove_parts(folder)
    for path, size, _ in found[:-1]:  # the last one was written just now
        if total <= _EVICTED_TO * most:
            return
        with suppress(*_GONE_OR_IN_USE):
            path.unlink()
        total -= size
