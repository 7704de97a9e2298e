"""The operations of exact 8-bit layers, with all of their numbers."""

from __future__ import annotations

from dataclasses import dataclass

from maddjit.compiler.conversion import Ending
from maddjit.compiler.intrinsics import WholeNumbers
from maddjit.compiler.network import settings
from maddjit.compiler.network.multiplying import (
    Halving,
    Join,
    OutputTile,
    Products,
    SideBySide,
    Unit,
)
from maddjit.compiler.network.operations import Taps
from maddjit.compiler.network.places import Place


@dataclass(frozen=True)
class Packing:
    """How four vectors of outputs are rounded and packed to int8 at once.

    It is for outputs that are proved to be within 32 bits in units of the results. Packs saturate,
    which clamps. Limits of the epilogue are those of the results, since rounding is monotonous.

    Attributes
    ----------
    by : WholeNumbers
        The instructions.
    order : tuple of int
        The order of packed groups of four bytes that puts them in the order of the outputs.
    least, most : int
        The limits of the results.
    """

    by: WholeNumbers
    order: tuple[int, ...]
    least: int
    most: int

    @property
    def words(self) -> int:
        """Words of a vector."""
        return 2 * len(self.order)

    @property
    def bytes(self) -> int:
        """Bytes of a vector."""
        return 4 * len(self.order)

    @property
    def masks(self) -> str:
        """The types of further arguments of the instruction that rounds: none, or a mask's."""
        return ", <16 x i32>, i16, i32 immarg" if "mask" in self.by.round else ""

    @property
    def unmasked(self) -> str:
        """Those arguments for all lanes, rounded as always."""
        return ", <16 x i32> zeroinitializer, i16 -1, i32 4" if self.masks else ""


@dataclass(frozen=True)
class Endings:
    """How the sums of a layer end: the names of its constants, and what becomes of an output.

    `packing` is None where outputs are finished by plain instructions.
    """

    initial: str
    scale: str
    offset: str
    ending: Ending
    element: str
    itemsize: int
    packing: Packing | None = None


@dataclass(frozen=True)
class Convolving:
    """An exact convolution of planes, a block of pixels at a time.

    Attributes
    ----------
    x, to : Place
    products : Products
    groups, x_step, n_outputs : int
        Groups of planes; bytes from the inputs of one to those of the next; outputs of one.
    n_units : int
        Groups of taps that one instruction multiplies.
    vectors, block : int
        Vectors of pixels of a tile, and pixels whose taps are placed side by side.
    tiles : tuple of OutputTile
    weights : str
        The name of the constant.
    taps : Taps
        How far each tap is from an output.
    weights_bytes : int
        Bytes of the weights of a group.
    endings : Endings
    scratch : int
        Where taps are placed side by side.
    """

    x: Place
    to: Place
    products: Products
    groups: int
    x_step: int
    n_outputs: int
    n_units: int
    vectors: int
    block: int
    tiles: tuple[OutputTile, ...]
    weights: str
    taps: Taps
    weights_bytes: int
    endings: Endings
    scratch: int

    kind = "exact"

    @property
    def pixels(self) -> int:
        """Pixels of a tile."""
        return self.vectors * self.products.lanes

    @property
    def places(self) -> tuple[int, ...]:
        """The offsets of a tile's vectors among the taps of a group that lie side by side."""
        return tuple(i * self.products.vector_bytes for i in range(self.vectors))

    @property
    def unit_step(self) -> int:
        """Bytes of the taps of a block that one instruction multiplies."""
        return 4 * self.block

    @property
    def scratch_bytes(self) -> int:
        """Bytes of all taps of a block."""
        return self.n_units * self.unit_step

    @property
    def is_straight(self) -> bool:
        """Whether groups of taps are straight-line code instead of a loop."""
        return self.n_units <= settings.MOST_UNROLLED

    @property
    def units(self) -> tuple[Unit, ...]:
        """The groups of taps, where they are straight-line code."""
        return tuple(
            Unit(i, i * self.unit_step, {tile.n: i * tile.n for tile in self.tiles})
            for i in range(self.n_units)
        )

    @property
    def side_by_side(self) -> SideBySide:
        """How pixels of two taps are placed side by side."""
        n = self.pixels
        return SideBySide(2 * n, tuple(i for pixel in range(n) for i in (pixel, n + pixel)))

    @property
    def joins(self) -> tuple[Join, ...]:
        """How the vectors of a tile become one."""
        joins, names, lanes, is_first = [], [str(i) for i in range(self.vectors)], 0, True
        lanes = self.products.lanes
        while len(names) > 1:
            is_last = len(names) == 2
            made = [f"{left}_{right}" for left, right in zip(names[::2], names[1::2], strict=True)]
            joins += [
                Join(name, left, right, lanes, is_first, is_last)
                for name, left, right in zip(made, names[::2], names[1::2], strict=True)
            ]
            names, lanes, is_first = made, 2 * lanes, False
        return tuple(joins)

    @property
    def offsets_step(self) -> int:
        """Bytes of the offsets of the taps that one instruction multiplies."""
        return 8 * self.products.unit


@dataclass(frozen=True)
class RowProducts:
    """Exact products of rows: all numbers of an image, by the weights of each output.

    Attributes
    ----------
    x : Place
    to : Place or None
        Where int8 results go; None if float32 results leave the network.
    products : Products
    groups, n_inputs, n_outputs : int
        Groups of numbers, and the sizes of one.
    chunk, n_chunks : int
        Numbers that one instruction multiplies, and how many times that is.
    images : int
        Images of a tile.
    tiles : tuple of OutputTile
    weights : str
        The name of the constant.
    weights_bytes : int
        Bytes of the weights of a group.
    endings : Endings
    """

    x: Place
    to: Place | None
    products: Products
    groups: int
    n_inputs: int
    n_outputs: int
    chunk: int
    n_chunks: int
    images: int
    tiles: tuple[OutputTile, ...]
    weights: str
    weights_bytes: int
    endings: Endings

    kind = "rows"

    @property
    def whole_mask(self) -> int:
        """The mask that rounds a number of images down to whole tiles."""
        return -self.images

    def halves(self, n: int) -> tuple[Halving, ...]:
        """Return how `n` vectors of sums become one of n lanes."""
        steps, lanes, left = [], self.products.lanes, n
        while left > 1:
            left //= 2
            steps.append(Halving(lanes, 2 * lanes, left, is_of_two=True))
        while lanes > n:
            steps.append(Halving(lanes, lanes, 1, is_of_two=False))
            lanes //= 2
        return tuple(steps)
