"""The part of a plan that scans by rows: vectors of outputs, whose table rows are added."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.runs import Run, Summands, plan_runs
from maddjit.compiler.maddness.splicing import halves
from maddjit.compiler.maddness.stores import Store, exact_stores
from maddjit.compiler.workspace import LINE

_LEAST_LANES = {8: 16, 16: 4, 32: 4}
"""Outputs of the narrowest plane, by the bits of a sum.

Instructions add vectors of 16 bytes straight from memory. Wider sums load every vector first.
"""


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

    A code times `code_stride` is the place of its table row. `accumulators` are the names and LLVM
    types of the vectors that carry the sums. Where sums of bytes are spliced, `widened` has the
    names of two vectors of 16-bit numbers, and the lanes of the sums and of zeros that they are.
    """

    index: int
    lanes: int
    byte_offset: int
    half: int
    accumulators: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]
    code_stride: int = 1
    is_spliced: bool = False
    widened: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def sums(self) -> tuple[str, ...]:
        """The names of the sums of each part."""
        return tuple(f"plane{self.index}.{part.name}" for part in self.parts)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The lanes that interleave a vector of even bytes and a vector of odd bytes."""
        return tuple((i, self.half + i) for i in range(self.half))


@dataclass(frozen=True)
class Tile:
    """`count` repetitions of a few planes that are scanned together.

    Strides are the bytes from one repetition to the next, offsets those of the first repetition.
    `output_lines` are the cache lines of one row of its outputs.
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
class ScanPlan:
    """How codes become results or scores, by rows; `best` has the k best outputs of each row."""

    tiles: tuple[Tile, ...]
    best: BestLists | None = None

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
    def part_lanes(self) -> tuple[int, ...]:
        """The different widths of the vectors that sums leave in."""
        planes = [plane for tile in self.tiles for plane in tile.planes]
        return tuple(sorted({part.lanes for plane in planes for part in plane.parts}))


def plan_tiles(
    summands: Summands,
    n_outputs: int,
    itemsize: int,
    vector_bytes: int,
    tile_bytes: int,
    most_planes: int = 4,
    spliced: int = 0,
) -> tuple[Tile, ...]:
    """Cut the outputs into tiles: equal tiles of whole vectors, then one with the outputs left.

    Parameters
    ----------
    itemsize : int
        Bytes of an output.
    vector_bytes : int
        Outputs of a plane: those whose table entries fill a vector.
    tile_bytes : int
        Bytes of table that a tile may have, unless it is a single plane.
    most_planes : int
        Planes that a tile may have.
    spliced : int
        The width of the planes whose sums are spliced; 0 for none.
    """
    n_full, rest = divmod(n_outputs, vector_bytes)
    widths = [vector_bytes] * n_full
    if rest:
        least = max(_LEAST_LANES[summands.sums.bits], summands.code_unit)
        widths.append(max(least, 1 << (rest - 1).bit_length()))
    per_tile = tile_bytes // (vector_bytes * summands.n_codebooks * summands.n_prototypes)
    per_tile = max(1, min(most_planes, per_tile))
    repeats = n_full // per_tile
    tiles = []
    if repeats:
        tiles.append(_tile(summands, n_outputs, itemsize, widths[:per_tile], 0, repeats, spliced))
    if last := widths[repeats * per_tile :]:
        first_output = repeats * per_tile * vector_bytes
        left = n_outputs - first_output
        tiles.append(_tile(summands, left, itemsize, last, first_output, 1, spliced))
    return tuple(tiles)


def _tile(
    summands: Summands,
    valid: int,
    itemsize: int,
    widths: list[int],
    first_output: int,
    count: int,
    spliced: int,
) -> Tile:
    """Return `count` tiles with planes of these widths, from the output `first_output` on.

    There are `valid` outputs from there on; what lies behind them is padding. Planes are spliced
    if they are `spliced` wide.
    """
    bits = summands.sums.bits
    entries = summands.n_codebooks * summands.n_prototypes
    width = sum(widths)
    starts = [sum(widths[:i]) for i in range(len(widths))]
    planes = tuple(
        Plane(
            index=i,
            lanes=lanes,
            byte_offset=start * entries,
            half=lanes // 2,
            accumulators=accumulators(i, lanes, bits),
            parts=_parts(bits, itemsize, lanes, start, valid, lanes == spliced and bits < 32),
            code_stride=lanes // summands.code_unit,
            is_spliced=lanes == spliced and bits < 32,
            widened=_widened(lanes) if lanes == spliced and bits == 8 else (),
        )
        for i, (lanes, start) in enumerate(zip(widths, starts, strict=True))
    )
    return Tile(
        count=count,
        table_offset=first_output * entries,
        table_stride=width * entries,
        scale_offset=first_output * 4,
        scale_stride=width * 4,
        first_output=first_output,
        n_outputs=width,
        output_offset=first_output * itemsize,
        output_stride=width * itemsize,
        output_lines=tuple(range(0, width * itemsize, LINE)),
        planes=planes,
        runs=plan_runs(
            summands,
            max(1, settings.MOST_UNROLLED // len(planes)),
            [summands.n_prototypes * plane.lanes for plane in planes],
            [plane.byte_offset for plane in planes],
        ),
    )


def accumulators(index: int, lanes: int, sum_bits: int) -> tuple[tuple[str, str], ...]:
    """Return the names and LLVM types of the vectors that carry the sums of a plane.

    Sums of 16 bits take two vectors. `both` adds pairs of bytes as they are, and `odd` adds the odd
    bytes alone.
    """
    if sum_bits == 16:
        kind = f"<{lanes // 2} x i16>"
        return ((f"plane{index}.both", kind), (f"plane{index}.odd", kind))
    return ((f"plane{index}.sum", f"<{lanes} x i{sum_bits}>"),)


def _widened(lanes: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Return the names of two vectors of 16-bit sums, and the lanes of bytes that they are."""
    return tuple(zip(_WORDS[8], halves(lanes, 1), strict=True))


_WORDS = {8: ("low", "high"), 16: ("even", "odd")}
"""The vectors of 16-bit numbers that spliced sums are made of, by the bits of a sum."""


def _parts(
    sum_bits: int, itemsize: int, width: int, start: int, valid: int, is_spliced: bool
) -> tuple[Part, ...]:
    """Split a plane into the vectors its sums leave in, and those into stores of real outputs.

    The plane has the outputs `start` … `start` + `width` − 1 of its tile, which has `valid`.
    """
    whole: list[tuple[str, str, tuple[int, ...]]]
    if is_spliced:
        ends = zip(("low", "high"), halves(width // 2, 2), strict=True)
        pairs = list(itertools.product(_WORDS[sum_bits], ends))
        whole = [(f"{words}.{end}", words, splice) for words, (end, splice) in pairs]
    else:
        whole = [(name, "", ()) for name in (_WORDS[16] if sum_bits == 16 else ("sum",))]
    lanes = width // len(whole)
    parts = []
    for i, (name, words, splice) in enumerate(whole):
        begin = start + i * lanes
        left = max(0, min(lanes, valid - begin))
        stores = exact_stores(left, itemsize, begin)
        if stores:
            flags = ", ".join(f"i1 {str(lane < left).lower()}" for lane in range(lanes))
            mask = f"<{flags}>" if left < lanes else ""
            parts.append(Part(name, lanes, begin * 4, stores, begin, mask, words, splice))
    return tuple(parts)
