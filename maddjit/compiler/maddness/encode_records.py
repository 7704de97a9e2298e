"""The records of an encoder: how elements are read, compared, and stored as codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Level:
    """One level of a tree: how the threshold of each row's node is fetched.

    A level of more nodes than a register holds may take several permutes, whose byte offsets are
    `registers`, folded by `folds`: (new, value where the bit is 0, where it is 1, bit). A select
    folds one splat of each node's threshold by the decisions of the levels above, not by a bit.
    """

    lookup: Literal["splat", "select", "permute", "permute2", "gather"]
    entries: int
    byte_offset: int
    split_offset: int
    spread: tuple[int, ...] = ()
    intrinsic: str = ""
    registers: tuple[int, ...] = ()
    folds: tuple[tuple[int, int, int, int], ...] = ()

    @property
    def register_entries(self) -> int:
        """Thresholds in one register of a permute."""
        return self.entries // len(self.registers)

    @property
    def fetched(self) -> int:
        """The value that holds the thresholds after all folds."""
        return self.folds[-1][0] if self.folds else 0


@dataclass(frozen=True)
class NodeLevel:
    """One level of the trees of a batch: the thresholds of each node, a vector of codebooks.

    `places` are offsets of those vectors, which `folds` halve down to the rows' own nodes: (new,
    value where the bit is 0, where it is 1, level of the bit). A level of very many nodes has an
    `intrinsic` instead, which gathers from `gather_offset`.
    """

    places: tuple[int, ...]
    folds: tuple[tuple[int, int, int, int], ...]
    intrinsic: str = ""
    gather_offset: int = 0

    @property
    def fetched(self) -> int:
        """The value that holds the thresholds after all folds."""
        return self.folds[-1][0] if self.folds else 0


@dataclass(frozen=True)
class Read:
    """Something read from a row into the value `name`: one number, or a vector of neighbours."""

    name: str
    byte_offset: int
    is_line: bool


@dataclass(frozen=True)
class Insert:
    """The value `name`: `vector` with the number `element` in one of its lanes."""

    name: str
    vector: str
    element: str
    lane: int


@dataclass(frozen=True)
class Shuffle:
    """The value `name`: lanes of two others, as LLVM numbers them; −1 for any."""

    name: str
    left: str
    right: str
    lanes: tuple[int, ...]


@dataclass(frozen=True)
class Store:
    """Some lanes of a vector, and where they go."""

    lanes: tuple[int, ...]
    byte_offset: int


def exact_stores(n_lanes: int, itemsize: int, first: int = 0) -> tuple[Store, ...]:
    """Store that many lanes and no more: the binary digits of their number, largest first.

    >>> [(len(store.lanes), store.byte_offset) for store in exact_stores(11, 4)]
    [(8, 0), (2, 32), (1, 40)]
    """
    stores: list[Store] = []
    done = 0
    while done < n_lanes:
        size = 1 << ((n_lanes - done).bit_length() - 1)
        stores.append(Store(tuple(range(done, done + size)), (first + done) * itemsize))
        done += size
    return tuple(stores)


@dataclass(frozen=True)
class Batch:
    """Neighbouring codebooks whose codes of one row are found together, in one vector.

    `steps` bring the row's numbers into `vectors`, one for each level of the trees. `stores` are of
    the lanes that hold codes.
    """

    first: int
    lanes: int
    n_codebooks: int
    steps: tuple[Read | Insert | Shuffle, ...]
    vectors: tuple[str, ...]
    levels: tuple[NodeLevel, ...]
    stores: tuple[Store, ...]

    @property
    def reads(self) -> tuple[Read, ...]:
        """What is read from a row, in order."""
        return tuple(step for step in self.steps if isinstance(step, Read))

    @property
    def blank(self) -> str:
        """What lanes hold that no codebook fills: a defined number, for it may lead a gather."""
        return "poison" if self.n_codebooks == self.lanes else "zeroinitializer"
