"""The records of a scan by rows: vectors of outputs, whose table rows are added."""

from __future__ import annotations

from dataclasses import dataclass, replace

from maddjit.compiler.maddness.runs import Run
from maddjit.compiler.maddness.stores import Store
from maddjit.compiler.maddness.turning import TurnPlan


@dataclass(frozen=True)
class Part:
    """Neighbouring outputs of a plane that leave it in one vector, and where they are stored.

    `valid` is an LLVM vector of i1 that tells the lanes with an output from padding. It is empty if
    all lanes have an output. If the sums are spliced, they are made of the vector of 16-bit numbers
    called `words`, by the lanes `splice` of it and of a constant.
    """

    name: str
    lanes: int
    scale_offset: int
    stores: tuple[Store, ...]
    first_output: int
    valid: str
    words: str = ""
    splice: tuple[int, ...] = ()


@dataclass(frozen=True)
class Plane:
    """Outputs whose table entries are side by side in one vector of bytes.

    A code times `code_stride` is the place of its table row, which is aligned to `alignment`. Bytes
    that are `ahead` of a row in use are fetched meanwhile, unless that is 0. `accumulators` are the
    names and LLVM types of the vectors that carry the sums. Where sums of bytes are spliced,
    `widened` has the names of two vectors of 16-bit numbers, and the lanes of the sums and of zeros
    that they are.
    """

    index: int
    lanes: int
    byte_offset: int
    half: int
    accumulators: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]
    code_stride: int = 1
    alignment: int = 1
    ahead: int = 0
    is_spliced: bool = False
    widened: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def sums(self) -> tuple[str, ...]:
        """The names of the sums of each part."""
        return tuple(f"plane{self.index}.{part.name}" for part in self.parts)

    @property
    def twice(self) -> int:
        """The bytes of two vectors."""
        return 2 * self.lanes

    @property
    def sides(self) -> tuple[tuple[int, int], ...]:
        """The lanes that interleave a vector of lower bytes and a vector of upper bytes."""
        return tuple((i, self.lanes + i) for i in range(self.lanes))

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The lanes that interleave a vector of even bytes and a vector of odd bytes."""
        return tuple((i, self.half + i) for i in range(self.half))


@dataclass(frozen=True)
class Tile:
    """`count` repetitions of a few planes that are scanned together.

    Strides are the bytes from one repetition to the next, offsets those of the first repetition.
    `output_lines` are the cache lines of Y that are fetched for each row, as offsets from the
    outputs of the row that is `rows_ahead`.
    """

    count: int
    table_offset: int
    table_stride: int
    scale_offset: int
    scale_stride: int
    first_output: int
    n_outputs: int
    output_offset: int
    output_stride: int
    output_lines: tuple[int, ...]
    rows_ahead: int
    planes: tuple[Plane, ...]
    runs: tuple[Run, ...]

    @property
    def parts(self) -> tuple[tuple[Part, str], ...]:
        """The parts in the order of their outputs, each with the name of its sums."""
        return tuple(
            pair for plane in self.planes for pair in zip(plane.parts, plane.sums, strict=True)
        )

    @property
    def last(self) -> str:
        """The suffix of the values that hold the sums of all codebooks."""
        number, run = len(self.runs) - 1, self.runs[-1]
        return f"r{number}" if run.count > 1 else f"r{number}.g{len(run.groups)}"

    @property
    def code_strides(self) -> tuple[int, ...]:
        """The different factors of a code among the planes."""
        return tuple(sorted({plane.code_stride for plane in self.planes}))


@dataclass(frozen=True)
class BestLists:
    """The scores of the k best outputs so far of each row of a block, then those of one part."""

    k: int
    row_block: int

    @property
    def list_bytes(self) -> int:
        """Bytes of the scores of one row's best outputs."""
        return 4 * self.k

    @property
    def last_rank(self) -> int:
        """The place of the last of a row's best outputs."""
        return self.k - 1

    @property
    def scores_offset(self) -> int:
        """Where the scores of one part are, behind the lists of all rows."""
        return self.row_block * self.list_bytes

    @property
    def n_bytes(self) -> int:
        """Bytes of everything; a part has as many scores as a vector has bytes, 64 at most."""
        return self.scores_offset + 4 * 64


@dataclass(frozen=True)
class Streams:
    """Tables that lie run by run: a run has one code's entries of all outputs.

    A row reads one run of each codebook, tile by tile. So few rows read long streams, whose next
    lines are known and fetched ahead. Many rows read all codes of a tile again and again. For them
    the tables of a tile are packed into a buffer first.

    Attributes
    ----------
    n_runs, run_step : int
        The number of runs, and the bytes from one to the next.
    shared_rows : int
        The rows of a block from which all of them read a tile before any reads the next one.
    packed_rows : int
        The rows of a block from which tiles are packed, if there are `packed` tiles.
    packed : tuple of Tile
        The outputs, tile after tile, of packed tables; none if that never pays.
    packed_step, packed_bytes : int
        The bytes from one table row in the buffer to the next, and those of the whole buffer.
    """

    n_runs: int
    run_step: int
    shared_rows: int
    packed_rows: int
    packed: tuple[Tile, ...]
    packed_step: int
    packed_bytes: int


@dataclass(frozen=True)
class ScanPlan:
    """How codes become results or scores, by rows.

    Attributes
    ----------
    tiles : tuple of Tile
        The outputs, tile after tile. With `streams`, these tiles are for few rows.
    best : BestLists or None
        The k best outputs of each row, for kernels that name them.
    streams : Streams or None
        How tables too large for near caches are read; None where tiles have tables of their own.
    turn : TurnPlan or None
        How results by rows become columns; None where rows are the results.
    """

    tiles: tuple[Tile, ...]
    best: BestLists | None = None
    streams: Streams | None = None
    turn: TurnPlan | None = None

    @property
    def width(self) -> int:
        """The number of outputs, including those that fill up the last plane."""
        return sum(tile.count * tile.n_outputs for tile in self.tiles)

    @property
    def n_tiles(self) -> int:
        """The number of tiles; each repetition counts."""
        return sum(tile.count for tile in self.tiles)

    @property
    def is_spliced(self) -> bool:
        """Whether the sums of any plane are spliced."""
        return bool(self.spliced_lanes)

    @property
    def spliced_lanes(self) -> tuple[int, ...]:
        """The different widths of the vectors that spliced sums leave in."""
        planes = [plane for tile in self.tiles for plane in tile.planes]
        return tuple(sorted({plane.lanes // 4 for plane in planes if plane.is_spliced}))

    @property
    def without_lines(self) -> ScanPlan:
        """The same scan for results that stay in a cache: it fetches no lines of them ahead."""
        return replace(self, tiles=tuple(replace(tile, output_lines=()) for tile in self.tiles))

    @property
    def part_lanes(self) -> tuple[int, ...]:
        """The different widths of the vectors that sums leave in."""
        planes = [plane for tile in self.tiles for plane in tile.planes]
        return tuple(sorted({part.lanes for plane in planes for part in plane.parts}))
