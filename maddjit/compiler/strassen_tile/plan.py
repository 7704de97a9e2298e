"""The plan of a Strassen-Tile kernel: every number its templates and reports need, part by part."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.conversion import Input, Output
from maddjit.compiler.outline import outlined
from maddjit.compiler.signature import Signature
from maddjit.compiler.strassen_tile.straight_line import StraightLine
from maddjit.compiler.target import Target
from maddjit.compiler.workspace import Workspace
from maddjit.models.strassen_tile import RowLayout


@dataclass(frozen=True)
class Rows:
    """How the rows of A are cut: into blocks of `groups` groups at most.

    A group is `tile_rows` rows of tiles. The blocks of a call are as few as can be, and share its
    groups evenly.

    If the layout is "blocks", a group lies part by part in memory: first the first rows of all its
    tile rows, then their second rows, and so on. If it is "tokens", the rows of a tile are
    neighbours, and a group is as many tile rows as the stage and the edge have room for.
    """

    tile_height: int
    tile_rows: int
    groups: int
    layout: RowLayout

    @property
    def group(self) -> int:
        """Rows of a group. Threads share whole groups."""
        return self.tile_height * self.tile_rows

    @property
    def block(self) -> int:
        """Rows that are encoded before they are multiplied, at most."""
        return self.groups * self.group

    @property
    def block_tile_rows(self) -> int:
        """Rows of tiles of a block."""
        return self.groups * self.tile_rows

    @property
    def group_less_one(self) -> int:
        """The number that is added to a number of rows to round it up to whole groups."""
        return self.group - 1

    @property
    def tile_rows_less_one(self) -> int:
        """The number that is added to a number of tile rows to round it up to whole groups."""
        return self.tile_rows - 1

    @property
    def block_tile_rows_less_one(self) -> int:
        """The number that is added to a number of tile rows to round it up to whole blocks."""
        return self.block_tile_rows - 1

    @property
    def block_less_one(self) -> int:
        """The number that is added to a number of rows to round it up to whole blocks."""
        return self.block - 1

    @property
    def tile_less_one(self) -> int:
        """The number that is added to a number of rows to round it up to whole tiles."""
        return self.tile_height - 1


@dataclass(frozen=True)
class FeatureBlock:
    """Neighbouring columns of A that become one column of tiles.

    Whole vectors hold the first `whole` of them. They begin at `byte_offset` in a staged row.
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
class StagePlan:
    """How rows are copied as float32 before they are encoded, where A cannot be read in place.

    A staged row holds one block of columns after another, each filled up with zeros. Steps are in
    bytes: from one block to the next, and from one row to the next.
    """

    blocks: tuple[FeatureBlock, ...]
    block_step: int
    row_step: int
    n_vectors: int


@dataclass(frozen=True)
class EncodePlan:
    """How tiles of A become Z, which is [ρ][tile row][column of a block].

    `inputs` are the row and the column within a tile of each value that `code` begins with.
    `n_columns` are those of a block, filled up. Numbers of Z have `element_bytes`. Steps are
    in bytes: from one tile row to the next (`row_step`) and from one ρ to the next (`step`). If
    `is_direct`, whole groups are read from A itself, `direct_step` from one block to the next.
    """

    code: StraightLine
    inputs: tuple[tuple[int, int], ...]
    n_columns: int
    element_bytes: int
    row_step: int
    step: int
    is_direct: bool
    direct_step: int

    @property
    def filled_bytes(self) -> int:
        """Bytes of one tile row of Z, from its first column to its last."""
        return self.element_bytes * self.n_columns


@dataclass(frozen=True)
class Step:
    """One step of the innermost loop's straight-line code, and the number after it.

    `fetches` says whether a cache line of the V that follows is fetched before it; `z_lines` are
    the lines of Z that are.
    """

    number: int
    after: int
    fetches: bool
    z_lines: tuple[int, ...]


@dataclass(frozen=True)
class Strip:
    """A micro-kernel: `rows` tile rows times a panel, with all sums in registers.

    Unless it is the tallest, it multiplies the last tile rows of a block if they are more than
    `above` and at most `rows`, or two of it do if they are more than the tallest has.
    """

    name: str
    rows: int
    above: int
    steps: tuple[Step, ...]

    @property
    def z_bytes(self) -> int:
        """Bytes of Z that the strip reads in one step."""
        return 4 * self.rows


