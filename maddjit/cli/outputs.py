"""Check the files that commands write, before the long work."""

from __future__ import annotations

import os
from pathlib import Path

from maddjit.cli.answers import UsageError
from maddjit.cli.inputs import path_of


def is_stdout(path: str | None) -> bool:
    """Return whether a file that a command writes is its stdout, which then holds nothing else."""
    if path is None:
        return False
    try:
        found = os.stat(path)
        return os.path.samestat(found, os.fstat(1)) and not os.path.samefile(path, os.devnull)
    except OSError:
        return False


def check_output(path: str, *taken: str | None) -> None:
    """Refuse a file that cannot be written, or that the command also reads or writes.

    Parameters
    ----------
    path : str
    *taken : str or None
        What else the command reads or writes, as named on the command line; None if it was not
        named.

    Raises
    ------
    UsageError
        If the file is one of those.
    FileNotFoundError
        If its folder does not exist.
    IsADirectoryError
        If it is a folder.
    """
    if not Path(path).absolute().parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: its folder is not there")
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file")
    for other in (path_of(source) for source in taken if source is not None):
        same = os.path.realpath(other) == os.path.realpath(path)
        if same or (Path(other).exists() and Path(path).exists() and Path(path).samefile(other)):
            raise UsageError(f"{path} is already read or written by this command: name another")
