"""The plan of a Strassen-Tile kernel: every number its templates and reports need."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.conversion import Ending
from maddjit.compiler.signature import Signature
from maddjit.compiler.strassen_tile.straight_line import StraightLine
from maddjit.compiler.target import Target


@dataclass(frozen=True)
class FeatureBlock:
    """Neighbouring columns of A that are one column of tiles: `whole` of them in whole vectors.

    `byte_offset` is where they begin in a staged row.
    """

    first: int
    width: int
    whole: int
    byte_offset: int

    @property
    def rest(self) -> int:
        """Columns behind the last whole vector."""
        return self.width - self.whole


@dataclass(frozen=True)
class TilePlan:
    """One Strassen-Tile kernel, decided.

    Z, the encoded A, is [ρ][tile row][k], U [ρ][tile row][panel]: products of one panel of outputs.
    V is [panel][ρ][k][column of the panel], where k counts pairs if numbers are bfloat16. A block
    of rows is some groups; each group is a tile's rows, `tile_rows` apart.
    """

    symbol: str
    target: Target
    signature: Signature
    n_features: int
    n_outputs: int
    shape: tuple[int, int, int]
    rank: int
    kind: str
    is_bfloat16: bool
    lanes: int
    vector_bits: int
    element: str
    element_bytes: int
    fuses: bool
    strip: int
    vectors: int
    unroll: int
    steps: int
    pass_steps: int
    encode: StraightLine
    decode: StraightLine
    tile_rows: int
    block_groups: int
    feature_blocks: tuple[FeatureBlock, ...]
    output_widths: tuple[int, ...]
    block_features: int
    padded_features: int
    block_outputs: int
    n_panels: int
    whole_panels: int
    is_direct: bool
    z_row_bytes: int
    z_step: int
    u_step: int
    u_offset: int
    stage_offset: int
    edge_offset: int
    workspace_bytes: int
    output_element: str
    output_bytes: int
    ending: Ending
    widening: str
    rows_per_thread: int
    packed: NDArray[Any] = field(repr=False, compare=False)
    constants: tuple[tuple[str, bytes], ...] = field(repr=False)

    template = "strassen_tile/kernel.ll.j2"
    stage_bytes = 0
    streaming_rows = np.iinfo(np.int64).max

    @property
    def row_unit(self) -> int:
        """Rows of a group; threads share whole groups."""
        return self.tile_height * self.tile_rows

    @property
    def tile_height(self) -> int:
        """Rows of a tile."""
        return self.shape[0]

    @property
    def tile_width(self) -> int:
        """Columns of a tile of outputs."""
        return self.shape[2]

    @property
    def block_rows(self) -> int:
        """Rows that are encoded before they are multiplied."""
        return self.block_groups * self.row_unit

    @property
    def panel(self) -> int:
        """Columns of V that are multiplied at once."""
        return self.vectors * self.lanes

    @property
    def panel_bytes(self) -> int:
        """Bytes of a row of a panel: of V, where each holds one or two numbers, and of U."""
        return 4 * self.panel

    @property
    def vector_bytes(self) -> int:
        """Bytes of a vector."""
        return 4 * self.lanes

    @property
    def v_step(self) -> int:
        """Bytes from the V of one ρ to that of the next."""
        return self.steps * self.panel_bytes

    @property
    def v_panel_bytes(self) -> int:
        """Bytes from one panel of V to the next."""
        return self.rank * self.v_step

    @property
    def strip_z_bytes(self) -> int:
        """Bytes of Z from one strip of tile rows to the next."""
        return self.strip * self.z_row_bytes

    @property
    def strip_u_bytes(self) -> int:
        """Bytes of U from one strip of tile rows to the next."""
        return self.strip * self.panel_bytes

    @property
    def z_element_bytes(self) -> int:
        """Bytes of an encoded number."""
        return 2 if self.is_bfloat16 else 4

    @property
    def stage_k_bytes(self) -> int:
        """Bytes from one block of columns to the next in a staged row."""
        return 4 * self.padded_features

    @property
    def stage_row_bytes(self) -> int:
        """Bytes from one staged row to the next: not a power of two, which share cache sets."""
        return len(self.feature_blocks) * self.stage_k_bytes + 64

    @property
    def direct_k_bytes(self) -> int:
        """Bytes from one block of columns to the next in A itself."""
        return 4 * self.block_features

    @property
    def stage_vectors(self) -> int:
        """Vectors of a staged row."""
        return self.stage_row_bytes // self.vector_bytes

    @property
    def edge_j_bytes(self) -> int:
        """Bytes of one tile column's outputs of a panel, set aside."""
        return self.panel * self.output_bytes

    @property
    def edge_row_bytes(self) -> int:
        """Bytes of one row's outputs of a panel, set aside."""
        return self.tile_width * self.edge_j_bytes

    @property
    def output_block_bytes(self) -> int:
        """Bytes from one block of outputs to the next."""
        return self.block_outputs * self.output_bytes

    @property
    def output_panel_bytes(self) -> int:
        """Bytes from the outputs of one panel to those of the next."""
        return self.panel * self.output_bytes

    @property
    def output_vector_bytes(self) -> int:
        """Bytes of a vector of outputs."""
        return self.lanes * self.output_bytes

    @property
    def bias_panel_bytes(self) -> int:
        """Bytes of the bias of one panel."""
        return self.tile_width * self.panel_bytes

    @property
    def less_one(self) -> int:
        """What rounds rows up to whole tiles."""
        return self.tile_height - 1

    @property
    def strip_less_one(self) -> int:
        """What rounds tile rows up to whole strips."""
        return self.strip - 1

    @property
    def panel_lines(self) -> int:
        """Cache lines of a row of a panel: so many strips fetch a part of the next V each."""
        return -(-self.panel_bytes // 64)

    @property
    def first_steps(self) -> int:
        """Steps of the first pass."""
        return min(self.steps, self.pass_steps)

    @property
    def later_passes(self) -> tuple[tuple[int, int], ...]:
        """Where each further pass begins, and its steps."""
        starts = range(self.pass_steps, self.steps, self.pass_steps)
        return tuple((start, min(self.pass_steps, self.steps - start)) for start in starts)

    @property
    def turns(self) -> tuple[tuple[int, int], ...]:
        """Each step of the innermost loop's straight-line code, and the one after it."""
        return tuple((step, step + 1) for step in range(self.unroll))

    @property
    def inputs(self) -> tuple[tuple[int, int], ...]:
        """Row and column within a tile of each value that is encoded."""
        n, d, _ = self.shape
        return tuple((i, k) for i in range(n) for k in range(d))

    @property
    def outputs(self) -> tuple[tuple[int, int], ...]:
        """Row and column within a tile of each value that is decoded."""
        n, _, m = self.shape
        return tuple((i, j) for i in range(n) for j in range(m))
