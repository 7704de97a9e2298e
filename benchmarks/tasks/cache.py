"""Prepared tasks in .npz files. They are prepared once and then load without their packages."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.machine import ROOT, Missing

Arrays = Mapping[str, NDArray[Any]]
Result = TypeVar("Result")


def needs(module: str, package: str) -> ModuleType:
    """Import a module, or say which package has it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Missing(f"cannot import {module} ({error}): pip install {package}") from error


def home(module: ModuleType) -> Path:
    """Return the folder that holds a module's file."""
    return Path(str(module.__file__)).parent


def folder() -> Path:
    """Return where prepared tasks are kept: $MADDJIT_TASKS, or build/tasks/."""
    return Path(os.environ.get("MADDJIT_TASKS") or ROOT / "build" / "tasks")


def stored(
    key: str, version: str, prepare: Callable[[], Arrays], build: Callable[[Arrays], Result]
) -> Result:
    """Prepare the arrays of a key and version unless they are stored, and build from the file.

    `build` is given a mapping that reads an array when it is asked for.
    """
    path = folder() / f"{key}-{version}.npz"
    if not path.is_file():
        write(path, prepare())
    with np.load(path, allow_pickle=False) as arrays:
        return build(arrays)


def write(path: Path, arrays: Arrays) -> None:
    """Write an .npz file in one step, so that nobody sees half of it."""
    objects = [name for name, array in arrays.items() if np.asarray(array).dtype.hasobject]
    if objects:
        raise TypeError(f"{path.name}: cannot store Python objects: {', '.join(objects)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}-{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            np.savez(stream, **arrays)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
