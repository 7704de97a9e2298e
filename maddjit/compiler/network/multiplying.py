"""How integers are multiplied: instructions, tiles of outputs, and how lanes are added."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.target import Target


@dataclass(frozen=True)
class Products:
    """How a target multiplies integers and sums them up in 32 bits.

    Attributes
    ----------
    unit : int
        Neighbouring products that one instruction adds to a lane.
    bits : int
        Bits of a factor.
    intrinsic : str
        The instruction; empty for plain products.
    lanes : int
        Sums of a vector.
    """

    unit: int
    bits: int
    intrinsic: str
    lanes: int

    @property
    def shift(self) -> int:
        """What is added to each number of a plane, so that it is what the instruction takes."""
        return 128 if self.unit == 4 else 0

    @property
    def vector_bytes(self) -> int:
        """Bytes of a vector."""
        return 4 * self.lanes

    def whole(self, n: int) -> int:
        """Return a number of products, rounded up to those of whole instructions."""
        return -(-n // self.unit) * self.unit

    def packed(self, weights: NDArray[np.int8]) -> bytes:
        """Return weights (…, unit) as the instruction takes them, 4 bytes for each group."""
        kind = {8: "<i1", 16: "<i2", 32: "<i4"}[self.bits]
        return np.ascontiguousarray(weights.astype(kind)).tobytes()


def products_of(target: Target) -> Products:
    """Return how a target multiplies integers."""
    if target.byte_products:
        return Products(4, 8, target.byte_products, target.lanes)
    if target.whole_numbers:
        return Products(2, 16, target.whole_numbers.products, target.lanes)
    return Products(1, 32, "", target.lanes)


@dataclass(frozen=True)
class OutputTile:
    """`count` repetitions of `n` outputs, from `first` on; their weights begin at `weights`."""

    n: int
    count: int
    first: int
    weights: int
    weights_step: int


def output_tiles(n_outputs: int, most: int, output_bytes: int) -> tuple[OutputTile, ...]:
    """Cut outputs into tiles of so many, and of smaller powers of two for the rest."""
    tiles, first = [], 0
    while most:
        count = (n_outputs - first) // most
        if count:
            tiles.append(OutputTile(most, count, first, first * output_bytes, most * output_bytes))
            first += count * most
        most //= 2
    return tuple(tiles)


@dataclass(frozen=True)
class Halving:
    """Neighbouring lanes are added: those of two vectors, side by side, or of one alone.

    Attributes
    ----------
    lanes, both : int
        Lanes of a vector, and of what is added.
    left : int
        Vectors that are left.
    """

    lanes: int
    both: int
    left: int
    is_of_two: bool

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The vectors that are added to each other."""
        if not self.is_of_two:
            return (Pair(0, 0, 0),)
        return tuple(Pair(i, 2 * i, 2 * i + 1) for i in range(self.left))

    @property
    def even(self) -> tuple[int, ...]:
        """The lanes that are added to those on their right."""
        return tuple(range(0, self.both, 2))

    @property
    def odd(self) -> tuple[int, ...]:
        """Those on their right."""
        return tuple(range(1, self.both, 2))


@dataclass(frozen=True)
class Pair:
    """Two vectors, and the number of the one that they become."""

    to: int
    left: int
    right: int


@dataclass(frozen=True)
class Join:
    """Two vectors of so many lanes become one; the first ones are those of a tile."""

    name: str
    left: str
    right: str
    lanes: int
    is_first: bool
    is_last: bool

    @property
    def both(self) -> int:
        """Lanes of what they become."""
        return 2 * self.lanes


@dataclass(frozen=True)
class SideBySide:
    """The order that places the elements of two vectors side by side, and their number."""

    n: int
    order: tuple[int, ...]


@dataclass(frozen=True)
class Unit:
    """A group of taps in straight-line code: its number, and where its parts lie.

    `weights` has the number of the first weight for each size of a tile.
    """

    index: int
    sides: int
    weights: dict[int, int]

    @property
    def next(self) -> int:
        """The number of the next group."""
        return self.index + 1
