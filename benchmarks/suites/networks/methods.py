"""What is trained: each way to make a linear layer, by name, and the runs in the order of use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

WIDTH, DEPTH, HEADS = 128, 4, 4
TILE = 4


@dataclass(frozen=True)
class Method:
    """A way to make the linear layers of all blocks, and where its weights begin.

    Attributes
    ----------
    name : str
    kind : {"dense", "tiles", "low rank", "Monarch", "2:4"}
    rank : int
        Of tiles: products of a tile. Of low rank and Monarch: of a tile whose multiply-adds, encoding
        and decoding included, a layer has.
    init : str
        How factors of tiles begin.
    width : int
        Of the network.
    trained : bool
        Whether the layers begin from those of the trained dense network with the same seed, and
        have a quarter of the epochs.
    longer : int
        How many times as many epochs it has.
    """

    name: str
    kind: str
    rank: int = 0
    init: str = ""
    width: int = WIDTH
    trained: bool = False
    longer: int = 1


@dataclass(frozen=True)
class Run:
    """A method with a seed, on a task."""

    task: str
    method: Method
    seed: int

    @property
    def name(self) -> str:
        """Its name on the command line and in results."""
        return f"{self.task}/{self.method.name}/{self.seed}"


def _tiles(rank: int, init: str) -> Method:
    return Method(f"r{rank}-{init}", "tiles", rank, init)


EQUAL_WORK, EQUAL_PARAMETERS = 104, 156
"""Widths of dense networks with the multiply-adds, or the parameters, of r = 24."""

DENSE = Method("dense", "dense")
METHODS = (
    DENSE,
    _tiles(24, "random"),
    Method("dense-narrow", "dense", width=EQUAL_WORK),
    Method("dense-wide", "dense", width=EQUAL_PARAMETERS),
    _tiles(32, "random"),
    _tiles(16, "random"),
    Method("low-rank", "low rank", 24),
    Method("monarch", "Monarch", 24),
    Method("two-of-four", "2:4"),
    _tiles(49, "random"),
    Method("dense-longer", "dense", longer=2),
)
"""All ways that are trained, the most informative first."""
SEEDS = 3
TASKS = ("fashion", "files")


def runs() -> Iterator[Run]:
    """Yield all runs: the first seed of all ways on both tasks, then the second, and so on."""
    for seed in range(SEEDS):
        for task in TASKS:
            for method in METHODS:
                yield Run(task, method, seed)


def small() -> Iterator[Run]:
    """Yield runs of one way of each kind, on made-up data."""
    kinds = {method.kind: method for method in reversed(METHODS) if not method.trained}
    for method in kinds.values():
        if method.width == WIDTH:
            yield Run("made-up", replace(method, width=32, longer=1), 0)