@dataclass(frozen=True)
class MultiplyPlan:
    """How Z is multiplied by V: a strip of tile rows times a panel of columns, sums in registers.

    V is [panel][ρ][step][column of the panel]. A step is 4 bytes of Z: one float32 number, or a
    pair of bfloat16 numbers. U, the products of one panel, is [ρ][tile row][column of the panel].
    A panel has `vectors` vectors of `lanes` columns. Tile rows are cut into the tallest of the
    `strips`, and what is left of them into one or two lower ones. `passes` are the first step and
    the number of steps of each sum; later passes are added to the first one. In bytes, `z_step`
    leads from one tile row of Z to the next, `u_step` from one ρ of U to the next.
    """

    strips: tuple[Strip, ...]
    vectors: int
    lanes: int
    unroll: int
    rank: int
    n_steps: int
    n_panels: int
    passes: tuple[tuple[int, int], ...]
    z_step: int
    u_step: int

    @property
    def tallest(self) -> Strip:
        """The strip that most tile rows are multiplied in."""
        return self.strips[0]

    @property
    def lower(self) -> tuple[Strip, ...]:
        """The other strips."""
        return self.strips[1:]

    @property
    def filled(self) -> int:
        """The number that is added to a number of tile rows before it is cut into tallest strips.

        Tile rows that no lower strip has room for are then a tallest one.
        """
        return self.tallest.rows - 1 - self.tallest.above

    @property
    def paired(self) -> int:
        """The most tile rows behind the last tallest strip that make two lower ones with it."""
        return max(0, 2 * self.tallest.above - self.tallest.rows)

    @property
    def panel(self) -> int:
        """Columns of V that are multiplied at once."""
        return self.vectors * self.lanes

    @property
    def pair_lanes(self) -> int:
        """Numbers of bfloat16 in a vector."""
        return 2 * self.lanes

    @property
    def panel_bytes(self) -> int:
        """Bytes of one row of a panel: of V, where a step is 4 bytes, and of U."""
        return 4 * self.panel

    @property
    def v_step(self) -> int:
        """Bytes from the V of one ρ to that of the next."""
        return self.n_steps * self.panel_bytes

    @property
    def v_panel_step(self) -> int:
        """Bytes from one panel of V to the next."""
        return self.rank * self.v_step


@dataclass(frozen=True)
class DecodePlan:
    """How U becomes outputs, panel by panel.

    `outputs` are the row and the column within a tile of each value that `code` ends with. Outputs
    are cut into blocks of columns, one for each column of a tile; `widths` says how many outputs
    each really has. The first `whole_panels` lie inside of every block and are decoded into Y. The
    others are decoded into the edge of the workspace, where a row has all columns of a tile. Steps
    are in bytes: from one block of Y to the next, from one panel to the next, from one vector to
    the next, from one row of the edge to the next, and from the bias of one panel to that of the
    next.
    """

    code: StraightLine
    outputs: tuple[tuple[int, int], ...]
    widths: tuple[int, ...]
    whole_panels: int
    block_step: int
    panel_step: int
    vector_step: int
    edge_row_step: int
    bias_step: int


@dataclass(frozen=True)
class TilePlan:
    """One Strassen-Tile kernel, decided: what it computes, its parts, and what it reads.

    ``print(plan)`` has a line for each part; ``repr(plan)`` has every number.
    `kind` is the model's. A tile product is (n, d) times (d, m) numbers, of the given `shape`, and
    takes `rank` multiplications. The workspace has the regions ``z``, ``u``, ``stage`` and
    ``edge``. `packed` is V as kernels read it; `constants` are part of the code.
    """

    symbol: str
    target: Target
    signature: Signature
    kind: str
    n_features: int
    n_outputs: int
    shape: tuple[int, int, int]
    rank: int
    input: Input
    output: Output
    rows: Rows
    stage: StagePlan
    encode: EncodePlan
    multiply: MultiplyPlan
    decode: DecodePlan
    workspace: Workspace
    rows_per_thread: int
    packed: NDArray[Any] = field(repr=False, compare=False)
    constants: tuple[tuple[str, bytes], ...] = field(repr=False)

    template = "strassen_tile/kernel.ll.j2"
    stage_bytes = 0
    streaming_rows = np.iinfo(np.int64).max

    def __str__(self) -> str:
        return outlined(self)

    @property
    def is_bfloat16(self) -> bool:
        """Whether Z and V are rounded to bfloat16 and multiplied in pairs."""
        return self.signature.precision == "bfloat16"

    @property
    def row_unit(self) -> int:
        """The rows that are not divided among threads: each thread gets whole multiples."""
        return self.rows.group

    @property
    def sequences_symbol(self) -> str:
        """The function for many sequences; empty if tiles are not made of neighbouring rows."""
        return f"{self.symbol}_sequences" if self.rows.layout == "tokens" else ""

    @property
    def workspace_bytes(self) -> int:
        """Bytes of the workspace."""
        return self.workspace.n_bytes
