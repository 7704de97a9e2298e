"""What is measured: shapes of products, layers with rows of their own, and what bounds the work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from data import clustered, right
from tasks import TASKS, Task

from tiling import digits
from tiling.ways import WAYS

LARGE = ("plain", "strassen", "winograd", "strassen ⊗ strassen", "winograd ⊗ winograd", "r = 24")


@dataclass(frozen=True)
class Shape:
    """A product of white noise by white noise, N × D × M."""

    sizes: tuple[int, int, int]
    rounds: int = 100
    """At most; few where a product takes seconds."""
    schemes: tuple[str, ...] = tuple(WAYS)


@dataclass(frozen=True)
class Layer:
    """A layer with a ReLU behind it, replaced by tile operators fitted to its rows."""

    load: Callable[[], Task]
    ranks: tuple[int, ...] = (16, 24, 32, 40, 48)
    low_ranks: tuple[int, ...] = ()
    """Ranks of low-rank products that are timed beside."""


@dataclass(frozen=True)
class Limits:
    """What bounds the work."""

    rounds: int = 21
    fit_rows: int = 20000
    timed_rows: int = 2000
    turn: float = 0.02
    """Seconds of one turn of a shape, at least."""
    optional: bool = True
    """Whether rivals other than NumPy's are looked for."""


def _shapes(*shapes: Shape) -> dict[str, Shape | Layer]:
    return {"x".join(map(str, shape.sizes)): shape for shape in shapes}


def _clustered() -> Task:
    A, B = clustered(1500, 64, seed=2), right(64, 48)
    test = A[1000:]
    winners = (test @ B).argmax(axis=1)
    return Task(
        name="clustered",
        title="Rows of four directions, 64 × 48",
        source="made up",
        A_train=A[:1000],
        A_test=test,
        B=B,
        bias=None,
        metric="agreement",
        higher_is_better=True,
        score=lambda outputs: float((outputs.argmax(axis=1) == winners).mean()),
    )


SUBJECTS: dict[str, Shape | Layer] = _shapes(
    Shape((512, 512, 512)),
    Shape((1024, 1024, 1024)),
    Shape((2048, 2048, 2048), rounds=11),
    Shape((4096, 4096, 4096), rounds=5, schemes=LARGE),
    Shape((64, 2048, 2048)),
    Shape((1024, 768, 3072)),
    Shape((1000, 700, 1100)),
    Shape((1, 1024, 1024)),
    Shape((8, 1024, 1024)),
    Shape((32, 1024, 1024)),
) | {
    "digits": Layer(digits.hidden, low_ranks=tuple(range(16, 129, 16))),
    "fashion-hidden": Layer(TASKS["fashion-hidden"], low_ranks=tuple(range(16, 257, 16))),
}

SMALL: dict[str, Shape | Layer] = _shapes(
    Shape((64, 64, 64), schemes=("plain", "strassen", "r = 24")),
    Shape((33, 20, 50), schemes=("strassen", "r = 16")),
) | {"clustered": Layer(_clustered, ranks=(24,), low_ranks=(8,))}
"""Made up, for tests."""
