"""The other scan: rows in the lanes of byte shuffles, outputs in turn, for columns of Y."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from maddjit.compiler.maddness.scan_records import ByteShuffle, ColumnTile, Plane
from maddjit.compiler.maddness.scanning import Scan, accumulators, runs
from maddjit.compiler.target import Target
from maddjit.models.maddness import MaddnessModel

_SHAPES = {(8, 32): (4, 4), (16, 32): (4, 2), (32, 32): (2, 1), (8, 16): (2, 4), (16, 16): (2, 2)}
"""(bits of a sum, registers) → outputs and vectors of rows whose sums are in flight together."""

_UNROLL = {8: 2, 16: 8, 32: 4}
"""Codebooks in straight-line code: more, and LLVM loads so much early that sums are spilled."""
_QUAD_ENTRIES = 64
"""Entries of the one table in which four codebooks of 16 are looked up."""
_QUADS_SHAPE = (4, 2)
"""Outputs and vectors of rows of quads in flight together."""
_LEAST_GROUP = 3
"""Codebooks per 8-bit sum from which adding bytes is faster than quads."""
_MAX_LINES_AHEAD = 8
"""Lines of a column fetched at a codebook's turn."""


def quads(target: Target, scan: Scan) -> tuple[ByteShuffle, Scan] | None:
    """Return the shuffle and the scan of four codebooks at a time, or None if that is no gain.

    It is one where sums are wide and few codebooks add up in a byte.
    """
    wide = scan.sum_bits > 8 and scan.group < _LEAST_GROUP and not scan.average
    intrinsic = target.byte_shuffle(_QUAD_ENTRIES)
    if not (wide and scan.n_prototypes <= 16 and intrinsic and target.byte_products):
        return None
    four = replace(
        scan,
        n_codebooks=-(-scan.n_codebooks // 4),
        sum_bits=32,
        group=1,
        codebook_step=4 * scan.codebook_step,
        splits_bytes=4 * scan.splits_bytes,
    )
    return ByteShuffle(intrinsic, 64, 64, 64, tuple(range(64)), codebooks=4), four


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


def cut_columns(
    scan: Scan, n_outputs: int, shuffle: ByteShuffle, registers: int
) -> tuple[ColumnTile, ...]:
    """Cut the outputs into tiles of a few, each scanned for a few vectors of rows at a time."""
    shape = _SHAPES.get((scan.sum_bits, registers), (1, 1))
    at_once, vectors = _QUADS_SHAPE if shuffle.codebooks == 4 else shape
    n_full, rest = divmod(n_outputs, at_once)
    tiles = []
    if n_full:
        tiles.append(_tile(scan, shuffle, at_once, vectors, number=0, count=n_full, first=0))
    if rest:
        first = n_full * at_once
        tiles.append(_tile(scan, shuffle, rest, vectors, number=n_full, count=1, first=first))
    return tuple(tiles)


def _tile(
    scan: Scan,
    shuffle: ByteShuffle,
    at_once: int,
    vectors: int,
    *,
    number: int,
    count: int,
    first: int,
) -> ColumnTile:
    rows, entries = shuffle.rows, shuffle.entries
    output_bytes = scan.n_codebooks * entries
    planes = tuple(
        Plane(i, rows, 0, rows // 2, accumulators(i, rows, scan.sum_bits), ())
        for i in range(at_once * vectors)
    )
    return ColumnTile(
        count=count,
        number=number,
        first_output=first,
        n_outputs=at_once,
        vectors=tuple(rows * i for i in range(vectors)),
        code_offsets=tuple(shuffle.lanes * i for i in range(vectors)),
        rows=rows * vectors,
        table_offset=first * output_bytes,
        table_stride=at_once * output_bytes,
        planes=planes,
        runs=runs(
            scan,
            _UNROLL[8 if shuffle.codebooks == 4 else scan.sum_bits],
            [entries] * at_once,
            [i * output_bytes for i in range(at_once)],
        ),
    )


def column_constants(model: MaddnessModel, shuffle: ByteShuffle) -> dict[str, bytes]:
    """Lay the tables out output by output, codebook by codebook; padding is zero."""
    shared = shuffle.codebooks
    entries = shuffle.entries // shared
    n_codebooks = -(-model.n_codebooks // shared) * shared
    padded = np.zeros((model.n_outputs, n_codebooks, entries), np.uint8)
    padded[:, : model.n_codebooks, : model.n_prototypes] = model.tables.transpose(2, 0, 1)
    splits = np.zeros((n_codebooks, model.depth), "<i8")
    splits[: model.n_codebooks] = model.split_dims
    return {
        "split_columns": splits.tobytes(),
        "tables": padded.tobytes(),
        "scale": model.scale.astype("<f4").tobytes(),
        "offset": model.offset.astype("<f4").tobytes(),
    }


def lines_ahead(columns: tuple[ColumnTile, ...], column_bytes: int, row_block: int) -> int:
    """Return the lines of a block's columns to fetch at each codebook's turn, to fetch them all."""
    turns = sum(tile.count * -(-row_block // tile.rows) for tile in columns)
    return min(_MAX_LINES_AHEAD, -(-column_bytes // (64 * turns)))
