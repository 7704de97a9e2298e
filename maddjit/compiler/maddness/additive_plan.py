"""The records of a plan for additive codes: rows become bytes, directions, scores and codes."""

from __future__ import annotations

from dataclasses import dataclass

from maddjit.compiler.intrinsics import WholeNumbers
from maddjit.compiler.maddness.additive_choosing import Choosing


@dataclass(frozen=True)
class UnitProducts:
    """How units of a row are multiplied by weights: 32 bits of a row, repeated in all lanes.

    Attributes
    ----------
    unit : int
        Numbers of a unit: 4 bytes, 2 words, or 1 number of 32 bits.
    lanes : int
        Sums of a vector.
    intrinsic : str
        The instruction that multiplies; empty for plain products.
    widens : str
        The instruction that sums pairs of words in 32 bits, where products of bytes are words.
    together : int
        Units whose products are summed in words: the weights prove that no sum exceeds them.
    """

    unit: int
    lanes: int
    intrinsic: str
    widens: str = ""
    together: int = 1

    @property
    def bits(self) -> int:
        """Bits of a number of a unit."""
        return 32 // self.unit

    @property
    def numbers(self) -> int:
        """Numbers of a vector."""
        return self.unit * self.lanes

    @property
    def words(self) -> int:
        """Words of a vector."""
        return 2 * self.lanes


@dataclass(frozen=True)
class Unit:
    """A unit of a group: where it lies in the group, and where its weights lie in theirs."""

    index: int
    offset: int
    weights: int


@dataclass(frozen=True)
class Stretch:
    """Groups of units with even steps; `together` holds those whose products are summed first.

    `offset` is where the first group lies in a row, and `weights` where its weights lie in a tile.
    """

    offset: int
    weights: int
    count: int
    group_step: int
    weights_step: int
    together: tuple[tuple[Unit, ...], ...]


@dataclass(frozen=True)
class Multiplication:
    """One product of rows in the workspace by weights, a tile of rows and vectors at a time.

    Attributes
    ----------
    name : str
        The name of its constants.
    rows : tuple of int
        Rows of a tile: as many as possible, then one.
    vectors, n_tiles : int
        Vectors of sums of a tile, and tiles.
    tile_bytes : int
        Bytes of the weights of a tile.
    stretches : tuple of Stretch
    row_step, to_step : int
        Bytes from one row to the next, and from its results to the next ones.
    to_tile_step : int
        Bytes from the results of a tile to those of the next.
    is_score : bool
        Whether results are words of 16 bits, instead of numbers that are multiplied again.
    products : UnitProducts
    ahead : int
        Bytes of a row of A that are fetched ahead for each group of units, or 0.
    """

    name: str
    rows: tuple[int, ...]
    vectors: int
    n_tiles: int
    tile_bytes: int
    stretches: tuple[Stretch, ...]
    row_step: int
    to_step: int
    to_tile_step: int
    is_score: bool
    products: UnitProducts
    ahead: int = 0

    @property
    def vector_bytes(self) -> int:
        """Bytes of a vector."""
        return 4 * self.products.lanes

    @property
    def tile_numbers(self) -> int:
        """Sums of a tile."""
        return self.vectors * self.products.lanes

    @property
    def alternating(self) -> tuple[int, ...]:
        """The lanes that take groups of four of two vectors in turn, as packs do."""
        lanes = self.products.lanes
        groups = range(0, lanes, 4)
        return tuple(side + group + i for group in groups for side in (0, lanes) for i in range(4))

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The vectors whose scores are packed together."""
        return tuple((v, v + 1) for v in range(0, self.vectors, 2))

    def ahead_offset(self, stretch: Stretch) -> int:
        """Return where the bytes lie that are fetched ahead for the first group of a stretch."""
        return stretch.offset // stretch.group_step * self.ahead

    def from_place(self, row: int, stretch: Stretch, unit: Unit) -> int:
        """Return where a unit of a row of a tile lies, from the first group on."""
        return stretch.offset + row * self.row_step + unit.offset

    def weights_place(self, vector: int, stretch: Stretch, unit: Unit) -> int:
        """Return where the weights of a vector lie, from those of the first group on."""
        return stretch.weights + unit.weights + vector * self.vector_bytes


@dataclass(frozen=True)
class Reading:
    """How elements of A become numbers of units.

    Attributes
    ----------
    products : UnitProducts
        What multiplies these numbers.
    whole : WholeNumbers or None
        The instructions that round; None if numbers are rounded by sums.
    packs : tuple of str
        The instructions that pack numbers to words and bytes; empty if they are not packed.
    lanes : int
        Elements of a vector.
    n_chunks : int
        Whole chunks of four vectors, where the columns of a row are contiguous.
    tail : tuple of int
        Elements that each vector of the last chunk reads, unless that has none.
    n_features, n_units, last_unit : int
        Where columns are not contiguous: columns of A, whole units, and the columns of another.
    row_step, unit_step : int
        Bytes from one row to the next in the workspace, and from one unit to the next.
    """

    products: UnitProducts
    whole: WholeNumbers | None
    packs: tuple[str, ...]
    lanes: int
    n_chunks: int
    tail: tuple[int, ...]
    n_features: int
    n_units: int
    last_unit: int
    row_step: int
    unit_step: int

    @property
    def masks(self) -> str:
        """The types of further arguments of the instruction that rounds: none, or a mask's."""
        return ", <16 x i32>, i16, i32 immarg" if self.whole and "mask" in self.whole.round else ""

    @property
    def unmasked(self) -> str:
        """Those arguments for all lanes, rounded as always."""
        return ", <16 x i32> zeroinitializer, i16 -1, i32 4" if self.masks else ""

    @property
    def packed(self) -> int:
        """Bytes of a packed vector."""
        return 4 * self.lanes

    @property
    def firsts(self) -> tuple[int, ...]:
        """The first element of each vector of a chunk."""
        return tuple(range(0, 4 * self.lanes, self.lanes))

    @property
    def whole_reads(self) -> tuple[int, ...]:
        """Elements that each vector of a whole chunk reads."""
        return (self.lanes,) * 4

    @property
    def numbers_bytes(self) -> int:
        """Bytes of the numbers of a chunk."""
        return 16 * self.lanes // self.products.unit

    @property
    def places(self) -> tuple[int, ...]:
        """The bit of a unit at which each of its numbers begins."""
        return tuple(range(0, 32, self.products.bits))

    def chunk_bytes(self, itemsize: int) -> int:
        """Return the bytes of the elements of a chunk."""
        return 4 * self.lanes * itemsize

    def filled(self, n: int) -> tuple[int, ...]:
        """Return the lanes that fill a vector of n elements up with zeros."""
        return tuple(min(lane, n) for lane in range(self.lanes))


@dataclass(frozen=True)
class AdditivePlan:
    """How a strip of rows becomes codes, step after step, in the workspace.

    Attributes
    ----------
    rows : int
        Rows of a strip.
    reading : Reading
    multiplications : tuple of Multiplication
        What makes directions of numbers, if the model has a projection, and scores.
    choosing : Choosing
    regions : tuple of int
        Where numbers, directions, scores and places of codes lie.
    n_bytes : int
        Bytes of all.
    """

    rows: int
    reading: Reading
    multiplications: tuple[Multiplication, ...]
    choosing: Choosing
    regions: tuple[int, ...]
    n_bytes: int

    @property
    def ways(self) -> tuple[UnitProducts, ...]:
        """The different ways to multiply."""
        return tuple(dict.fromkeys(each.products for each in self.multiplications))[:1]
