"""Models on disk: NumPy archives without pickle, checked by the model's own rules when read."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np

from maddjit.models import LowRankCore, MaddnessModel
from maddjit.schemes import BilinearScheme
from maddjit.short_list import ShortList
from maddjit.tile_models import StrassenTileModel

FORMAT = "maddjit-maddness-1"
"""Written into every file; another string is another format."""
CORE_FORMAT = "maddjit-maddness-2"
"""The same with the arrays of an exact core, which a reader of the first must not leave out."""
SHORT_LIST_FORMAT = "maddjit-maddness-3"
"""The first with the arrays of a short list."""
TILE_FORMAT = "maddjit-strassen-tile-1"
"""A `StrassenTileModel`, its scheme included."""

_ARRAYS = ("split_dims", "thresholds", "tables", "scale", "offset")
_CORE_ARRAYS = ("projection", "expansion")
_SHORT_LIST_ARRAYS = ("tables", "B", "bias", "margins", "covered", "lengths")
_SCHEME_ARRAYS = ("encode_a", "encode_b", "decode")
_TILE_ARRAYS = ("values", "bias")
_TILE_NUMBERS = ("n_features", "n_outputs", "tile_rows", "is_encoded")


class ModelFileError(ValueError):
    """A file is not a model, is damaged, or was written in a format that is not known."""


def save(model: MaddnessModel | StrassenTileModel, path: str | os.PathLike[str]) -> None:
    """Write a model to an .npz file; its report is not kept."""
    with Path(path).open("wb") as file:
        _write(model, file)


def to_bytes(model: MaddnessModel | StrassenTileModel) -> bytes:
    """Return what `save` writes: the same bytes for the same model."""
    file = BytesIO()
    _write(model, file)
    return file.getvalue()


def from_bytes(data: bytes) -> MaddnessModel | StrassenTileModel:
    """Return the model of `to_bytes`.

    Raises
    ------
    ModelFileError
        As `load`.
    """
    return _checked(BytesIO(data), "this")


def _write(model: MaddnessModel | StrassenTileModel, file: IO[bytes]) -> None:
    if isinstance(model, StrassenTileModel):
        _write_tiles(model, file)
        return
    arrays = {name: getattr(model, name) for name in _ARRAYS}
    if model.core:
        arrays |= {name: getattr(model.core, name) for name in _CORE_ARRAYS}
    form = CORE_FORMAT if model.core else FORMAT
    if model.short_list:
        form = SHORT_LIST_FORMAT
        short = {name: getattr(model.short_list, name) for name in _SHORT_LIST_ARRAYS}
        numbers = {name: np.array(getattr(model.short_list, name)) for name in ("k", "n_rows")}
        arrays |= {f"short_{name}": array for name, array in (short | numbers).items()}
    np.savez(
        file,
        format=np.array(form),
        n_features=np.array(model.n_features),
        accumulate=np.array(model.accumulate),
        **arrays,
    )


def _write_tiles(model: StrassenTileModel, file: IO[bytes]) -> None:
    arrays = {name: getattr(model.scheme, name) for name in _SCHEME_ARRAYS}
    arrays |= {name: getattr(model, name) for name in _TILE_ARRAYS}
    arrays |= {name: np.array(getattr(model, name)) for name in _TILE_NUMBERS}
    np.savez(
        file,
        format=np.array(TILE_FORMAT),
        scheme=np.array(model.scheme.name),
        shape=np.array(model.scheme.shape),
        **arrays,
    )


def load(path: str | os.PathLike[str]) -> MaddnessModel | StrassenTileModel:
    """Read a model written by `save`.

    Raises
    ------
    ModelFileError
        If the file is damaged, is something else, or breaks a rule of its model.
    FileNotFoundError
        If there is no such file.
    """
    with Path(path).open("rb") as file:
        return _checked(file, path)


def _checked(file: IO[bytes], name: object) -> MaddnessModel | StrassenTileModel:
    try:
        return _read(file)
    except Exception as error:  # damage shows in many ways: zlib, zipfile, struct, NumPy, ours
        raise ModelFileError(f"{name} is not a sound model: {error}") from error


def _read(file: IO[bytes]) -> MaddnessModel | StrassenTileModel:
    archive = np.load(file, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError("it holds a single array")
    with archive:
        written = str(archive["format"]) if "format" in archive else "no format"
        if written == TILE_FORMAT:
            return _read_tiles(archive)
        if written not in (FORMAT, CORE_FORMAT, SHORT_LIST_FORMAT):
            known = f"{FORMAT!r}, {CORE_FORMAT!r}, {SHORT_LIST_FORMAT!r} or {TILE_FORMAT!r}"
            raise ValueError(f"it holds {written!r}, not {known}")
        arrays: dict[str, Any] = {name: archive[name] for name in _ARRAYS}
        if written == CORE_FORMAT:
            arrays["core"] = LowRankCore(*(archive[name] for name in _CORE_ARRAYS))
        if written == SHORT_LIST_FORMAT:
            short: dict[str, Any] = {n: archive[f"short_{n}"] for n in _SHORT_LIST_ARRAYS}
            short |= {name: archive[f"short_{name}"].item() for name in ("k", "n_rows")}
            arrays["short_list"] = ShortList(**short)
        return MaddnessModel(
            **arrays,
            n_features=archive["n_features"].item(),
            accumulate=str(archive["accumulate"]),  # type: ignore[arg-type]
        )


def _read_tiles(archive: Any) -> StrassenTileModel:
    n, d, m = (int(size) for size in archive["shape"])
    scheme = BilinearScheme(
        str(archive["scheme"]), (n, d, m), *(archive[name] for name in _SCHEME_ARRAYS)
    )
    parts: dict[str, Any] = {name: archive[name] for name in _TILE_ARRAYS}
    parts |= {name: archive[name].item() for name in _TILE_NUMBERS}
    return StrassenTileModel(scheme=scheme, **parts)
