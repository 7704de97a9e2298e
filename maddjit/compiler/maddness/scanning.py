"""Outputs → tiles of planes, codebooks → runs of groups: the shape of the scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.maddness.encode_records import exact_stores
from maddjit.compiler.maddness.scan_records import Group, Part, Plane, Run, Step, Tile
from maddjit.models.maddness import MaddnessModel, average_group

TILE_BYTES = 32 * 1024
"""Bytes of table that one pass over a row block may use."""
LINE = 64
"""Bytes of a cache line."""
_MAX_PLANES = 4
"""Vectors of 8-bit sums in flight; each needs up to two 16-bit accumulators of 16 registers."""
_MAX_UNROLL = 128
"""Table rows added in straight-line code before a loop is made."""


def sum_width(model: MaddnessModel) -> tuple[int, int]:
    """Return the bits that hold every possible sum, and the codebooks whose sum fits a byte."""
    largest = model.tables.max(axis=1).astype(np.int64)  # (C, M)
    if model.accumulate == "average":
        group = average_group(model.n_codebooks)
        groups = model.n_codebooks // group
        worst = 255 * groups
        return (8 if groups == 1 else 16 if worst < 2**16 else 32), group
    worst = int(largest.sum(axis=0).max())
    if worst >= 2**31:
        raise ValueError(f"the sums can reach {worst}, more than 32 bits hold")
    if worst < 2**8:
        return 8, model.n_codebooks
    group = next(
        size
        for size in (32, 24, 16, 12, 8, 6, 5, 4, 3, 2, 1)
        if np.add.reduceat(largest, np.arange(0, model.n_codebooks, size)).max() < 2**8
    )
    return (16 if worst < 2**16 else 32), group


@dataclass(frozen=True)
class Scan:
    """What decides the shape of a scan, whatever the outputs are."""

    n_codebooks: int
    n_prototypes: int
    average: bool
    sum_bits: int
    group: int
    codebook_step: int
    output_bytes: int
    splits_bytes: int


def cut_outputs(
    scan: Scan, n_outputs: int, vector_bytes: int, tile_bytes: int
) -> tuple[tuple[Tile, ...], NDArray[np.intp]]:
    """Cut the outputs into tiles of planes; return them and the output behind each byte lane."""
    n_full, rest = divmod(n_outputs, vector_bytes)
    widths = [vector_bytes] * n_full
    if rest:
        widths.append(max(4, 1 << (rest - 1).bit_length()))
    per_tile = tile_bytes // (vector_bytes * scan.n_codebooks * scan.n_prototypes)
    per_tile = max(1, min(_MAX_PLANES if scan.sum_bits < 32 else 2, per_tile))
    repeats = n_full // per_tile
    tiles = []
    if repeats:
        tiles.append(_tile(scan, widths[:per_tile], 0, repeats, n_outputs))
    if len(widths) > repeats * per_tile:
        first_output = repeats * per_tile * vector_bytes
        tiles.append(_tile(scan, widths[repeats * per_tile :], first_output, 1, n_outputs))
    packing = []
    for index, width in enumerate(widths):
        order = np.arange(width)
        if scan.sum_bits == 16:  # even bytes are the first half of the plane's outputs
            order = order.reshape(2, -1).T.ravel()
        packing.append(index * vector_bytes + order)
    return tuple(tiles), np.concatenate(packing)


def _tile(scan: Scan, widths: list[int], first_output: int, count: int, n_outputs: int) -> Tile:
    entries = scan.n_codebooks * scan.n_prototypes
    starts = [sum(widths[:i]) for i in range(len(widths))]
    planes = tuple(
        Plane(
            index=i,
            lanes=width,
            byte_offset=start * entries,
            half=width // 2,
            accumulators=accumulators(i, width, scan.sum_bits),
            parts=_parts(scan, width, start, n_outputs - first_output),
        )
        for i, (width, start) in enumerate(zip(widths, starts, strict=True))
    )
    return Tile(
        count=count,
        table_offset=first_output * entries,
        table_stride=sum(widths) * entries,
        scale_offset=first_output * 4,
        scale_stride=sum(widths) * 4,
        first_output=first_output,
        n_outputs=sum(widths),
        output_offset=first_output * scan.output_bytes,
        output_stride=sum(widths) * scan.output_bytes,
        output_lines=tuple(range(0, sum(widths) * scan.output_bytes, LINE)),
        planes=planes,
        runs=runs(
            scan,
            max(1, _MAX_UNROLL // len(planes)),
            [scan.n_prototypes * plane.lanes for plane in planes],
            [plane.byte_offset for plane in planes],
        ),
    )


def accumulators(index: int, width: int, sum_bits: int) -> tuple[tuple[str, str], ...]:
    """Name the vectors that carry a plane's sums; `word` sums hold odd bytes a second time."""
    if sum_bits == 16:
        kind = f"<{width // 2} x i16>"
        return ((f"plane{index}.both", kind), (f"plane{index}.odd", kind))
    return ((f"plane{index}.sum", f"<{width} x i{sum_bits}>"),)


