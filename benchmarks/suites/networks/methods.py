"""What is trained: each way to make linear layers, by name, and the runs in the order of use."""

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
        Of tiles: products of a tile. Of low rank and Monarch: of the tiles whose multiply-adds,
        encoding and decoding included, a layer has at most.
    init : str
        How factors of tiles begin.
    width : int
        Of the network.
    squares : bool
        Whether tiles hold 2 × 2 patches of an image in place of 4 neighbours in a line.
    trained : bool
        Whether the layers are made from those of the trained dense network of the same seed, and
        learn for a quarter of the epochs.
    longer : int
        How many times as many epochs it has.
    faster : float
        How many times as large its rate is.
    """

    name: str
    kind: str
    rank: int = 0
    init: str = ""
    width: int = WIDTH
    squares: bool = False
    trained: bool = False
    longer: int = 1
    faster: float = 1.0


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


EQUAL_WORK, EQUAL_PARAMETERS = 104, 160
"""Widths of dense networks with the multiply-adds, or with the parameters, of r = 24."""

DENSE = Method("dense", "dense")
METHODS = (
    DENSE,
    _tiles(24, "scheme"),
    _tiles(24, "random"),
    Method("low-rank", "low rank", 24),
    Method("dense-wide", "dense", width=EQUAL_PARAMETERS),
    Method("dense-narrow", "dense", width=EQUAL_WORK),
    Method("dense-tuned", "dense", trained=True),
    Method("r24-tuned", "tiles", 24, "scheme", trained=True),
    Method("r32-tuned", "tiles", 32, "scheme", trained=True),
    Method("low-rank-tuned", "low rank", 24, trained=True),
    _tiles(24, "polynomial"),
    _tiles(16, "random"),
    Method("monarch", "Monarch", 24),
    Method("two-of-four", "2:4"),
    _tiles(24, "strassen"),
    _tiles(32, "scheme"),
    _tiles(32, "random"),
    _tiles(16, "scheme"),
    Method("dense-slower", "dense", faster=0.5),
    Method("dense-faster", "dense", faster=2.0),
    Method("r24-slower", "tiles", 24, "random", faster=0.5),
    Method("r24-faster", "tiles", 24, "random", faster=2.0),
    Method("r24-squares", "tiles", 24, "random", squares=True),
    _tiles(49, "strassen"),
    _tiles(49, "random"),
    Method("dense-longer", "dense", longer=2),
    Method("r24-longer", "tiles", 24, "random", longer=2),
)
"""All ways that are trained, the most informative first."""
SEEDS = 3
FASHION, FILES = "fashion", "files"
_OF_FILES = (
    "dense", "r24-random", "r24-scheme", "dense-narrow", "dense-wide", "r32-random", "r32-scheme",
    "r16-random", "r16-scheme", "low-rank", "monarch", "two-of-four",
)  # fmt: skip
"""Methods that learn the second task, too."""
_ONCE = (
    "r49-strassen", "r49-random", "r24-squares", "dense-longer", "dense-slower", "dense-faster",
    "r24-slower", "r24-faster", "r24-longer",
)  # fmt: skip
"""Methods that learn with one seed."""


def _is_wanted(task: str, method: Method, seed: int) -> bool:
    """Tell whether a run is worth its time."""
    if task == FILES:
        return method.name in _OF_FILES
    return seed == 0 or method.name not in _ONCE


@dataclass(frozen=True)
class Inference:
    """Trained networks of a task in use, those of the first seed: the dense one, and others."""

    task: str
    dense: Method
    others: tuple[Method, ...]

    @property
    def name(self) -> str:
        """Its name on the command line and in results."""
        return f"{self.task}/inference"


@dataclass(frozen=True)
class Wallclock:
    """One layer on a device: tokens, features and outputs, and the type of all numbers."""

    sizes: tuple[int, int, int]
    dtype: str
    device: str = "cuda"
    compiles: bool = True

    @property
    def name(self) -> str:
        """Its name on the command line and in results."""
        return f"{self.device}/{'x'.join(map(str, self.sizes))}/{self.dtype}"


Subject = Run | Inference | Wallclock


def dense_of(run: Run) -> Run:
    """Return the run whose network another one begins from."""
    return replace(run, method=replace(DENSE, width=run.method.width))


def _named(*names: str, width: int = WIDTH) -> tuple[Method, ...]:
    return tuple(replace(one, width=width) for one in METHODS if one.name in names)


def subjects() -> Iterator[Subject]:
    """Yield all that is measured: the first seed of all runs, then the second, and so on."""
    for sizes in ((16384, 4096, 4096), (16384, 1024, 4096)):
        for dtype in ("bfloat16", "float32"):
            yield Wallclock(sizes, dtype)
    for seed in range(SEEDS):
        for task in (FASHION, FILES):
            for method in METHODS:
                if _is_wanted(task, method, seed):
                    yield Run(task, method, seed)
        if not seed:
            others = _named("r24-random", "r24-scheme", "r32-scheme", "low-rank")
            yield Inference(FASHION, DENSE, others)


def small() -> Iterator[Subject]:
    """Yield small runs on made-up data: of each kind from scratch, and one from a dense network."""
    chosen = (
        "dense", "r24-random", "low-rank", "monarch", "two-of-four", "low-rank-tuned", "r24-tuned",
    )  # fmt: skip
    methods = _named(*chosen, width=32)
    for method in methods:
        yield Run("made-up", method, 0)
    yield Inference("made-up", methods[0], methods[1:3])
    yield Wallclock((256, 32, 48), "float32", "cpu", compiles=False)
    yield Wallclock((16384, 4096, 4096), "bfloat16")
