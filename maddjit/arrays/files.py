"""Writes files whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_ANYBODY = 0o666
"""Permissions of a new file, from which the umask of the process takes some away."""
_OWN = 0o600
"""Permissions of a file while it is being written, if it gets others in the end."""


def can_write(folder: Path) -> bool:
    """Tell whether files can be made in a folder; on Windows, by trying it."""
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
    """Write a file beside `path` and then let it take that place, so that it is never half there.

    If `path` is a link, the file that it leads to is replaced. A device or a pipe, such as
    ``/dev/stdout`` often is, is written to directly.

    Parameters
    ----------
    path : path
    content : bytes
        What the file is to hold.
    mode : int, optional
        Permissions; by default those of the file that was there, or of a new file.

    Raises
    ------
    OSError
        If the file cannot be written; it names `path`, and nothing is left behind.
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