def _parts(scan: Scan, width: int, start: int, valid: int) -> tuple[Part, ...]:
    """Split a plane into the vectors its sums leave in, and those into stores of real outputs."""
    names = ("even", "odd") if scan.sum_bits == 16 else ("sum",)
    lanes = width // len(names)
    parts = []
    for i, name in enumerate(names):
        begin = start + i * lanes
        left = max(0, min(lanes, valid - begin))
        stores = exact_stores(left, scan.output_bytes, begin)
        if stores:
            flags = ", ".join(f"i1 {str(lane < left).lower()}" for lane in range(lanes))
            mask = f"<{flags}>" if left < lanes else ""
            parts.append(Part(name, lanes, begin * 4, stores, begin, mask))
    return tuple(parts)


def runs(scan: Scan, unroll: int, strides: list[int], offsets: list[int]) -> tuple[Run, ...]:
    """Cut the codebooks into a loop of equal chunks of groups, and one shorter chunk.

    Parameters
    ----------
    unroll : int
        Codebooks that straight-line code may have.
    strides, offsets : list of int
        Bytes from one codebook's table to the next, and to the first, for each place looked at.
    """
    group = _group_in_code(scan, unroll)
    chunk = max(1, unroll // group) * group
    step, splits = scan.codebook_step, scan.splits_bytes

    def run(first: int, size: int, count: int) -> Run:
        steps = [
            Step((first + c) * splits, c * step, tuple(c * stride for stride in strides))
            for c in range(size)
        ]
        return Run(
            count=count,
            splits_stride=size * splits,
            codes_stride=size * step,
            table_strides=tuple(size * stride for stride in strides),
            codes_offset=first * step,
            table_offsets=tuple(o + first * s for o, s in zip(offsets, strides, strict=True)),
            groups=tuple(
                Group(tuple(steps[i : i + group]), _merges(len(steps[i : i + group]), scan.average))
                for i in range(0, size, group)
            ),
        )

    count, rest = divmod(scan.n_codebooks, chunk)
    found = [run(0, chunk, count)] if count else []
    if rest:
        found.append(run(count * chunk, rest, 1))
    return tuple(found)


def _group_in_code(scan: Scan, unroll: int) -> int:
    """Return how many codebooks are added in bytes by code that is not to be too long.

    Groups are proved from the first codebook on, so they are cut into equal parts only, unless all
    codebooks together fit a byte. A part of an average does not exist.
    """
    if scan.average:
        return scan.group
    if scan.sum_bits == 8:
        return min(scan.group, unroll)
    return max(n for n in range(1, min(scan.group, unroll) + 1) if scan.group % n == 0)


def _merges(n: int, average: bool) -> tuple[tuple[int, int, int], ...]:
    """Merge n values pairwise: neighbours level by level for averages, one by one for sums."""
    merges: list[tuple[int, int, int]] = []
    if average:
        waiting = list(range(n))
        while len(waiting) > 1:
            pairs = list(zip(waiting[0::2], waiting[1::2], strict=True))
            waiting = [n + len(merges) + i for i in range(len(pairs))]
            merges += [(new, *pair) for new, pair in zip(waiting, pairs, strict=True)]
    else:
        merges = [(n + i, n + i - 1 if i else 0, i + 1) for i in range(n - 1)]
    return tuple(merges)


def table_constants(
    model: MaddnessModel, packing: NDArray[np.intp], tiles: tuple[Tile, ...]
) -> dict[str, bytes]:
    """Lay tables, scale and offset out in the order of the planes; padding is zero."""
    padded = np.zeros((*model.tables.shape[:2], len(packing)), np.uint8)
    padded[..., : model.n_outputs] = model.tables
    interleaved = padded[..., packing]
    pieces = []
    start = 0
    for tile in tiles:
        for _ in range(tile.count):
            for plane in tile.planes:
                pieces.append(interleaved[..., start : start + plane.lanes].tobytes())
                start += plane.lanes
    scale = np.zeros(len(packing), "<f4")
    offset = np.zeros(len(packing), "<f4")
    scale[: model.n_outputs] = model.scale
    offset[: model.n_outputs] = model.offset
    return {"tables": b"".join(pieces), "scale": scale.tobytes(), "offset": offset.tobytes()}
