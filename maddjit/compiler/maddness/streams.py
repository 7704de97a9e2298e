"""The part of a plan for tables beyond near caches: streams for few rows, packed for many."""

from __future__ import annotations

from dataclasses import replace

from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.costs import (
    least_packed_rows,
    packed_nanoseconds,
    stream_nanoseconds,
)
from maddjit.compiler.maddness.runs import Summands, Sums, plan_runs
from maddjit.compiler.maddness.scan_plan import BestLists, ScanPlan, Streams, Tile
from maddjit.compiler.maddness.scanning import plan_tiles
from maddjit.compiler.signature import Choices, Signature
from maddjit.compiler.workspace import LINE, lines
from maddjit.models.maddness import MaddnessModel


def has_streams(model: MaddnessModel, signature: Signature, choices: Choices) -> bool:
    """Tell whether the tables of a scan by rows lie run by run: as chosen, or if they are large.

    Winners have tiles of their own, and so have scans for which the bytes of a tile are chosen.
    """
    is_by_rows = signature.out_order == "C" and signature.result not in ("codes", "winners")
    if not is_by_rows or choices.streams is not None:
        return is_by_rows and choices.streams is True
    n_runs = model.n_codebooks * model.n_prototypes
    is_large = n_runs * model.n_outputs > settings.FAR_BYTES
    return is_large and n_runs <= settings.MOST_RUNS and choices.tile_bytes is None


def block_rows(model: MaddnessModel, sums: Sums, vector_bytes: int) -> int | None:
    """Return the most rows of a block whose tables are streams; None if nothing asks for more.

    The longer a block, the less often its tables are packed.
    """
    n_runs = model.n_codebooks * model.n_prototypes
    from_rows = packed_from(sums, n_runs, model.n_prototypes, vector_bytes)
    return settings.STREAM_ROWS if 0 < from_rows <= settings.STREAM_ROWS // 2 else None


def packed_from(sums: Sums, n_runs: int, n_prototypes: int, vector_bytes: int) -> int:
    """Return the rows of a block from which packing pays; 0 if it never does.

    It does not where a tile is in the L1 cache as it is, or too far from that when it is packed.
    """
    is_near = n_runs * settings.STREAM_BYTES <= settings.TILE_BYTES
    if is_near or n_runs * LINE > settings.MOST_PACKED_BYTES:
        return 0
    planes = _planes(sums, settings.STREAM_BYTES, vector_bytes)
    streamed = stream_nanoseconds(sums, planes, vector_bytes, LINE)
    packed = packed_nanoseconds(sums, _planes(sums, LINE, vector_bytes), vector_bytes)
    return least_packed_rows(n_prototypes, streamed - packed)


def _planes(sums: Sums, row_bytes: int, vector_bytes: int) -> int:
    """Return the planes of a tile with table rows of `row_bytes`, or of fewer if sums need it."""
    return max(1, min(settings.STREAM_PLANES[sums.bits], row_bytes // vector_bytes))


def plan_streams(
    summands: Summands, n_outputs: int, itemsize: int, vector_bytes: int, best: BestLists | None
) -> ScanPlan:
    """Return the scan of tables that lie run by run.

    Runs are an odd number of lines apart, so that they do not share a few sets of a cache.

    Parameters
    ----------
    itemsize : int
        Bytes of an output.
    vector_bytes : int
        Outputs of a plane.
    best : BestLists or None
        The lists of each row's best outputs.
    """
    sums, K = summands.sums, summands.n_prototypes
    n_runs = summands.n_codebooks * K

    def cut(planes: int) -> tuple[Tile, ...]:
        most = planes * vector_bytes * n_runs
        return plan_tiles(summands, n_outputs, itemsize, vector_bytes, most, planes)

    tiles = cut(_planes(sums, settings.STREAM_BYTES, vector_bytes))
    run_step = LINE * (lines(sum(tile.count * tile.n_outputs for tile in tiles)) // LINE | 1)
    packed_rows = packed_from(sums, n_runs, K, vector_bytes)
    packed = cut(_planes(sums, LINE, vector_bytes)) if packed_rows else ()
    packed_step = max((lines(tile.n_outputs) for tile in packed), default=0)
    is_followed = summands.n_codebooks <= settings.MOST_FOLLOWED
    return ScanPlan(
        tiles=tuple(_in_place(tile, summands, run_step) for tile in tiles),
        best=best,
        streams=Streams(
            n_runs=n_runs,
            run_step=run_step,
            shared_rows=K if is_followed else 1,
            packed_rows=packed_rows,
            packed=tuple(_side_by_side(tile, summands, packed_step) for tile in packed),
            packed_step=packed_step,
            packed_bytes=n_runs * packed_step if packed else 0,
        ),
    )


def _in_place(tile: Tile, summands: Summands, run_step: int) -> Tile:
    """Return a tile that reads runs in place and fetches what the row reads and writes next.

    That is in the next tile, however few rows there are.
    """
    moved = _laid_out(tile, summands, run_step, settings.STREAM_UNROLLED)
    is_last = tile.count == 1
    ahead = 0 if is_last else tile.n_outputs
    Y_lines = () if is_last else range(tile.output_stride, 2 * tile.output_stride, LINE)
    planes = tuple(
        replace(plane, alignment=plane.lanes, ahead=0 if plane.byte_offset % LINE else ahead)
        for plane in moved.planes
    )
    return replace(moved, planes=planes, output_lines=tuple(Y_lines), rows_ahead=0)


def _side_by_side(tile: Tile, summands: Summands, step: int) -> Tile:
    """Return a tile that reads packed tables: the planes of a table row are side by side.

    Rows are `step` bytes apart. The buffer may begin anywhere.
    """
    moved = _laid_out(tile, summands, step, settings.MOST_UNROLLED)
    return replace(moved, planes=tuple(replace(plane, alignment=1) for plane in moved.planes))


def _laid_out(tile: Tile, summands: Summands, row_step: int, unroll: int) -> Tile:
    """Return a tile whose table rows are `row_step` bytes apart; tiles are side by side in runs.

    Straight-line code adds `unroll` table rows at most.
    """
    starts = [sum(plane.lanes for plane in tile.planes[:i]) for i in range(len(tile.planes))]
    return replace(
        tile,
        table_offset=tile.first_output,
        table_stride=tile.n_outputs,
        planes=tuple(
            replace(plane, byte_offset=start, code_stride=row_step // summands.code_unit)
            for plane, start in zip(tile.planes, starts, strict=True)
        ),
        runs=plan_runs(
            summands,
            max(1, unroll // len(starts)),
            [summands.n_prototypes * row_step] * len(starts),
            starts,
        ),
    )
