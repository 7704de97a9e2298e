"""Models on disk: NumPy archives without pickle, checked by the model's own rules when read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from maddjit.fit_report import BoundTerms, FitReport
from maddjit.models import LowRankCore, MaddnessModel
from maddjit.records import fields_of
from maddjit.schemes import BilinearScheme
from maddjit.short_list import ShortList
from maddjit.tile_models import StrassenTileModel, TileReport

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
_REPORT, _BOUND, _PROVENANCE = "report_", "bound_", "provenance"
"""What readers may leave out: how wrong the model was, and what it was made from."""


class ModelFileError(ValueError):
    """A file is not a model, is damaged, or was written in a format that is not known."""


def save(
    model: MaddnessModel | StrassenTileModel,
    path: str | os.PathLike[str],
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write a model to an .npz file, with its report.

    Parameters
    ----------
    model : MaddnessModel or StrassenTileModel
    path : path
    provenance : mapping, optional
        What the model was made from, as far as JSON can say it, for `provenance_of`.
    """
    about = _described(model.report)
    if provenance is not None:
        about[_PROVENANCE] = np.array(json.dumps(dict(provenance)))
    if isinstance(model, StrassenTileModel):
        _save_tiles(model, path, about)
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
    with Path(path).open("wb") as file:
        np.savez(
            file,
            format=np.array(form),
            n_features=np.array(model.n_features),
            accumulate=np.array(model.accumulate),
            **arrays,
            **about,
        )


def _described(report: FitReport | TileReport | None) -> dict[str, Any]:
    """Return the arrays that a report is written as."""
    if report is None:
        return {}
    fields = fields_of(report)
    bound = fields.pop("bound_terms", None)
    arrays = {_REPORT + name: np.array(value) for name, value in fields.items()}
    if bound is not None:
        arrays |= {_BOUND + name: np.array(value) for name, value in fields_of(bound).items()}
    return arrays


def _parts(archive: Any, prefix: str) -> dict[str, Any]:
    """Return the arrays whose names begin so, by the rest of their names; scalars as such."""
    found = {name: archive[name] for name in archive.files if name.startswith(prefix)}
    return {
        name.removeprefix(prefix): array if array.ndim else array.item()
        for name, array in found.items()
    }


def _read_report(archive: Any, n_outputs: int) -> FitReport | None:
    fields = _parts(archive, _REPORT)
    if not fields:
        return None
    if bound := _parts(archive, _BOUND):
        fields["bound_terms"] = BoundTerms(**bound)
    report = FitReport(**fields)
    if report.output_nmse.shape != (n_outputs,):
        raise ValueError(
            f"its report must be of {n_outputs} outputs, not {report.output_nmse.shape}"
        )
    return report


def _save_tiles(
    model: StrassenTileModel, path: str | os.PathLike[str], about: Mapping[str, Any]
) -> None:
    arrays = {name: getattr(model.scheme, name) for name in _SCHEME_ARRAYS}
    arrays |= {name: getattr(model, name) for name in _TILE_ARRAYS}
    arrays |= {name: np.array(getattr(model, name)) for name in _TILE_NUMBERS}
    with Path(path).open("wb") as file:
        np.savez(
            file,
            format=np.array(TILE_FORMAT),
            scheme=np.array(model.scheme.name),
            shape=np.array(model.scheme.shape),
            **arrays,
            **about,
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
        try:
            return _read(file)
        except Exception as error:  # damage shows in many ways: zlib, zipfile, struct, NumPy, ours
            raise ModelFileError(f"{path} is not a sound model: {error}") from error


def provenance_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what `save` was told of the model's making; nothing if it was not told.

    Raises
    ------
    ModelFileError, FileNotFoundError
        As for `load`.
    """
    with Path(path).open("rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                told = json.loads(str(archive[_PROVENANCE])) if _PROVENANCE in archive else {}
                return dict(told)
        except Exception as error:
            raise ModelFileError(f"{path} is not a sound model: {error}") from error


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
            report=_read_report(archive, arrays["tables"].shape[-1]),
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
    if fields := _parts(archive, _REPORT):
        fields["objective"] = tuple(fields["objective"].tolist())
        parts["report"] = TileReport(**fields)
    return StrassenTileModel(scheme=scheme, **parts)
