"""Model files: models are read back as they were saved, and checked by their own rules."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import Any

from maddjit.arrays.ownership import doubt
from maddjit.models.archives import ModelFileError, blamed, opened, read, save, to_bytes
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.maddness import MaddnessModel
from maddjit.models.network import Network
from maddjit.models.strassen_tile import StrassenTileModel

__all__ = ["ModelFileError", "about", "from_bytes", "load", "provenance_of", "save", "to_bytes"]

Product = MaddnessModel | StrassenTileModel
"""The kinds of models that approximate one product."""

Model = Product | ConvolutionModel | Network
"""The kinds of models that files hold."""


def load(path: str | os.PathLike[str], *, mapped: bool = False) -> Model:
    """Return a model that was saved by `save`.

    Parameters
    ----------
    path : path
        The file to read.
    mapped : bool
        Whether large tables stay in the file, which then saves their memory. It must stay as it is
        as long as the model lives: if it is shortened, the process ends. `save` may replace it,
        because it writes another file. Others must not be allowed to write it. The file stays open
        as long as the model lives.

    Returns
    -------
    MaddnessModel, StrassenTileModel, ConvolutionModel or Network
        Made by its constructor, which checks every shape, index and range.

    Raises
    ------
    ModelFileError
        If the file is damaged, is something else, comes from a later version, or breaks a rule of
        its model.
    FileNotFoundError
        If there is no such file.
    PermissionError
        If the file is to be mapped, and belongs to another user or others may write it.
    TypeError
        If `path` is not a path.
    """
    if hasattr(path, "read"):
        raise TypeError(
            f"load takes a path, not a {type(path).__name__}: for an open file there is "
            "maddjit.storage.from_bytes(file.read())"
        )
    with Path(path).open("rb") as file:
        problem = doubt(os.fstat(file.fileno()), is_folder=False, with_root=True)
        if mapped and problem:
            raise PermissionError(f"{path} is not mapped: {problem}")
        with blamed(path):
            model: Model = read(file, mapped)
        return model


def about(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a file says about its model, without the arrays: kind, fields and writer.

    Raises
    ------
    ModelFileError, FileNotFoundError
        Like `load`.
    """
    with Path(path).open("rb") as file, blamed(path):
        return opened(file)[1]


def provenance_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the provenance that `save` was given for a model, or an empty dict.

    Raises
    ------
    ModelFileError, FileNotFoundError
        Like `load`.
    """
    told: dict[str, Any] = about(path).get("provenance", {})
    return told


def from_bytes(data: bytes) -> Model:
    """Return the model whose bytes these are, as `to_bytes` returned them.

    Raises
    ------
    ModelFileError
        Like `load`.
    """
    with blamed("this"):
        model: Model = read(BytesIO(data))
        return model
