"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_ANYBODY = 0o666
"""Less what the process' umask takes away, as for any new file."""
_OWN = 0o600
"""Until a file is written whose permissions are given by another."""


def can_write(folder: Path) -> bool:
    """Tell whether files can be made in a folder; on Windows nothing but trying tells."""
    if os.name != "nt":
        return os.access(folder, os.W_OK)
    try:
        tried = folder / f".{secrets.token_hex(8)}"
        tried.touch(exist_ok=False)
        tried.unlink()
    except OSError:
        return False
    return True


def write_whole(path: str | os.PathLike[str], content: bytes, mode: int | None = None) -> None:
    """Write a file beside `path`, then let it take its place: what was there stays until then.

    A link stays one, and what is no regular file (a device, a pipe, ``/dev/stdout`` that leads to
    one) is written to directly.

    Parameters
    ----------
    path : path
    content : bytes
    mode : int, optional
        Permissions; by default those of the file that was there, or a new file's.

    Raises
    ------
    OSError
        With the name of `path`; nothing is left behind.
    """
    try:
        # Asked of the path itself: what a link in /dev or /proc to a pipe says is no path.
        if os.path.exists(path) and not os.path.isfile(path):
            Path(path).write_bytes(content)
            return
        place = Path(os.path.realpath(path))
        if mode is None and place.exists():
            mode = place.stat().st_mode & 0o7777
        part = place.with_name(f".{place.name[:100]}.{secrets.token_hex(8)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        descriptor = os.open(part, flags, _ANYBODY if mode is None else _OWN)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            if mode is not None:
                part.chmod(mode)
            part.replace(place)
        except BaseException:
            part.unlink()
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
