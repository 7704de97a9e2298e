"""(model, target, signature) → Plan: how a kernel is computed, decided and proved here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.conversion import ending, widening
from maddjit.compiler.plan import Level, Plan, Signature, Tile
from maddjit.compiler.target import Target
from maddjit.compiler.tiling import LINE, Scan, cut_outputs, sum_width, table_constants
from maddjit.epilogue import Epilogue
from maddjit.formats import INPUTS
from maddjit.models import MaddnessModel

_ROW_BLOCK_CODES = 16 * 1024
"""Bytes of codes kept per row block: half an L1 cache, so that a scan finds them there."""
_MAX_PERMUTES = 8
"""Permutes that are together faster than a gather."""
_THREAD_NANOSECONDS = 200_000
"""Work that is worth another thread."""
_OUTPUTS_AHEAD = 16
"""Rows between the one that is written and the one whose lines of Y are being fetched."""
_FAR_BYTES = 8 * 1024 * 1024
"""An A larger than this is taken to come from memory: its rows are fetched ahead."""
_PERMUTES = {
    (32, 4): "llvm.x86.avx.vpermilvar.ps.256",
    (32, 8): "llvm.x86.avx2.permps",
    (64, 4): "llvm.x86.avx512.vpermilvar.ps.512",
    (64, 8): "llvm.x86.avx512.permvar.sf.512",
    (64, 16): "llvm.x86.avx512.permvar.sf.512",
    (64, 32): "llvm.x86.avx512.vpermi2var.ps.512",
}
"""(bytes of a vector, thresholds of a level) → the shuffle that fetches them by node."""


def make_plan(model: MaddnessModel, target: Target, signature: Signature) -> Plan:
    """Decide how `model` is computed on `target`: pure, the same answer every time.

    Raises
    ------
    ValueError
        If the sums could overflow 32 bits.
    """
    shape = (model.n_codebooks, model.n_prototypes)
    element_bytes = INPUTS[signature.dtype].itemsize
    sum_bits, group = sum_width(model)
    row_block = max(64, min(256, _ROW_BLOCK_CODES // model.n_codebooks // 64 * 64))
    # An odd number of cache lines between neighbours: powers of two would share cache sets.
    codes_stride = LINE * ((row_block // LINE + 1) | 1)
    prefetches = _prefetches(model, element_bytes, target.vector_bytes // 4, signature)
    scan = Scan(
        *shape,
        model.accumulate == "average",
        sum_bits,
        group,
        codes_stride,
        signature.output.itemsize,
    )
    tiles: tuple[Tile, ...] = ()
    if signature.result != "codes":
        tiles, packing = cut_outputs(scan, model.n_outputs, target.vector_bytes)
    constants = {
        "split_columns": model.split_dims.astype("<i8").tobytes(),
        "thresholds": _threshold_records(model).tobytes(),
    }
    if tiles:
        constants |= table_constants(model, packing, tiles)
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
        element=INPUTS[signature.dtype].element,
        element_bytes=element_bytes,
        element_vector=f"<{target.vector_bytes // 4} x {INPUTS[signature.dtype].element}>",
        levels=tuple(_level(target, level) for level in range(model.depth)),
        split_stride=8 * model.depth,
        threshold_stride=model.n_prototypes * 4,
        row_block=row_block,
        rows_per_thread=_rows_per_thread(model, row_block),
        codes_stride=codes_stride,
        best_offset=codes_stride * model.n_codebooks,
        workspace_bytes=codes_stride * model.n_codebooks + 4 * row_block,
        column_step=element_bytes if signature.order == "C" else "%column_step",
        prefetches=prefetches,
        prefetch_stride=LINE * len(prefetches),
        rows_ahead=2 * target.vector_bytes // 4,
        row_bytes=model.n_features * element_bytes,
        outputs_ahead=_OUTPUTS_AHEAD,
        far_rows=_FAR_BYTES // (model.n_features * element_bytes),
        sum_bits=sum_bits,
        group=group,
        tiles=tiles,
        table_bytes=len(constants.get("tables", b"")),
        output_element=signature.output.element,
        output_bytes=signature.output.itemsize,
        ending=ending(signature, target),
        widening=widening(signature.dtype, target),
        constants=tuple(constants.items()),
    )


def _prefetches(
    model: MaddnessModel, element_bytes: int, lanes: int, signature: Signature
) -> tuple[int, ...]:
    """Return what each codebook's turn fetches of later rows, as offsets of cache lines.

    The turns together fetch whole adjacent rows in the order of their addresses, which the hardware
    prefetcher follows. Where the trees read few of a row's lines nothing is fetched ahead.
    """
    row_lines = -(-model.n_features * element_bytes // LINE)
    touched = len(np.unique(model.split_dims * element_bytes // LINE))
    if signature.order != "C" or touched < 0.75 * row_lines:
        return ()
    turns = -(-row_lines * lanes // model.n_codebooks)
    return tuple(range(0, turns * LINE, LINE))


def _rows_per_thread(model: MaddnessModel, row_block: int) -> int:
    """Return the row blocks that take a thread longer than waking it, in rows.

    From measurement: some 3 ns a code and 1.5 ns per 100 look-ups; waking takes up to 100 µs.
    """
    look_ups = model.n_codebooks * model.n_outputs
    nanoseconds = 3 * model.n_codebooks + 0.015 * look_ups
    return -(-_THREAD_NANOSECONDS // int(nanoseconds * row_block)) * row_block


def _symbol(model: MaddnessModel, target: Target, signature: Signature) -> str:
    sizes = f"D{model.n_features}_C{model.n_codebooks}_K{model.n_prototypes}_M{model.n_outputs}"
    result: str = signature.result
    if result == "outputs" and signature.epilogue != Epilogue():
        result = f"outputs_{signature.epilogue.dtype}"
    kind = f"{signature.dtype}_{signature.order}_{result}"
    return f"maddjit_maddness_{sizes}_{model.accumulate}_{kind}_{target.name.replace('-', '_')}"


def _level(target: Target, level: int) -> Level:
    """Choose the cheapest threshold look-up that the target has for 2**level nodes."""
    entries, lanes = 2**level, target.vector_bytes // 4
    place = (entries, 4 * entries, 8 * level)
    if entries == 1:
        return Level("splat", *place)
    if entries == 2:
        return Level("select", *place)
    intrinsic = _PERMUTES.get((target.vector_bytes, min(entries, lanes)))
    pair = _PERMUTES.get((target.vector_bytes, entries)) if entries == 2 * lanes else None
    if pair in target.intrinsics:
        return Level("permute2", *place, intrinsic=pair)
    if intrinsic in target.intrinsics and entries <= _MAX_PERMUTES * lanes:
        size = min(entries, lanes)
        spread = tuple(lane % size for lane in range(lanes))
        registers = tuple(range(0, 4 * entries, 4 * size))
        return Level("permute", *place, spread, intrinsic, registers, _folds(registers, lanes))
    gather = f"llvm.masked.gather.v{lanes}f32.v{lanes}p0"
    return Level("gather", *place, intrinsic=gather)


def _folds(registers: tuple[int, ...], bit: int) -> tuple[tuple[int, int, int, int], ...]:
    """Pair the values of several permutes by the bits of the node above the lane's own."""
    folds: list[tuple[int, int, int, int]] = []
    values = list(range(len(registers)))
    while len(values) > 1:
        first = len(registers) + len(folds)
        pairs = list(zip(values[0::2], values[1::2], strict=True))
        folds += [(first + i, *pair, bit) for i, pair in enumerate(pairs)]
        values = list(range(first, first + len(pairs)))
        bit *= 2
    return tuple(folds)


def _threshold_records(model: MaddnessModel) -> NDArray[np.float32]:
    """Return (C, K): level t of a tree at 2ᵗ … 2ᵗ⁺¹ − 1, so that every level is aligned."""
    records = np.zeros((model.n_codebooks, model.n_prototypes), dtype="<f4")
    records[:, 1:] = model.thresholds
    return records
