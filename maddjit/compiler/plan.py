"""(model, target, signature) → Plan: every number a template needs, computed and proved here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.target import Target
from maddjit.models import MaddnessModel, average_group

Order = Literal["C", "F", "strided"]
Result = Literal["outputs", "sums", "codes"]

_ROW_BLOCK_CODES = 16 * 1024
"""Bytes of codes kept per row block: half an L1 cache, so that a scan finds them there."""
_TILE_TABLE_BYTES = 32 * 1024
"""Bytes of table that one pass over a row block may use."""
_MAX_PLANES = 4
"""Vectors of 8-bit sums in flight; each needs up to two 16-bit accumulators of 16 registers."""
_MAX_UNROLL = 128
"""Table rows added in straight-line code before a loop is made."""
_LINE = 64
"""Bytes of a cache line."""


_ELEMENTS = {"float32": "float", "float64": "double"}

_PERMUTES = {
    (32, 4): "llvm.x86.avx.vpermilvar.ps.256",
    (32, 8): "llvm.x86.avx2.permps",
    (64, 4): "llvm.x86.avx512.vpermilvar.ps.512",
    (64, 8): "llvm.x86.avx512.permvar.sf.512",
    (64, 16): "llvm.x86.avx512.permvar.sf.512",
    (64, 32): "llvm.x86.avx512.vpermi2var.ps.512",
}
"""(bytes of a vector, thresholds of a level) → the shuffle that fetches them by node."""


@dataclass(frozen=True)
class Signature:
    """What one compiled function accepts and returns.

    `order` says which step of A is known to be one element: "C" the columns, "F" the rows,
    "strided" neither.
    """

    dtype: str = "float32"
    order: Order = "C"
    result: Result = "outputs"


@dataclass(frozen=True)
class Level:
    """One level of a tree: how the threshold of each row's node is fetched."""

    lookup: Literal["splat", "select", "permute", "permute2", "gather"]
    entries: int
    byte_offset: int
    split_offset: int
    spread: tuple[int, ...] = ()
    intrinsic: str = ""


@dataclass(frozen=True)
class Store:
    """Some lanes of a part, and where in the output tile they go."""

    lanes: tuple[int, ...]
    byte_offset: int


@dataclass(frozen=True)
class Part:
    """Neighbouring outputs that leave a plane in one vector: their lanes and their stores."""

    name: str
    lanes: int
    scale_offset: int
    stores: tuple[Store, ...]


@dataclass(frozen=True)
class Plane:
    """Outputs whose table entries sit side by side in one vector of bytes."""

    index: int
    lanes: int
    byte_offset: int
    half: int
    accumulators: tuple[tuple[str, str], ...]
    """(name, LLVM type)"""
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Step:
    """One codebook in straight-line code: where its code and its rows of each plane are."""

    codes_offset: int
    table_offsets: tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """Codebooks whose entries are merged in 8 bits; `merges` are (new value, left, right).

    Values 0 … n − 1 are the table rows of the n steps; the last new value is the group's.
    """

    steps: tuple[Step, ...]
    merges: tuple[tuple[int, int, int], ...]

    @property
    def value(self) -> int:
        """The value that holds the whole group."""
        return self.merges[-1][0] if self.merges else 0


