"""The plan of one kernel: every number that templates and reports need, already computed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.conversion import Ending
from maddjit.compiler.maddness.core import CorePlan
from maddjit.compiler.maddness.encode_records import Batch, Level
from maddjit.compiler.maddness.scan_records import ByteShuffle, ColumnTile, Tile
from maddjit.compiler.maddness.settling import Settling
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import Target


@dataclass(frozen=True)
class Plan:
    """One kernel, decided: sizes, blocking, look-ups, sums, and the constants to bake in.

    `sum_bits` is proved from the real tables: 8 if no sum of entries can exceed a byte, 16 or 32
    likewise; groups of `group` codebooks cannot exceed a byte. With `batches` a vector is the
    codebooks of one row; without, the rows of one codebook. More than `streaming_rows` results are
    larger than the last cache, and had better be written past it by way of a stage. `packed` holds
    what settles winners, B and a copy to screen with: as constants they would make the code large.
    Behind the `workspace_bytes` of winners are their lists, whose size depends on the coverage that
    a kernel is called for (`maddjit.compiler.maddness.lists`).
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
    batches: tuple[Batch, ...]
    split_stride: int
    threshold_stride: int
    row_block: int
    rows_per_thread: int
    codes_row_step: int
    codes_codebook_step: int
    best_offset: int
    workspace_bytes: int
    row_bytes: int
    outputs_ahead: int
    stage_rows: int
    streaming_rows: int
    sum_bits: int
    group: int
    tiles: tuple[Tile, ...]
    shuffle: ByteShuffle | None
    columns: tuple[ColumnTile, ...]
    column_bits: int
    tail_offset: int
    quads_offset: int
    quads_step: int
    n_quads: int
    ahead_splits: tuple[int, ...]
    ahead_lines: tuple[int, ...]
    table_bytes: int
    output_element: str
    output_bytes: int
    ending: Ending | None
    widening: str
    core: CorePlan | None
    settling: Settling | None
    packed: NDArray[np.float32] | None = field(repr=False, compare=False)
    constants: tuple[tuple[str, bytes], ...] = field(repr=False)

    template = "maddness/kernel.ll.j2"
    row_unit = 64

    @property
    def code_bits(self) -> tuple[int, ...]:
        """What each level's decision adds to a code; i8 has a sign."""
        return tuple(-128 if bit == 7 else 1 << bit for bit in reversed(range(len(self.levels))))

    @property
    def quad_pairs(self) -> tuple[tuple[int, int], ...]:
        """Lanes that bring two vectors of 64 side by side."""
        return tuple((i, 64 + i) for i in range(64))

    @property
    def ahead_bytes(self) -> int:
        """Bytes of a column that are fetched ahead at each turn of a codebook."""
        return 64 * len(self.ahead_lines)

    @property
    def output_row_bytes(self) -> int:
        """Bytes of one row of outputs or sums."""
        return self.n_outputs * self.output_bytes

    @property
    def stage_bytes(self) -> int:
        """Bytes of the stage that results pass through on their way past the caches."""
        return self.stage_rows * self.output_row_bytes

    @property
    def list_bytes(self) -> int:
        """Bytes of the scores of one row's best outputs."""
        return 4 * self.signature.k

    @property
    def last_rank(self) -> int:
        """The place of the last of a row's best outputs."""
        return self.signature.k - 1

    @property
    def scores_offset(self) -> int:
        """Where the scores of one part are, behind the lists of a block of rows."""
        return self.row_block * self.list_bytes

    @property
    def part_lanes(self) -> tuple[int, ...]:
        """The different widths of the vectors that sums leave in."""
        planes = [plane for tile in self.tiles for plane in tile.planes]
        return tuple(sorted({part.lanes for plane in planes for part in plane.parts}))
