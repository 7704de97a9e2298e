"""The suite of tiles: products of many shapes, and layers that tile operators could replace."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.harness.suite import Suite
from benchmarks.harness.tables import Record
from benchmarks.suites.tiles import layers, shapes, tables
from benchmarks.suites.tiles.layers import Layer
from benchmarks.suites.tiles.shapes import Shape
from benchmarks.tasks import TASKS
from benchmarks.tasks.made_up import digits_hidden, directions


@dataclass(frozen=True)
class Limits:
    """What bounds the work. `turn` is the least time of one turn of a shape, in seconds."""

    rounds: int = 21
    fit_rows: int = 20000
    timed_rows: int = 2000
    turn: float = 0.02
    optional: bool = True
    """Whether rivals other than NumPy are looked for."""


def _shapes(*some: Shape) -> dict[str, Shape | Layer]:
    return {"x".join(map(str, shape.sizes)): shape for shape in some}


_LARGE = ("plain", "strassen", "winograd", "strassen ⊗ strassen", "winograd ⊗ winograd", "r = 24")

SUBJECTS: dict[str, Shape | Layer] = _shapes(
    Shape((512, 512, 512)),
    Shape((1024, 1024, 1024)),
    Shape((2048, 2048, 2048), rounds=11),
    Shape((4096, 4096, 4096), rounds=5, schemes=_LARGE),
    Shape((64, 2048, 2048)),
    Shape((1024, 768, 3072)),
    Shape((1000, 700, 1100)),
    Shape((1, 1024, 1024)),
    Shape((8, 1024, 1024)),
    Shape((32, 1024, 1024)),
) | {
    "digits": Layer(digits_hidden, low_ranks=tuple(range(16, 129, 16))),
    "fashion-hidden": Layer(TASKS["fashion-hidden"], low_ranks=tuple(range(16, 257, 16))),
}

SMALL: dict[str, Shape | Layer] = _shapes(
    Shape((64, 64, 64), schemes=("plain", "strassen", "r = 24")),
    Shape((33, 20, 50), schemes=("strassen", "r = 16")),
) | {"directions": Layer(lambda: directions(64, 48, 1000, 500), ranks=(24,), low_ranks=(8,))}


def measure(subject: Shape | Layer, limits: Limits) -> Record:
    """Measure a shape or a layer."""
    if isinstance(subject, Shape):
        return shapes.measure(subject, limits)
    return layers.measure(subject, limits)


SUITE = Suite(
    "tiles",
    SUBJECTS,
    SMALL,
    Limits(),
    {"rounds": 3, "timed_rows": 200, "turn": 0.002, "optional": False},
    measure,
    tables.SECTIONS,
)
