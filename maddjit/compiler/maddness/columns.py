"""The part of a plan that scans by columns: vectors of rows, which byte shuffles look up."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.runs import Run, Summands, Sums, plan_runs
from maddjit.compiler.maddness.scan_plan import Plane
from maddjit.compiler.maddness.scanning import accumulators
from maddjit.compiler.maddness.shuffles import (
    ByteShuffle,
    Quads,
    byte_shuffle,
    quad_shuffle,
    quadrupled,
)
from maddjit.compiler.maddness.turning import Few
from maddjit.compiler.maddness.words import WordEnding, plan_words
from maddjit.compiler.target import Target
from maddjit.models.maddness import Accumulate, MaddnessModel, average_group
from maddjit.models.requantising import Requantising


@dataclass(frozen=True)
class Piece:
    """So many rows, a power of two, of those that do not fill a vector."""

    rows: int

    @property
    def before_mask(self) -> int:
        """The mask that leaves the larger pieces of a number of rows."""
        return -2 * self.rows


@dataclass(frozen=True)
class ColumnTile:
    """`count` repetitions of a few outputs, scanned for a few vectors of rows at a time.

    Plane i holds the sums of output i // len(vectors) for the rows from `vectors`[i % len(vectors)]
    on. A tile `is_last` if it scans the rows that other tiles of its outputs leave, because they
    take `step` rows at a time.
    """

    count: int
    is_last: bool
    step: int
    first_output: int
    n_outputs: int
    vectors: tuple[int, ...]
    code_offsets: tuple[int, ...]
    rows: int
    table_offset: int
    table_stride: int
    planes: tuple[Plane, ...]
    runs: tuple[Run, ...]

    @property
    def start_mask(self) -> int:
        """The mask that rounds a number of rows down to those that other tiles scan."""
        return -self.step if self.step else 0

    @property
    def whole_mask(self) -> int:
        """The mask that rounds a number of rows down to whole tiles."""
        return -self.rows

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The pieces that fewer rows than this tile has are copied in, the largest first."""
        return tuple(Piece(1 << bit) for bit in reversed(range((self.rows - 1).bit_length())))

    @property
    def places(self) -> tuple[tuple[Plane, int, int], ...]:
        """Each plane with the number of its output and the number of its vector."""
        n = len(self.vectors)
        return tuple((plane, i // n, i % n) for i, plane in enumerate(self.planes))

    @property
    def fours(self) -> tuple[tuple[tuple[Plane, ...], int], ...]:
        """The planes of four vectors, with the number of their output; none if there are fewer."""
        n = len(self.vectors)
        outputs = range(self.n_outputs if n == 4 else 0)
        return tuple((self.planes[n * i : n * i + n], i) for i in outputs)

    @property
    def pairs(self) -> tuple[tuple[Plane, Plane, int, int], ...]:
        """The planes of two neighbouring vectors, with the numbers of output and first vector.

        There are none if there is one vector.
        """
        places = self.places if len(self.vectors) > 1 else ()
        return tuple(
            (left, right, output, vector)
            for (left, output, vector), (right, _, _) in zip(places[::2], places[1::2], strict=True)
        )


@dataclass(frozen=True)
class Residues:
    """Sums of 16 bits from bytes: sums modulo 256, and rounding averages of all `n` codebooks.

    A level of the tree of averages adds at most ½. So n times the average is at least the sum, and
    exceeds it by at most n · log₂(n) / 2, which is less than 256.
    """

    n: int

    @property
    def shift(self) -> int:
        """The bits by which an average is shifted to be multiplied by n."""
        return self.n.bit_length() - 1

    @property
    def back(self) -> int:
        """The bits by which an average is shifted to be the upper byte of that product."""
        return 8 - self.shift


@dataclass(frozen=True)
class ColumnsPlan:
    """How codes become columns of results.

    Attributes
    ----------
    shuffle : ByteShuffle
    tiles : tuple of ColumnTile
    sum_bits : int
        Bits of a sum: those that are proved, or 32 with quads.
    accumulate : {"exact", "average"}
        Whether bytes are added or averaged.
    residues : Residues or None
        How exact sums are found from averages.
    quads : Quads or None
        Where the codes of four codebooks are first placed side by side.
    packs_pairs : bool
        Whether the 32-bit sums of two vectors of rows are stored as one vector of 16-bit sums.
    words : WordEnding or None
        How sums are requantised in words of 16 bits, if they are.
    few : Few or None
        Which rows are too few to fill vectors; None if vectors take any number.
    """

    shuffle: ByteShuffle
    tiles: tuple[ColumnTile, ...]
    sum_bits: int
    accumulate: Accumulate
    residues: Residues | None
    quads: Quads | None
    packs_pairs: bool
    words: WordEnding | None = None
    few: Few | None = None

    @property
    def lower_words(self) -> tuple[int, ...]:
        """The lanes of the lower words of two vectors of 32-bit numbers."""
        return tuple(range(0, 64, 2))

    @property
    def tail_results(self) -> int:
        """Results of the largest tile that the tail holds where a vector lacks rows."""
        return max(tile.n_outputs * tile.rows for tile in self.tiles if tile.is_last)


def plan_columns(
    summands: Summands,
    n_outputs: int,
    target: Target,
    sums: str = "",
    requantising: Requantising | None = None,
) -> ColumnsPlan | None:
    """Return the scan by columns, or None if `target` has no shuffle for tables of that size.

    Parameters
    ----------
    sums : str
        LLVM's type of the sums if they are the results; empty for outputs.
    requantising : Requantising, optional
        How sums become results in integers, if they do.
    """
    proved = summands.sums.bits
    shuffle = byte_shuffle(target, summands.n_prototypes)
    if shuffle is None:
        return None
    quads = None
    if by_fours := quad_shuffle(summands, target):
        shuffle, summands = by_fours, quadrupled(summands)
        quads = Quads(summands.n_codebooks, summands.codes_step)
    residues = None if quads else residues_of(summands, shuffle)
    bits = summands.sums.bits
    if residues:
        summands = replace(summands, sums=Sums("average", bits, residues.n))
    way = "residues" if residues else _way(summands.sums)
    words = plan_words(requantising, target, proved, bool(quads))
    shape = tile_shape(way, shuffle, target, words)
    return ColumnsPlan(
        shuffle=shuffle,
        tiles=cut_columns(summands, n_outputs, shuffle, shape, way),
        sum_bits=bits,
        accumulate=summands.sums.accumulate,
        residues=residues,
        quads=quads,
        packs_pairs=bool(quads) and sums == "i16",
        words=words,
    )


def residues_of(summands: Summands, shuffle: ByteShuffle) -> Residues | None:
    """Return how exact sums are found from averages, where that takes fewer instructions.

    It takes three for a look-up, and four where every entry is widened. The tree has 2, 4, 8 or 16
    leaves.
    """
    n, sums = summands.n_codebooks, summands.sums
    wide = sums.accumulate == "exact" and sums.bits == 16 and sums.group == 1
    narrow = shuffle.lanes <= settings.RESIDUES_BYTES
    return Residues(n) if wide and narrow and n == average_group(n) else None


def tile_shape(
    way: str, shuffle: ByteShuffle, target: Target, words: WordEnding | None = None
) -> tuple[int, int]:
    """Return the outputs and the vectors of rows of a tile, whose sums all stay in registers."""
    if shuffle.codebooks == 4:
        return settings.QUADS_PACKED_SHAPE if words else settings.QUADS_SHAPE
    narrow = settings.NARROW_SHAPES.get((way, target.n_registers, shuffle.lanes))
    return narrow or settings.COLUMN_SHAPES[way, target.n_registers]


def cut_columns(
    summands: Summands, n_outputs: int, shuffle: ByteShuffle, shape: tuple[int, int], way: str
) -> tuple[ColumnTile, ...]:
    """Cut the outputs into tiles of a few, each scanned for a few vectors of rows at a time."""
    at_once, vectors = shape
    n_full, rest = divmod(n_outputs, at_once)
    tiles = []
    for n, count, first in ((at_once, n_full, 0), (rest, 1, n_full * at_once)):
        if n and count:
            step = shuffle.rows * vectors if vectors > 1 else 0
            if step:
                tiles.append(_tile(summands, shuffle, way, n, vectors, count=count, first=first))
            tiles.append(_tile(summands, shuffle, way, n, 1, count=count, first=first, step=step))
    return tuple(tiles)


def _way(sums: Sums) -> str:
    """Return how bytes are added: averaged, in groups before they are widened, or one by one."""
    if sums.bits == 32:
        return "32 bits"
    if sums.accumulate == "average":
        return "averages" if sums.bits == 8 else "widened averages"
    return "groups" if sums.bits == 16 and sums.group > 1 else f"{sums.bits} bits"


def _carried(way: str, index: int, lanes: int, sum_bits: int) -> tuple[tuple[str, str], ...]:
    """Return the names and LLVM types of the vectors that carry the sums of a plane."""
    if way == "residues":
        kind = f"<{lanes} x i8>"
        return ((f"plane{index}.residue", kind), (f"plane{index}.average", kind))
    return accumulators(index, lanes, sum_bits)


def _unrolled(sums: Sums) -> int:
    """Return the codebooks in straight-line code: few, or a group that is widened together."""
    if sums.bits == 8:
        return settings.COLUMN_UNROLLED
    return max(settings.COLUMN_UNROLLED, min(sums.group, settings.COLUMN_GROUP))


def _tile(
    summands: Summands,
    shuffle: ByteShuffle,
    way: str,
    at_once: int,
    vectors: int,
    *,
    count: int,
    first: int,
    step: int = 0,
) -> ColumnTile:
    """Return `count` tiles of `at_once` outputs and `vectors` vectors of rows.

    A tile of one vector takes the rows that tiles of `step` rows leave.
    """
    rows, entries = shuffle.rows, shuffle.entries
    output_bytes = summands.n_codebooks * entries
    planes = tuple(
        Plane(i, rows, 0, rows // 2, _carried(way, i, rows, summands.sums.bits), ())
        for i in range(at_once * vectors)
    )
    return ColumnTile(
        count=count,
        is_last=vectors == 1,
        step=step,
        first_output=first,
        n_outputs=at_once,
        vectors=tuple(rows * i for i in range(vectors)),
        code_offsets=tuple(shuffle.lanes * i for i in range(vectors)),
        rows=rows * vectors,
        table_offset=first * output_bytes,
        table_stride=at_once * output_bytes,
        planes=planes,
        runs=plan_runs(
            summands,
            _unrolled(summands.sums),
            [entries] * at_once,
            [i * output_bytes for i in range(at_once)],
        ),
    )


def column_constants(model: MaddnessModel, columns: ColumnsPlan) -> dict[str, bytes]:
    """Return the tables output by output, codebook by codebook, and the scale and offset.

    Codebooks that fill up the last four, and entries that fill up a table, are zero.
    """
    shared = columns.shuffle.codebooks
    entries = columns.shuffle.entries // shared
    n_codebooks = -(-model.n_codebooks // shared) * shared
    padded = np.zeros((model.n_outputs, n_codebooks, entries), np.uint8)
    padded[:, : model.n_codebooks, : model.n_prototypes] = model.tables.transpose(2, 0, 1)
    return {
        "column_tables": padded.tobytes(),
        "scale": model.scale.astype("<f4").tobytes(),
        "offset": model.offset.astype("<f4").tobytes(),
    }
