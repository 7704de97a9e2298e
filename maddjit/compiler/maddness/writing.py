"""The part of a plan that writes: the format of results, and their way past the caches."""

from __future__ import annotations

from dataclasses import dataclass

from maddjit.compiler.conversion import Ending, ending
from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.scan_plan import ScanPlan
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import Target
from maddjit.models.maddness import MaddnessModel
from maddjit.models.requantising import Requantising


@dataclass(frozen=True)
class OutputPlan:
    """How results are written.

    Attributes
    ----------
    element : str
        LLVM's type of a result.
    itemsize, row_bytes : int
        Bytes of a result, and of a row of `n_outputs` results.
    ending : Ending or None
        How outputs are clamped and converted; None for other results.
    stage_rows : int
        Rows of results that are kept in the L2 cache on their way to memory; 0 without a stage.
    streaming_rows : int
        The number of rows whose results the last cache holds. If there is a stage, the results of
        more rows are written past that cache, by way of the stage.
    requantising : Requantising or None
        How sums become results in integers, if they do.
    """

    element: str
    itemsize: int
    row_bytes: int
    ending: Ending | None
    stage_rows: int
    streaming_rows: int
    requantising: Requantising | None = None

    @property
    def stage_bytes(self) -> int:
        """Bytes of the stage that results pass through on their way past the caches."""
        return self.stage_rows * self.row_bytes


def plan_output(
    n_outputs: int,
    target: Target,
    signature: Signature,
    row_block: int,
    scan: ScanPlan | None,
) -> OutputPlan:
    """Return how results are written, and whether they go by way of a stage.

    There is a stage for outputs and sums by rows if there are several tiles: each writes a part of
    a row. A single tile writes in the order of the addresses anyway. Streams have no stage: they
    would be read anew for each of its short blocks.
    """
    form = signature.output
    row_bytes = n_outputs * form.itemsize
    stage_rows = min(row_block, settings.STAGE_BYTES // row_bytes // 16 * 16)
    by_rows = signature.out_order == "C" and signature.result in ("outputs", "sums")
    is_apart = scan is not None and scan.streams is None and scan.n_tiles > 1 and by_rows
    return OutputPlan(
        element=form.element,
        itemsize=form.itemsize,
        row_bytes=row_bytes,
        ending=ending(signature, target),
        stage_rows=stage_rows if is_apart and stage_rows >= settings.LEAST_STAGE_ROWS else 0,
        streaming_rows=min(target.cache_bytes, settings.HELD_BYTES) // row_bytes,
    )


def requantising_of(model: MaddnessModel, signature: Signature) -> Requantising | None:
    """Return how sums become results in integers; None if they do not.

    The model is the one that was asked for: a smaller one of the same sums may end otherwise.

    Raises
    ------
    ValueError
        If they should, and the model has sums or scales that do not allow it.
    """
    if signature.result != "outputs" or signature.epilogue.arithmetic != "integer":
        return None
    return Requantising.of(model, signature.epilogue)
