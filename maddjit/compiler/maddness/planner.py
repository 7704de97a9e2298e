"""The planner of MADDNESS kernels: (model, target, signature) → Plan, part by part."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from maddjit.arrays.epilogue import Epilogue
from maddjit.arrays.formats import SUMS
from maddjit.compiler.conversion import input_of
from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.columns import ColumnsPlan, plan_columns
from maddjit.compiler.maddness.constants import Constants, constants_of
from maddjit.compiler.maddness.core import CorePlan, plan_core
from maddjit.compiler.maddness.costs import rows_per_thread
from maddjit.compiler.maddness.encoding import EncodePlan, plan_encode
from maddjit.compiler.maddness.packing import packed_of
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.maddness.row_costs import row_nanoseconds
from maddjit.compiler.maddness.runs import Summands, Sums, plan_sums
from maddjit.compiler.maddness.scan_plan import BestLists, ScanPlan
from maddjit.compiler.maddness.scanning import plan_tiles, planes_of
from maddjit.compiler.maddness.scoring import settled_tile_bytes
from maddjit.compiler.maddness.settling import SettlePlan, plan_settle, ranking
from maddjit.compiler.maddness.simplify import simplified
from maddjit.compiler.maddness.splicing import spliced_lanes
from maddjit.compiler.maddness.streams import block_rows, has_streams, plan_streams
from maddjit.compiler.maddness.turning import has_few, plan_few, plan_turn
from maddjit.compiler.maddness.writing import plan_output, requantising_of
from maddjit.compiler.signature import ROW_UNIT, RULES, Choices, Signature
from maddjit.compiler.target import Target
from maddjit.compiler.workspace import LINE, Workspace
from maddjit.models.maddness import MaddnessModel
from maddjit.models.requantising import Requantising
from maddjit.models.short_list import ShortList


def make_plan(
    model: MaddnessModel,
    target: Target,
    signature: Signature,
    choices: Choices = RULES,
) -> Plan:
    """Return the plan of a kernel: how `model` is computed on `target`.

    Equal arguments give equal plans.

    Parameters
    ----------
    model : MaddnessModel
    target : Target
    signature : Signature
        What the kernel accepts and returns.
    choices : Choices
        What replaces the rules of the planner; none of it changes a result.

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        If the sums could overflow 32 bits or the dtype asked for, if more of the best outputs are
        asked for than there are outputs, if winners are asked for and the model is not calibrated,
        or if columns are asked for of other results than outputs and sums.
    """
    wanted, short = wanted_of(model, signature)
    sums = checked_sums(wanted, signature)
    check_k(wanted, signature)
    streams = has_streams(wanted, signature, choices)
    longest = block_rows(wanted, sums, target.vector_bytes) if streams else None
    row_block = choices.row_block or rows_of_block(wanted, signature, longest)
    encode = plan_encode(wanted, target, signature, row_block, choices.lines)
    summands = summands_of(wanted, sums, encode)
    ending = requantising_of(model, signature)
    scan = columns = settle = core = None
    if signature.out_order == "F":
        columns = checked_columns(summands, wanted.n_outputs, target, signature, ending)
    if signature.result != "codes" and not columns:
        scan = plan_scan(wanted, summands, target, signature, row_block, streams, choices)
    if columns and has_few(wanted) and not signature.placed:  # runs of pixels are long
        scan = plan_scan(wanted, summands, target, signature, row_block).without_lines
        few = plan_few(scan.width * signature.output.itemsize, columns.least_rows)
        columns = replace(columns, few=few)
    elif scan and signature.out_order == "F":
        scan = turned(scan, wanted.n_outputs, target, signature, row_block)
    if short and scan:
        settle = plan_settle(scan, sums.bits, short.B.shape, signature, row_block, target)
    if wanted.core:
        width = scan.width if scan else None
        core = plan_core(wanted.core, target, signature, row_block, width)
    output = plan_output(wanted.n_outputs, target, signature, row_block, scan)
    output = replace(output, requantising=ending)
    time = row_nanoseconds(wanted, sums, target, signature, row_block, encode, scan, columns, core)
    parts = (wanted, target, signature, short, sums, encode, scan, columns, core, output)
    return Plan(
        symbol=symbol_of(wanted, target, signature),
        target=target,
        signature=signature,
        n_features=wanted.n_features,
        n_outputs=wanted.n_outputs,
        n_codebooks=wanted.n_codebooks,
        n_prototypes=wanted.n_prototypes,
        row_block=row_block,
        rows_per_thread=rows_per_thread(time, ROW_UNIT if streams else row_block),
        sums=sums,
        input=input_of(signature, target),
        encode=encode,
        scan=scan,
        columns=columns,
        settle=settle,
        core=core,
        output=output,
        workspace=plan_workspace(signature, row_block, encode, scan, columns, settle, core),
        packed=packed_of(short) if short else None,
        constants=Constants(partial(constants_of, *parts)),
    )


def wanted_of(model: MaddnessModel, signature: Signature) -> tuple[MaddnessModel, ShortList | None]:
    """Return the smallest model that has a kernel's results, and the short list for winners.

    Only winners have a short list; the sums of their model are scores. For codes, the model is not
    simplified, because all of its codes are wanted. Codes and sums do without the core.

    Raises
    ------
    ValueError
        If winners are asked of a model that is not calibrated.
    """
    wanted, short = ranking(model) if signature.result == "winners" else (model, None)
    wanted = replace(wanted, short_list=None)
    if signature.result != "codes":
        wanted = simplified(wanted)
    if signature.result in ("codes", "sums"):
        wanted = replace(wanted, core=None)
    if signature.placed and wanted.core:
        raise ValueError("a model with an exact core has no kernel for columns that are placed")
    return wanted, short


def check_k(model: MaddnessModel, signature: Signature) -> None:
    """Check that there are as many outputs as are to be named.

    Raises
    ------
    ValueError
        If more of the best outputs are asked for than there are outputs.
    """
    if not 1 <= signature.k <= model.n_outputs:
        raise ValueError(f"k must be from 1 to {model.n_outputs}, not {signature.k}")


def checked_sums(model: MaddnessModel, signature: Signature) -> Sums:
    """Return how wide the sums are.

    Raises
    ------
    ValueError
        If sums are asked for in fewer bits.
    """
    sums = plan_sums(model)
    if signature.result == "sums" and sums.bits > 8 * SUMS[signature.sums].itemsize:
        raise ValueError(f"the sums take {sums.bits} bits, more than {signature.sums} has")
    return sums


def rows_of_block(model: MaddnessModel, signature: Signature, most: int | None = None) -> int:
    """Return the rows that are encoded before they are scanned: their codes fit an L1 cache.

    The number is a multiple of ROW_UNIT. Where columns of A are contiguous, blocks are longer,
    because hardware prefetchers need long runs. If `most` is given, blocks have up to so many rows,
    and their codes stay in an L2 cache.
    """
    if signature.result == "winners":
        return settings.WINNERS_ROWS
    codes_bytes = settings.STREAM_CODES_BYTES if most else settings.CODES_BYTES[signature.order]
    rows = codes_bytes // model.n_codebooks
    if model.core:
        rows = min(rows, settings.PROJECTIONS_BYTES // (4 * model.core.rank))
    rows = min(most or settings.MOST_ROWS[signature.order], rows)
    return max(ROW_UNIT, rows // ROW_UNIT * ROW_UNIT)


def summands_of(model: MaddnessModel, sums: Sums, encode: EncodePlan) -> Summands:
    """Return what a scan adds up for each output."""
    return Summands(
        n_codebooks=model.n_codebooks,
        n_prototypes=model.n_prototypes,
        sums=sums,
        codes_step=encode.codes.codebook_step,
        code_unit=encode.codes.unit,
    )


def plan_scan(
    model: MaddnessModel,
    summands: Summands,
    target: Target,
    signature: Signature,
    row_block: int,
    streams: bool = False,
    choices: Choices = RULES,
) -> ScanPlan:
    """Return the scan by rows, of tables that lie run by run if they are `streams`."""
    best = BestLists(signature.k, row_block) if signature.result == "argmax" else None
    n_outputs, itemsize = model.n_outputs, signature.output.itemsize
    if streams:
        return plan_streams(summands, n_outputs, itemsize, target.vector_bytes, best)
    most, bits = settings.TILE_BYTES, summands.sums.bits
    most_planes = planes_of(summands.sums, target)
    if signature.result == "winners":
        most = settled_tile_bytes(n_outputs, signature.k, target.vector_bytes)
        most_planes = settings.SETTLED_PLANES[bits]
    most = choices.tile_bytes or most
    spliced = spliced_lanes(model, target, signature)
    width = target.vector_bytes
    tiles = plan_tiles(summands, n_outputs, itemsize, width, most, most_planes, spliced)
    return ScanPlan(tiles, best)


def checked_columns(
    summands: Summands,
    n_outputs: int,
    target: Target,
    signature: Signature,
    requantising: Requantising | None,
) -> ColumnsPlan | None:
    """Return the scan by columns, or None if `target` has none for tables of this size.

    Raises
    ------
    ValueError
        If results of this kind never come by columns.
    """
    if signature.result not in ("outputs", "sums"):
        raise ValueError(f"there is no kernel for columns of {signature.result}")
    sums = signature.output.element if signature.result == "sums" else ""
    return plan_columns(summands, n_outputs, target, sums, requantising)


def turned(
    scan: ScanPlan, n_outputs: int, target: Target, signature: Signature, row_block: int
) -> ScanPlan:
    """Return a scan by rows whose results become columns.

    It writes to a strip of rows that stays in a cache.
    """
    turn = plan_turn(scan.width, n_outputs, signature, target, row_block)
    return replace(scan.without_lines, turn=turn)


def plan_workspace(
    signature: Signature,
    row_block: int,
    encode: EncodePlan,
    scan: ScanPlan | None,
    columns: ColumnsPlan | None,
    settle: SettlePlan | None,
    core: CorePlan | None,
) -> Workspace:
    """Return the workspace of a call, with a region for each thing kept for a block of rows.

    - The codes. Where rows are contiguous there is room in front of them, because a vector may
      begin with rows of the block before.
    - The lists of each row's best outputs; their region is empty in kernels that name none.
    - The tables of a packed tile, where tables are streams.
    - What additive codes are chosen by, strip after strip.
    - For a scan by columns: the codes by fours, and the results of vectors that reach past the last
      row; and the results of few rows by rows.
    - For results by rows that become columns: a strip of them (`TurnPlan.regions`).
    - The regions of winners and of the core (`SettlePlan.regions`, `CorePlan.regions`).
    """
    quads = columns.quads if columns else None
    workspace = Workspace()
    if signature.order == "F":
        workspace = workspace.add(front=LINE)
    workspace = workspace.add(
        codes=quads.n_bytes if quads else encode.codes.n_bytes,
        best=scan.best.n_bytes if scan and scan.best else 0,
    )
    if scan and scan.streams:
        workspace = workspace.add(packed=scan.streams.packed_bytes)
    if encode.additive:
        workspace = workspace.add(additive=encode.additive.n_bytes)
    if columns:
        tail_bytes = columns.tail_results * signature.output.itemsize
        workspace = workspace.add(quads=quads.n_bytes if quads else 0, tail=tail_bytes)
        workspace = workspace.add(few=columns.few.n_bytes if columns.few else 0)
    if scan and scan.turn:
        workspace = workspace.add(**scan.turn.regions(signature.output.itemsize))
    if settle:
        workspace = workspace.add(**settle.regions(row_block))
    if core:
        workspace = workspace.add(**core.regions())
    return workspace


def symbol_of(model: MaddnessModel, target: Target, signature: Signature) -> str:
    """Return the name of a kernel's function: its sizes, formats, result and target."""
    sizes = f"D{model.n_features}_C{model.n_codebooks}_K{model.n_prototypes}_M{model.n_outputs}"
    if model.core:
        sizes += f"_R{model.core.rank}"
    result: str = signature.result
    if result == "outputs" and signature.epilogue != Epilogue():
        result = f"outputs_{signature.epilogue.dtype}"
        result += "_requantised" * (signature.epilogue.arithmetic == "integer")
    elif result == "sums":
        result = f"sums_{signature.sums}"
    elif result == "argmax" and signature.k > 1:
        result = f"top{signature.k}"
    elif result == "winners":
        result = f"winners{signature.k}{'_scored' * signature.scored}"
    if signature.out_order == "F":
        result += "_columns"
    order = "placed" if signature.placed else signature.order
    kind = f"{signature.dtype}_{order}_{result}"
    return f"maddjit_maddness_{sizes}_{model.accumulate}_{kind}_{target.name.replace('-', '_')}"
