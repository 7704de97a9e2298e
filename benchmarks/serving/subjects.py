"""What is measured: models that a process begins with, and libraries through which one calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from serving import ways


@dataclass(frozen=True)
class Start:
    """A process that loads a model (D, M) and multiplies once."""

    shape: tuple[int, int]
    n_codebooks: int


@dataclass(frozen=True)
class Calls:
    """A product (D, M) through a library, for few rows and for many."""

    title: str
    make: Callable[[int, int, int], ways.Made]
    shape: tuple[int, int] = (512, 100)
    n_codebooks: int = 16
    rows: tuple[int, ...] = (1, 1000)


@dataclass(frozen=True)
class Limits:
    """What bounds the work."""

    rounds: int = 21


SUBJECTS: dict[str, Start | Calls] = {
    "start-512x10": Start((512, 10), 16),
    "start-512x1000": Start((512, 1000), 32),
    "native": Calls("Exported C library", ways.native),
    "torch": Calls("PyTorch", ways.torch),
    "onnx": Calls("ONNX", ways.onnx),
    "sklearn": Calls("scikit-learn", ways.sklearn, (512, 10)),
    "dask": Calls("Dask", ways.dask, rows=(1000, 100000)),
}

SMALL: dict[str, Start | Calls] = {
    name: replace(subject, shape=(32, 8), n_codebooks=8)
    if isinstance(subject, Start)
    else replace(subject, shape=(32, 8), n_codebooks=8, rows=(1, 200))
    for name, subject in SUBJECTS.items()
    if name != "start-512x10"
}
"""For tests."""
