"""(model, target, signature) → Plan: how a kernel is computed, decided and proved here."""

from __future__ import annotations

from dataclasses import replace

from maddjit.arrays.epilogue import Epilogue
from maddjit.arrays.formats import INPUTS, SUMS
from maddjit.compiler.conversion import ending, widening
from maddjit.compiler.maddness.columns import (
    byte_shuffle,
    column_constants,
    cut_columns,
    lines_ahead,
    quads,
)
from maddjit.compiler.maddness.core import expansion_constant, plan_core, projection_constant
from maddjit.compiler.maddness.encode_records import Batch
from maddjit.compiler.maddness.encoding import (
    batch_thresholds,
    codebook_batches,
    row_levels,
    row_thresholds,
)
from maddjit.compiler.maddness.packing import packed_of
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.maddness.scan_records import ColumnTile, Tile
from maddjit.compiler.maddness.scanning import (
    LINE,
    TILE_BYTES,
    Scan,
    cut_outputs,
    sum_width,
    table_constants,
)
from maddjit.compiler.maddness.settling import ROW_BLOCK, plan_settling, ranking, settled_tile_bytes
from maddjit.compiler.maddness.simplify import simplified
from maddjit.compiler.signature import RULES, Choices, Signature
from maddjit.compiler.target import Target
from maddjit.models.maddness import MaddnessModel

_ROW_BLOCK_CODES = 16 * 1024
"""Bytes of codes, or of projections, kept per row block: half an L1 cache, for a scan to find."""
_MAX_ROW_BLOCK = {"C": 256, "F": 1024}
"""Rows of a block by the order of A: of columns long stretches are read, as prefetchers like."""
_THREAD_NANOSECONDS = 200_000
"""Work that is worth another thread."""
_OUTPUTS_AHEAD = 16
"""Rows between the one that is written and the one whose lines of Y are being fetched."""
_SCORES_BYTES = 4 * 64
"""Scores of one vector of bytes."""
_STAGE_BYTES = 256 * 1024
"""Bytes of Y that leave together past the caches: part of an L2 cache."""
_LEAST_STAGE_ROWS = 32
"""Rows that are worth fetching the tables from the L2 cache for."""
_MAX_ELEMENTS = 1024
"""Elements of a row that are read by straight-line code."""


