"""Ownership: who could have written a file or folder from which code will be loaded."""

from __future__ import annotations

import os
import stat

ROOT = 0
"""The number of the user who can change every file anyway."""


def doubt(status: os.stat_result, is_folder: bool, with_root: bool = False) -> str:
    """Return why code from a file or folder must not be run; empty if it may be run.

    It must be of the right kind, and nobody but its owner may be allowed to write it. The owner
    must be the user of this process, or also root if `with_root`. Systems without such users are
    asked for the kind alone.
    """
    right_kind = stat.S_ISDIR if is_folder else stat.S_ISREG
    if not right_kind(status.st_mode):
        return f"it is not a {'folder' if is_folder else 'file'}"
    if not hasattr(os, "getuid"):
        return ""
    if status.st_uid != os.getuid() and not (with_root and status.st_uid == ROOT):
        return f"it belongs to user {status.st_uid}"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write it (mode {stat.S_IMODE(status.st_mode):o})"
    return ""
