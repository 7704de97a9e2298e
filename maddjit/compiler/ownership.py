"""Who could have written a file or folder that code is to be loaded from."""

from __future__ import annotations

import os
import stat

ROOT = 0
"""The user who can change everything anyway."""


def doubt(status: os.stat_result, is_folder: bool, with_root: bool = False) -> str:
    """Tell why what is there must not be run; empty if only its owner could have written it.

    The owner must be the user of this process, or root if `with_root` says so. Where there are no
    such users nothing is known, and nothing is doubted but the kind of file.
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
