"""The part of a plan that scans by columns: vectors of rows, which byte shuffles look up."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.column_tiles import ColumnTile, cut_columns
from maddjit.compiler.maddness.runs import Summands, Sums
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
    def least_rows(self) -> int:
        """The rows that a scan takes even if there are fewer."""
        return min(tile.rows for tile in self.tiles if tile.is_last)

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
    packs = bool(requantising and target.words and target.words.narrow)
    if by_fours := quad_shuffle(summands, target, packs):
        shuffle, summands = by_fours, quadrupled(summands)
        quads = Quads(summands.n_codebooks, summands.codes_step, packs)
    residues = None if quads else residues_of(summands, shuffle)
    bits = summands.sums.bits
    if residues:
        summands = replace(summands, sums=Sums("average", bits, residues.n))
    way = "residues" if residues else _way(summands.sums)
    words = plan_words(requantising, target, proved, bool(quads))
    shape = tile_shape(way, shuffle, target, words)
    return ColumnsPlan(
        shuffle=shuffle,
        tiles=cut_columns(summands, n_outputs, shuffle, shape, way, bool(quads and packs)),
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


def _way(sums: Sums) -> str:
    """Return how bytes are added: averaged, in groups before they are widened, or one by one."""
    if sums.bits == 32:
        return "32 bits"
    if sums.accumulate == "average":
        return "averages" if sums.bits == 8 else "widened averages"
    return "groups" if sums.bits == 16 and sums.group > 1 else f"{sums.bits} bits"


def column_constants(model: MaddnessModel, columns: ColumnsPlan) -> dict[str, bytes | memoryview]:
    """Return the tables output by output, codebook by codebook, and the scale and offset.

    Codebooks that fill up the last four, and entries that fill up a table, are zero.
    """
    shared = columns.shuffle.codebooks
    entries = columns.shuffle.entries // shared
    n_codebooks = -(-model.n_codebooks // shared) * shared
    padded = np.zeros((model.n_outputs, n_codebooks, entries), np.uint8)
    padded[:, : model.n_codebooks, : model.n_prototypes] = model.tables.transpose(2, 0, 1)
    return {
        "column_tables": padded.reshape(-1).data,
        "scale": model.scale.astype("<f4").tobytes(),
        "offset": model.offset.astype("<f4").tobytes(),
    }