@dataclass(frozen=True)
class Run:
    """`count` repetitions of some groups of codebooks."""

    count: int
    codes_stride: int
    table_strides: tuple[int, ...]
    codes_offset: int
    table_offsets: tuple[int, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Tile:
    """`count` repetitions of a few planes that are scanned together."""

    count: int
    table_offset: int
    table_stride: int
    scale_offset: int
    scale_stride: int
    output_offset: int
    output_stride: int
    planes: tuple[Plane, ...]
    runs: tuple[Run, ...]

    @property
    def row_bytes(self) -> tuple[int, ...]:
        """The different lengths of a table row among the planes."""
        return tuple(sorted({plane.lanes for plane in self.planes}))


@dataclass(frozen=True)
class Plan:
    """One kernel, decided: sizes, blocking, look-ups, sums, and the constants to bake in.

    `sum_bits` is proved from the real tables: 8 if no sum of entries can exceed a byte, 16 or 32
    likewise; groups of `group` codebooks cannot exceed a byte.
    """

    symbol: str
    target: Target
    signature: Signature
    n_features: int
    n_outputs: int
    n_codebooks: int
    n_prototypes: int
    accumulate: str
    lanes: int
    lane_mask: int
    vector_bits: int
    element: str
    element_bytes: int
    element_vector: str
    levels: tuple[Level, ...]
    split_stride: int
    threshold_stride: int
    row_block: int
    codes_stride: int
    codes_bytes: int
    column_step: int | str
    prefetches: tuple[int, ...]
    prefetch_stride: int
    sum_bits: int
    group: int
    tiles: tuple[Tile, ...]
    table_bytes: int
    output_element: str
    constants: dict[str, bytes] = field(repr=False)


def make_plan(model: MaddnessModel, target: Target, signature: Signature) -> Plan:
    """Decide how `model` is computed on `target`: pure, the same answer every time.

    Raises
    ------
    ValueError
        If the sums could overflow 32 bits.
    """
    shape = (model.n_codebooks, model.n_prototypes)
    element_bytes = np.dtype(signature.dtype).itemsize
    sum_bits, group = _sum_width(model)
    row_block = max(256, min(1024, _ROW_BLOCK_CODES // model.n_codebooks // 64 * 64))
    # An odd number of cache lines between neighbours: powers of two would share cache sets.
    codes_stride = row_block + 64
    prefetches = _prefetches(model, element_bytes, target.vector_bytes // 4, signature)
    tiles: tuple[Tile, ...] = ()
    if signature.result != "codes":
        tiles, packing = _tiles(model, target, signature, sum_bits, group, codes_stride)
    constants = {
        "split_columns": model.split_dims.astype("<i8").tobytes(),
        "thresholds": _threshold_records(model).tobytes(),
    }
    if tiles:
        constants |= _table_constants(model, packing, tiles)
    return Plan(
        symbol=_symbol(model, target, signature),
        target=target,
        signature=signature,
        n_features=model.n_features,
        n_outputs=model.n_outputs,
        n_codebooks=shape[0],
        n_prototypes=shape[1],
        accumulate=model.accumulate,
        lanes=target.vector_bytes // 4,
        lane_mask=-(target.vector_bytes // 4),
        vector_bits=8 * target.vector_bytes,
        element=_ELEMENTS[signature.dtype],
        element_bytes=element_bytes,
        element_vector=f"<{target.vector_bytes // 4} x {_ELEMENTS[signature.dtype]}>",
        levels=tuple(_level(target, level) for level in range(model.depth)),
        split_stride=8 * model.depth,
        threshold_stride=model.n_prototypes * 4,
        row_block=row_block,
        codes_stride=codes_stride,
        codes_bytes=codes_stride * model.n_codebooks,
        column_step=element_bytes if signature.order == "C" else "%column_step",
        prefetches=prefetches,
        prefetch_stride=_LINE * len(prefetches),
        sum_bits=sum_bits,
        group=group,
        tiles=tiles,
        table_bytes=len(constants.get("tables", b"")),
        output_element="float" if signature.result == "outputs" else "i32",
        constants=constants,
    )


def _prefetches(
    model: MaddnessModel, element_bytes: int, lanes: int, signature: Signature
) -> tuple[int, ...]:
    """Return what each codebook's turn fetches of the next rows, as offsets of cache lines.

    The turns together fetch whole rows in the order of their addresses, which the hardware
    prefetcher follows. Where the trees read few of a row's lines nothing is fetched ahead.
    """
    row_lines = -(-model.n_features * element_bytes // _LINE)
    touched = len(np.unique(model.split_dims * element_bytes // _LINE))
    if signature.order != "C" or touched < 0.75 * row_lines:
        return ()
    turns = -(-row_lines * lanes // model.n_codebooks)
    return tuple(range(0, turns * _LINE, _LINE))


def _symbol(model: MaddnessModel, target: Target, signature: Signature) -> str:
    sizes = f"D{model.n_features}_C{model.n_codebooks}_K{model.n_prototypes}_M{model.n_outputs}"
    kind = f"{signature.dtype}_{signature.order}_{signature.result}"
    return f"maddjit_maddness_{sizes}_{model.accumulate}_{kind}_{target.name.replace('-', '_')}"


def _sum_width(model: MaddnessModel) -> tuple[int, int]:
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


def _level(target: Target, level: int) -> Level:
    """Choose the cheapest threshold look-up that the target has for 2**level nodes."""
    entries, lanes = 2**level, target.vector_bytes // 4
    place = (entries, 4 * entries, 8 * level)
    if entries == 1:
        return Level("splat", *place)
    if entries == 2:
        return Level("select", *place)
    intrinsic = _PERMUTES.get((target.vector_bytes, entries))
    if intrinsic in target.intrinsics:
        spread = tuple(lane % entries for lane in range(lanes))
        return Level("permute" if entries <= lanes else "permute2", *place, spread, intrinsic)
    gather = f"llvm.masked.gather.v{lanes}f32.v{lanes}p0"
    return Level("gather", *place, intrinsic=gather)


def _threshold_records(model: MaddnessModel) -> NDArray[np.float32]:
    """Return (C, K): level t of a tree at 2ᵗ … 2ᵗ⁺¹ − 1, so that every level is aligned."""
    records = np.zeros((model.n_codebooks, model.n_prototypes), dtype="<f4")
    records[:, 1:] = model.thresholds
    return records


def _tiles(
    model: MaddnessModel,
    target: Target,
    signature: Signature,
    sum_bits: int,
    group: int,
    codes_stride: int,
) -> tuple[tuple[Tile, ...], NDArray[np.intp]]:
    """Cut the outputs into tiles of planes; return them and the output behind each byte lane."""
    lanes = target.vector_bytes
    n_full, rest = divmod(model.n_outputs, lanes)
    per_tile = _TILE_TABLE_BYTES // (lanes * model.n_codebooks * model.n_prototypes)
    per_tile = max(1, min(_MAX_PLANES if sum_bits < 32 else 2, per_tile))
    widths = [lanes] * n_full + ([max(4, 1 << (rest - 1).bit_length())] if rest else [])
    repeats = n_full // per_tile
    cuts = [(0, per_tile, repeats)] if repeats else []
    if len(widths) > repeats * per_tile:
        cuts.append((repeats * per_tile, len(widths), 1))
    tiles = []
    for first, last, count in cuts:
        tiles.append(
            _tile(model, signature, sum_bits, group, codes_stride, widths, first, last, count)
        )
    interleaved = sum_bits == 16
    packing = []
    for index, width in enumerate(widths):
        order = np.arange(width)
        if interleaved:  # even bytes carry the first half of the plane's outputs, odd the second
            order = order.reshape(2, -1).T.ravel()
        packing.append(index * lanes + order)
    return tuple(tiles), np.concatenate(packing)


def _tile(
    model: MaddnessModel,
    signature: Signature,
    sum_bits: int,
    group: int,
    codes_stride: int,
    widths: list[int],
    first: int,
    last: int,
    count: int,
) -> Tile:
    entries = model.n_codebooks * model.n_prototypes
    lanes = widths[first:last]
    starts = [sum(lanes[:i]) for i in range(len(lanes))]
    first_output = sum(widths[:first])
    valid = model.n_outputs - first_output if count == 1 else sum(lanes)
    planes = tuple(
        Plane(
            index=i,
            lanes=width,
            byte_offset=start * entries,
            half=width // 2,
            accumulators=_accumulators(i, width, sum_bits),
            parts=_parts(width, start, valid, sum_bits),
        )
        for i, (width, start) in enumerate(zip(lanes, starts, strict=True))
    )
    return Tile(
        count=count,
        table_offset=first_output * entries,
        table_stride=sum(lanes) * entries,
        scale_offset=first_output * 4,
        scale_stride=sum(lanes) * 4,
        output_offset=first_output * 4,
        output_stride=sum(lanes) * 4,
        planes=planes,
        runs=_runs(model, planes, group, codes_stride),
    )


def _accumulators(index: int, width: int, sum_bits: int) -> tuple[tuple[str, str], ...]:
    """Name the vectors that carry a plane's sums; `word` sums hold odd bytes a second time."""
    if sum_bits == 16:
        kind = f"<{width // 2} x i16>"
        return ((f"plane{index}.both", kind), (f"plane{index}.odd", kind))
    return ((f"plane{index}.sum", f"<{width} x i{sum_bits}>"),)


def _parts(width: int, start: int, valid: int, sum_bits: int) -> tuple[Part, ...]:
    """Split a plane into the vectors its sums leave in, and those into stores of real outputs."""
    names = ("even", "odd") if sum_bits == 16 else ("sum",)
    lanes = width // len(names)
    parts = []
    for i, name in enumerate(names):
        begin = start + i * lanes
        left = max(0, min(lanes, valid - begin))
        stores = []
        done = 0
        while done < left:  # the binary digits of what is left: no store leaves the row
            size = 1 << ((left - done).bit_length() - 1)
            stores.append(Store(tuple(range(done, done + size)), (begin + done) * 4))
            done += size
        if stores:
            parts.append(Part(name, lanes, begin * 4, tuple(stores)))
    return tuple(parts)


def _runs(
    model: MaddnessModel, planes: tuple[Plane, ...], group: int, codes_stride: int
) -> tuple[Run, ...]:
    """Cut the codebooks into a loop of equal chunks of groups, and one shorter chunk."""
    budget = max(1, _MAX_UNROLL // len(planes))
    if group > budget and model.accumulate == "exact":
        group = budget  # a part of a group fits a byte as well
    chunk = max(1, budget // group) * group
    row = model.n_prototypes
    average = model.accumulate == "average"

    def run(first: int, size: int, count: int) -> Run:
        steps = [
            Step(c * codes_stride, tuple(c * row * plane.lanes for plane in planes))
            for c in range(size)
        ]
        return Run(
            count=count,
            codes_stride=size * codes_stride,
            table_strides=tuple(size * row * plane.lanes for plane in planes),
            codes_offset=first * codes_stride,
            table_offsets=tuple(plane.byte_offset + first * row * plane.lanes for plane in planes),
            groups=tuple(
                Group(tuple(steps[i : i + group]), _merges(len(steps[i : i + group]), average))
                for i in range(0, size, group)
            ),
        )

    count, rest = divmod(model.n_codebooks, chunk)
    runs = [run(0, chunk, count)] if count else []
    if rest:
        runs.append(run(count * chunk, rest, 1))
    return tuple(runs)


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


def _table_constants(
    model: MaddnessModel, packing: NDArray[np.intp], tiles: tuple[Tile, ...]
) -> dict[str, bytes]:
    """Lay tables, scale and offset out in the order of the planes; padding is zero."""
    padded: Any = np.zeros((*model.tables.shape[:2], len(packing)), np.uint8)
    padded[..., : model.n_outputs] = model.tables
    padded = padded[..., packing]
    pieces = []
    start = 0
    for tile in tiles:
        for _ in range(tile.count):
            for plane in tile.planes:
                pieces.append(padded[..., start : start + plane.lanes].tobytes())
                start += plane.lanes
    scale = np.zeros(len(packing), "<f4")
    offset = np.zeros(len(packing), "<f4")
    scale[: model.n_outputs] = model.scale
    offset[: model.n_outputs] = model.offset
    return {"tables": b"".join(pieces), "scale": scale.tobytes(), "offset": offset.tobytes()}
