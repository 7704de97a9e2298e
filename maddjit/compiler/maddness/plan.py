"""The plan of one MADDNESS kernel, part by part: every number that templates and reports need."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.conversion import Input
from maddjit.compiler.maddness.columns import ColumnsPlan
from maddjit.compiler.maddness.constants import Constants
from maddjit.compiler.maddness.core import CorePlan
from maddjit.compiler.maddness.encoding import EncodePlan
from maddjit.compiler.maddness.runs import Sums
from maddjit.compiler.maddness.scan_plan import ScanPlan
from maddjit.compiler.maddness.settling import SettlePlan
from maddjit.compiler.maddness.writing import OutputPlan
from maddjit.compiler.outline import outlined
from maddjit.compiler.signature import ROW_UNIT, Signature
from maddjit.compiler.target import Target
from maddjit.compiler.workspace import Workspace

TABLES = ("tables", "column_tables")
"""Names of the constants that hold tables: by rows, and by columns."""


@dataclass(frozen=True)
class Plan:
    """One kernel, decided: what it computes, each of its parts, and the constants in its code.

    ``print(plan)`` writes it part by part; ``repr(plan)`` has every number.

    Attributes
    ----------
    symbol : str
        Name of the function.
    target : Target
    signature : Signature
    n_features, n_outputs, n_codebooks, n_prototypes : int
        Sizes of the model, after it was simplified.
    row_block : int
        Rows that are encoded, then scanned.
    rows_per_thread : int
        Rows that are worth another thread.
    sums : Sums
        How wide the sums are, proved from the real tables.
    input : Input
        How elements of A are read.
    encode : EncodePlan
        How rows become codes.
    scan : ScanPlan or None
        The scan by rows; None for codes, and where a scan by columns takes any number of rows.
    columns : ColumnsPlan or None
        The scan by columns, for results by columns.
    settle : SettlePlan or None
        How winners are found from the scores of the scan by rows.
    core : CorePlan or None
        How the exact core is added, if the model has one.
    output : OutputPlan
        How results are written.
    workspace : Workspace
        The memory of one call. The lists of winners lie behind it, because their size depends on
        the coverage that a kernel is called for (`maddjit.compiler.maddness.lists`).
    packed : array of float32 or None
        For winners, B and a copy of half its size. Each call passes it to the kernel; as a
        constant it would make the code large.
    constants : iterable of (str, bytes)
        The constants of the code by name, tables and thresholds among them.
    """

    symbol: str
    target: Target
    signature: Signature
    n_features: int
    n_outputs: int
    n_codebooks: int
    n_prototypes: int
    row_block: int
    rows_per_thread: int
    sums: Sums
    input: Input
    encode: EncodePlan
    scan: ScanPlan | None
    columns: ColumnsPlan | None
    settle: SettlePlan | None
    core: CorePlan | None
    output: OutputPlan
    workspace: Workspace
    packed: NDArray[np.float32] | None = field(repr=False, compare=False)
    constants: Constants = field(repr=False)

    template = "maddness/kernel.ll.j2"
    sequences_symbol = ""
    row_unit = ROW_UNIT

    def __str__(self) -> str:
        return outlined(self)

    @property
    def sum_bits(self) -> int:
        """Bits of a sum: 8, 16 or 32, the fewest that hold every possible sum."""
        return self.sums.bits

    @property
    def group(self) -> int:
        """Codebooks whose sum, or average, fits 8 bits."""
        return self.sums.group

    @property
    def packs_declared(self) -> tuple[str, ...]:
        """The instructions that the encoder packs codes with."""
        trees = self.encode.trees if self.signature.order == "F" else None
        return tuple(name for turn in (trees.turns if trees else ()) for name in turn.packs or ())

    @property
    def encodes_by_fours(self) -> bool:
        """Whether four codebooks are encoded, then placed side by side, before the next four.

        Their codes stay in an L1 cache meanwhile. Rows are then vectors, and columns contiguous.
        """
        quads = self.columns.quads if self.columns else None
        by_lanes = quads is not None and quads.by_lanes and self.encode.trees is not None
        return self.signature.order == "F" and by_lanes

    @property
    def table_bytes(self) -> int:
        """Bytes of the tables as they are laid out."""
        return sum(size for name, size in self.constants.sizes.items() if name in TABLES)

    @property
    def workspace_bytes(self) -> int:
        """Bytes of the workspace, without the lists of winners."""
        return self.workspace.n_bytes

    @property
    def stage_bytes(self) -> int:
        """Bytes of the stage that results pass through on their way past the caches."""
        return self.output.stage_bytes

    @property
    def streaming_rows(self) -> int:
        """The rows whose results the last cache holds; a stage leads those of more rows past it."""
        return self.output.streaming_rows

    @property
    def whole_mask(self) -> int:
        """The mask that rounds a number of rows down to whole vectors."""
        return -self.target.lanes
