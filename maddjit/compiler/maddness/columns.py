"""The part of a plan that scans by columns: vectors of rows, which byte shuffles look up."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.runs import Run, Summands, Sums, plan_runs
from maddjit.compiler.maddness.scanning import Plane, accumulators
from maddjit.compiler.target import Target
from maddjit.models.maddness import MaddnessModel

_QUAD_ENTRIES = 64
"""Entries of the one table that four codebooks of 16 are looked up in, and bytes of its vector."""


@dataclass(frozen=True)
class ByteShuffle:
    """The instruction that looks a vector of codes up in a table of bytes.

    A table has `entries` bytes. The first `loaded` of them are read into one vector, which `spread`
    fills by repeating them. Without a `spread`, a table takes two vectors. With 4 `codebooks`, the
    tables of four neighbours stand side by side in one table, and one more instruction, `adding`,
    adds the four entries of each row.
    """

    intrinsic: str
    lanes: int
    loaded: int
    entries: int
    spread: tuple[int, ...]
    codebooks: int = 1
    adding: str = ""

    @property
    def rows(self) -> int:
        """Rows of a vector."""
        return self.lanes // self.codebooks


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
    def places(self) -> tuple[tuple[Plane, int, int], ...]:
        """Each plane with the number of its output and the number of its vector."""
        n = len(self.vectors)
        return tuple((plane, i // n, i % n) for i, plane in enumerate(self.planes))

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
class Quads:
    """The codes of four codebooks side by side for each row: `count` quads, `step` bytes each."""

    count: int
    step: int

    @property
    def n_bytes(self) -> int:
        """Bytes of all quads, and of the codes that they are made of."""
        return self.count * self.step

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The lanes that bring two vectors of 64 side by side."""
        return tuple((i, 64 + i) for i in range(64))


@dataclass(frozen=True)
class ColumnsPlan:
    """How codes become columns of results.

    Attributes
    ----------
    shuffle : ByteShuffle
    tiles : tuple of ColumnTile
    sum_bits : int
        Bits of a sum: those that are proved, or 32 with quads.
    quads : Quads or None
        Where the codes of four codebooks are first placed side by side.
    packs_pairs : bool
        Whether the 32-bit sums of two vectors of rows are stored as one vector of 16-bit sums.
    """

    shuffle: ByteShuffle
    tiles: tuple[ColumnTile, ...]
    sum_bits: int
    quads: Quads | None
    packs_pairs: bool

    @property
    def lower_words(self) -> tuple[int, ...]:
        """The lanes of the lower words of two vectors of 32-bit numbers."""
        return tuple(range(0, 64, 2))

    @property
    def tail_results(self) -> int:
        """Results of the largest tile that the tail holds where a vector lacks rows."""
        return max(tile.n_outputs * tile.rows for tile in self.tiles if tile.is_last)


def plan_columns(
    summands: Summands, n_outputs: int, target: Target, sums: str = ""
) -> ColumnsPlan | None:
    """Return the scan by columns, or None if `target` has no shuffle for tables of that size.

    Parameters
    ----------
    sums : str
        LLVM's type of the sums if they are the results; empty for outputs.
    """
    shuffle = byte_shuffle(target, summands.n_prototypes)
    if shuffle is None:
        return None
    quads = None
    if by_fours := quad_shuffle(summands, target):
        shuffle, summands = by_fours, quadrupled(summands)
        quads = Quads(summands.n_codebooks, summands.codes_step)
    tiles = cut_columns(summands, n_outputs, shuffle, tile_shape(summands.sums, shuffle, target))
    return ColumnsPlan(
        shuffle=shuffle,
        tiles=tiles,
        sum_bits=summands.sums.bits,
        quads=quads,
        packs_pairs=bool(quads) and sums == "i16",
    )


def byte_shuffle(target: Target, n_prototypes: int) -> ByteShuffle | None:
    """Return the shuffle for tables of so many entries, or None if `target` has none."""
    entries = max(16, n_prototypes)
    intrinsic = target.byte_shuffle(entries)
    if not intrinsic:
        return None
    lanes = target.vector_bytes
    # A table shorter than the vector is repeated: shuffles look in each 16 bytes, or by low bits.
    spread = tuple(i % entries for i in range(lanes)) if entries <= lanes else ()
    return ByteShuffle(intrinsic, lanes, min(entries, lanes), entries, spread)


def quad_shuffle(summands: Summands, target: Target) -> ByteShuffle | None:
    """Return the shuffle for four codebooks at a time, or None if that is impossible or slower.

    The template is written for vectors of 64 bytes. Fours are faster where sums are wide and few
    codebooks add up in a byte.
    """
    shuffle, sums = byte_shuffle(target, _QUAD_ENTRIES), summands.sums
    can = shuffle and shuffle.lanes == _QUAD_ENTRIES and summands.n_prototypes <= 16
    wide = sums.bits > 8 and sums.group < settings.LEAST_GROUP and sums.accumulate == "exact"
    if shuffle and can and wide and target.byte_products:
        return replace(shuffle, codebooks=4, adding=target.byte_products)
    return None


def quadrupled(summands: Summands) -> Summands:
    """Return the summands if four neighbouring codebooks are one, whose sum has 32 bits."""
    return replace(
        summands,
        n_codebooks=-(-summands.n_codebooks // 4),
        sums=Sums("exact", 32, 1),
        codes_step=4 * summands.codes_step,
    )


def tile_shape(sums: Sums, shuffle: ByteShuffle, target: Target) -> tuple[int, int]:
    """Return the outputs and the vectors of rows of a tile, whose sums all stay in registers."""
    if shuffle.codebooks == 4:
        return settings.QUADS_SHAPE
    key = _way(sums), target.n_registers
    narrow = settings.NARROW_SHAPES if target.vector_bytes == 16 else {}
    return narrow.get(key) or settings.COLUMN_SHAPES[key]


def cut_columns(
    summands: Summands, n_outputs: int, shuffle: ByteShuffle, shape: tuple[int, int]
) -> tuple[ColumnTile, ...]:
    """Cut the outputs into tiles of a few, each scanned for a few vectors of rows at a time."""
    at_once, vectors = shape
    n_full, rest = divmod(n_outputs, at_once)
    tiles = []
    for n, count, first in ((at_once, n_full, 0), (rest, 1, n_full * at_once)):
        if n and count:
            step = shuffle.rows * vectors if vectors > 1 else 0
            if step:
                tiles.append(_tile(summands, shuffle, n, vectors, count=count, first=first))
            tiles.append(_tile(summands, shuffle, n, 1, count=count, first=first, step=step))
    return tuple(tiles)


def _way(sums: Sums) -> str:
    """Return how bytes are added: averaged, in groups before they are widened, or one by one."""
    if sums.bits == 32:
        return "32 bits"
    if sums.accumulate == "average":
        return "averages" if sums.bits == 8 else "widened averages"
    return "groups" if sums.bits == 16 and sums.group > 1 else f"{sums.bits} bits"


def _unrolled(sums: Sums) -> int:
    """Return the codebooks in straight-line code: few, or a group that is widened together."""
    if sums.bits == 8:
        return settings.COLUMN_UNROLLED
    return max(settings.COLUMN_UNROLLED, min(sums.group, settings.COLUMN_GROUP))


def _tile(
    summands: Summands,
    shuffle: ByteShuffle,
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
        Plane(i, rows, 0, rows // 2, accumulators(i, rows, summands.sums.bits), ())
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
        "tables": padded.tobytes(),
        "scale": model.scale.astype("<f4").tobytes(),
        "offset": model.offset.astype("<f4").tobytes(),
    }