def make_plan(
    model: MaddnessModel,
    target: Target,
    signature: Signature,
    choices: Choices = RULES,
) -> Plan:
    """Decide how `model` is computed on `target`: pure, the same answer every time.

    Raises
    ------
    ValueError
        If the sums could overflow 32 bits or the dtype asked for, or `target` has no kernel for
        columns of this model's results.
    """
    short = None
    if signature.result == "winners":
        model, short = ranking(model)
    model = replace(model, short_list=None)
    if signature.result != "codes":
        model = simplified(model)
    if signature.result in ("codes", "sums"):
        model = replace(model, core=None)
    shape = (model.n_codebooks, model.n_prototypes)
    element_bytes = INPUTS[signature.dtype].itemsize
    sum_bits, group = sum_width(model)
    if signature.result == "sums" and sum_bits > 8 * SUMS[signature.sums].itemsize:
        raise ValueError(f"the sums take {sum_bits} bits, more than {signature.sums} has")
    if not 1 <= signature.k <= model.n_outputs:
        raise ValueError(f"k must be from 1 to {model.n_outputs}, not {signature.k}")
    row_block = choices.row_block or _row_block(model, signature)
    if short:
        row_block = choices.row_block or ROW_BLOCK
    batches: tuple[Batch, ...] = ()
    # An odd number of cache lines between neighbours: powers of two would share cache sets.
    codes_row_step, codes_codebook_step = 1, LINE * ((row_block // LINE + 1) | 1)
    codes_bytes = codes_codebook_step * model.n_codebooks
    by_rows = signature.out_order == "C"
    if signature.order == "C" and by_rows and model.split_dims.size <= _MAX_ELEMENTS:
        batches = codebook_batches(model, target, INPUTS[signature.dtype], choices.lines)
        codes_row_step, codes_codebook_step = batches[-1].first + batches[-1].lanes, 1
        codes_bytes = row_block * codes_row_step
    scan = Scan(
        *shape,
        model.accumulate == "average",
        sum_bits,
        group,
        codes_codebook_step,
        signature.output.itemsize,
        8 * model.depth,
    )
    output_row_bytes = model.n_outputs * signature.output.itemsize
    is_matrix = signature.result in ("outputs", "sums")
    tiles: tuple[Tile, ...] = ()
    columns: tuple[ColumnTile, ...] = ()
    shuffle = None
    n_quads = quads_step = 0
    if not by_rows:
        shuffle = byte_shuffle(target, model.n_prototypes)
        if shuffle is None or not is_matrix:
            raise ValueError(f"{target.name} has no kernel for columns of {signature.result}")
        by_quads = quads(target, scan)
        if by_quads:
            shuffle, scan = by_quads
            n_quads, quads_step = scan.n_codebooks, scan.codebook_step
            codes_bytes = n_quads * quads_step
        columns = cut_columns(scan, model.n_outputs, shuffle, target.n_registers)
    elif signature.result != "codes":
        tile_bytes = TILE_BYTES
        if short:
            tile_bytes = settled_tile_bytes(model.n_outputs, signature.k, target.vector_bytes)
        tiles, packing = cut_outputs(
            scan, model.n_outputs, target.vector_bytes, choices.tile_bytes or tile_bytes
        )
    constants = {
        "split_columns": model.split_dims.astype("<i8").tobytes(),
        "thresholds": row_thresholds(model).tobytes(),
    }
    if batches:
        constants = {"thresholds": batch_thresholds(model, batches)}
    if tiles:
        constants |= table_constants(model, packing, tiles)
    if shuffle:
        constants |= column_constants(model, shuffle)
    best_offset = -(-codes_bytes // LINE) * LINE
    quads_offset = best_offset + 4 * row_block * signature.k + _SCORES_BYTES
    tail_offset = quads_offset + n_quads * quads_step
    n_lines = 0
    if columns and signature.order == "F" and not n_quads:
        n_lines = lines_ahead(columns, row_block * element_bytes, row_block)
    tail_rows = max((tile.n_outputs * tile.rows for tile in columns), default=0)
    workspace_bytes = tail_offset + tail_rows * signature.output.itemsize
    settling, packed = None, None
    if short:
        settling = plan_settling(
            tiles,
            sum_bits,
            (model.n_features, model.n_outputs),
            signature.k,
            signature.scored,
            (signature.dtype, signature.order) == ("float32", "C"),
            row_block,
            -(-codes_bytes // LINE) * LINE,
            target,
        )
        workspace_bytes = settling.lists_offset
        constants = {k: v for k, v in constants.items() if k not in ("scale", "offset")}
        constants["bias"] = short.bias.astype("<f4").tobytes()
        packed = packed_of(short)
    core = None
    if model.core:
        width = None if shuffle else len(packing)
        core = plan_core(
            model.core,
            target,
            INPUTS[signature.dtype],
            signature.order,
            row_block,
            -(-workspace_bytes // LINE) * LINE,
            width,
        )
        workspace_bytes = core.offset + core.workspace_bytes
        constants["projection"] = projection_constant(model.core, core)
        constants["expansion"] = expansion_constant(model.core, width)
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
        levels=row_levels(target, model.depth),
        batches=batches,
        split_stride=8 * model.depth,
        threshold_stride=model.n_prototypes * 4,
        row_block=row_block,
        rows_per_thread=_rows_per_thread(model, row_block),
        codes_row_step=codes_row_step,
        codes_codebook_step=codes_codebook_step,
        best_offset=best_offset,
        column_bits=scan.sum_bits,
        tail_offset=tail_offset,
        quads_offset=quads_offset,
        quads_step=quads_step,
        n_quads=n_quads,
        ahead_splits=tuple(range(0, scan.splits_bytes, 8)),
        ahead_lines=tuple(range(0, LINE * n_lines, LINE)),
        workspace_bytes=workspace_bytes,
        row_bytes=model.n_features * element_bytes,
        outputs_ahead=_OUTPUTS_AHEAD,
        stage_rows=_stage_rows(tiles, output_row_bytes, row_block) if is_matrix else 0,
        streaming_rows=target.cache_bytes // output_row_bytes,
        sum_bits=sum_bits,
        group=group,
        tiles=tiles,
        shuffle=shuffle,
        columns=columns,
        table_bytes=len(constants.get("tables", b"")),
        output_element=signature.output.element,
        output_bytes=signature.output.itemsize,
        ending=ending(signature, target),
        widening=widening(signature.dtype, target),
        core=core,
        settling=settling,
        packed=packed,
        constants=tuple(constants.items()),
    )


def _row_block(model: MaddnessModel, signature: Signature) -> int:
    bytes_of_a_row = max(model.n_codebooks, 4 * model.core.rank if model.core else 0)
    rows = _ROW_BLOCK_CODES // bytes_of_a_row // 64 * 64
    return max(64, min(_MAX_ROW_BLOCK.get(signature.order, 256), rows))


def _stage_rows(tiles: tuple[Tile, ...], output_row_bytes: int, row_block: int) -> int:
    """Return the rows of Y that are kept in the L2 cache on their way to memory; 0 for none.

    Where one tile holds all outputs they are written in the order of their addresses anyway.
    """
    rows = min(row_block, _STAGE_BYTES // output_row_bytes // 16 * 16)
    in_order = sum(tile.count for tile in tiles) <= 1
    return 0 if in_order or rows < _LEAST_STAGE_ROWS else rows


def _rows_per_thread(model: MaddnessModel, row_block: int) -> int:
    """Return the row blocks that take a thread longer than waking it, in rows.

    From measurement: some 3 ns a code, 1.5 ns per 100 look-ups and 2 ns per 100 products of the
    core; waking takes up to 100 µs.
    """
    look_ups = model.n_codebooks * model.n_outputs
    nanoseconds = 3 * model.n_codebooks + 0.015 * look_ups
    if model.core:
        nanoseconds += 0.02 * model.core.rank * (model.n_features + model.n_outputs)
    return -(-_THREAD_NANOSECONDS // int(nanoseconds * row_block)) * row_block


def _symbol(model: MaddnessModel, target: Target, signature: Signature) -> str:
    sizes = f"D{model.n_features}_C{model.n_codebooks}_K{model.n_prototypes}_M{model.n_outputs}"
    if model.core:
        sizes += f"_R{model.core.rank}"
    result: str = signature.result
    if result == "outputs" and signature.epilogue != Epilogue():
        result = f"outputs_{signature.epilogue.dtype}"
    elif result == "sums":
        result = f"sums_{signature.sums}"
    elif result == "argmax" and signature.k > 1:
        result = f"top{signature.k}"
    elif result == "winners":
        result = f"winners{signature.k}{'_scored' * signature.scored}"
    if signature.out_order == "F":
        result += "_columns"
    kind = f"{signature.dtype}_{signature.order}_{result}"
    return f"maddjit_maddness_{sizes}_{model.accumulate}_{kind}_{target.name.replace('-', '_')}"
