"""Outputs cut into tiles of planes, for a scan by rows."""

from __future__ import annotations

import itertools

from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.runs import Summands, Sums, plan_runs
from maddjit.compiler.maddness.scan_plan import Part, Plane, Tile
from maddjit.compiler.maddness.splicing import halves
from maddjit.compiler.maddness.stores import exact_stores
from maddjit.compiler.target import Target
from maddjit.compiler.workspace import LINE

_LEAST_LANES = {8: 16, 16: 4, 32: 4}
"""Outputs of the narrowest plane, by the bits of a sum.

Instructions add vectors of 16 bytes straight from memory. Wider sums load every vector first.
"""


def planes_of(sums: Sums, target: Target) -> int:
    """Return the planes that a tile may have: registers hold the sums and averages of so many."""
    most = settings.MOST_PLANES[sums.bits, target.n_registers]
    if sums.accumulate == "average":
        most = min(most, settings.MOST_TREES.get(target.vector_bytes, most))
    return most


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
            alignment=lanes,
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
        rows_ahead=settings.ROWS_AHEAD,
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
