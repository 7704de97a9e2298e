"""Models on disk: read back as they were written, and checked by the models' own rules."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import Any

from maddjit.models.archives import ModelFileError, blamed, opened, read, save, to_bytes
from maddjit.models.maddness import MaddnessModel
from maddjit.models.strassen_tile import StrassenTileModel

__all__ = ["ModelFileError", "about", "from_bytes", "load", "provenance_of", "save", "to_bytes"]

Model = MaddnessModel | StrassenTileModel
"""The kinds of models that files hold."""


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
    with Path(path).open("rb") as file, blamed(path):
        model: Model = read(file)
        return model


def about(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a file says of its model but the arrays: kind, fields, and who wrote it.

    Raises
    ------
    ModelFileError, FileNotFoundError
        As `load`.
    """
    with Path(path).open("rb") as file, blamed(path):
        return opened(file)[1]


def provenance_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what `save` was told of the model's making; nothing if it was not told.

    Raises
    ------
    ModelFileError, FileNotFoundError
        As `load`.
    """
    told: dict[str, Any] = about(path).get("provenance", {})
    return told


def from_bytes(data: bytes) -> Model:
    """Return the model of `to_bytes`.

    Raises
    ------
    ModelFileError
        As `load`.
    """
    with blamed("this"):
        model: Model = read(BytesIO(data))
        return model
