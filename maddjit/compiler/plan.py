"""The records of a plan: every number that templates and reports need, already computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from maddjit.compiler.target import Target
from maddjit.epilogue import Epilogue
from maddjit.formats import INPUTS, OUTPUTS, RESULTS, SUMS, Format

Order = Literal["C", "F", "strided"]
OutOrder = Literal["C", "F"]
Result = Literal["outputs", "sums", "codes", "argmax"]


@dataclass(frozen=True)
class Signature:
    """What one compiled function accepts and returns.

    `order` says which step of A is known to be one element: "C" the columns, "F" the rows,
    "strided" neither. `out_order` says whether rows or columns of outputs and sums are contiguous;
    `sums` is the dtype of sums, `k` how many outputs "argmax" names.

    Raises
    ------
    ValueError
        If one of them is unknown.
    """

    dtype: str = "float32"
    order: Order = "C"
    result: Result = "outputs"
    epilogue: Epilogue = field(default_factory=Epilogue)
    out_order: OutOrder = "C"
    sums: str = "int32"
    k: int = 1

    def __post_init__(self) -> None:
        for name, value, known in (
            ("dtype", self.dtype, tuple(INPUTS)),
            ("order", self.order, get_args(Order)),
            ("result", self.result, get_args(Result)),
            ("out_order", self.out_order, get_args(OutOrder)),
            ("sums", self.sums, tuple(SUMS)),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")

    @property
    def output(self) -> Format:
        """The number format of the results."""
        if self.result == "sums":
            return SUMS[self.sums]
        return RESULTS.get(self.result) or OUTPUTS[self.epilogue.dtype]


@dataclass(frozen=True)
class Level:
    """One level of a tree: how the threshold of each row's node is fetched.

    A level of more nodes than a register holds may take several permutes, whose byte offsets are
    `registers`, folded by `folds`: (new, value where the bit is 0, where it is 1, bit). A select
    folds one splat of each node's threshold by the decisions of the levels above, not by a bit.
    """

    lookup: Literal["splat", "select", "permute", "permute2", "gather"]
    entries: int
    byte_offset: int
    split_offset: int
    spread: tuple[int, ...] = ()
    intrinsic: str = ""
    registers: tuple[int, ...] = ()
    folds: tuple[tuple[int, int, int, int], ...] = ()

    @property
    def register_entries(self) -> int:
        """Thresholds in one register of a permute."""
        return self.entries // len(self.registers)

    @property
    def fetched(self) -> int:
        """The value that holds the thresholds after all folds."""
        return self.folds[-1][0] if self.folds else 0


@dataclass(frozen=True)
class NodeLevel:
    """One level of the trees of a batch: the thresholds of each node, a vector of codebooks.

    `places` are offsets of those vectors, which `folds` halve down to the rows' own nodes: (new,
    value where the bit is 0, where it is 1, level of the bit). A level of very many nodes has an
    `intrinsic` instead, which gathers from `gather_offset`.
    """

    places: tuple[int, ...]
    folds: tuple[tuple[int, int, int, int], ...]
    intrinsic: str = ""
    gather_offset: int = 0

    @property
    def fetched(self) -> int:
        """The value that holds the thresholds after all folds."""
        return self.folds[-1][0] if self.folds else 0


@dataclass(frozen=True)
class Read:
    """Something read from a row into the value `name`: one number, or a vector of neighbours."""

    name: str
    byte_offset: int
    is_line: bool


@dataclass(frozen=True)
class Insert:
    """The value `name`: `vector` with the number `element` in one of its lanes."""

    name: str
    vector: str
    element: str
    lane: int


@dataclass(frozen=True)
class Shuffle:
    """The value `name`: lanes of two others, as LLVM numbers them; −1 for any."""

    name: str
    left: str
    right: str
    lanes: tuple[int, ...]


@dataclass(frozen=True)
class Store:
    """Some lanes of a vector, and where they go."""

    lanes: tuple[int, ...]
    byte_offset: int


def exact_stores(n_lanes: int, itemsize: int, first: int = 0) -> tuple[Store, ...]:
    """Store that many lanes and no more: the binary digits of their number, largest first.

    >>> [(len(store.lanes), store.byte_offset) for store in exact_stores(11, 4)]
    [(8, 0), (2, 32), (1, 40)]
    """
    stores: list[Store] = []
    done = 0
    while done < n_lanes:
        size = 1 << ((n_lanes - done).bit_length() - 1)
        stores.append(Store(tuple(range(done, done + size)), (first + done) * itemsize))
        done += size
    return tuple(stores)


@dataclass(frozen=True)
class Batch:
    """Neighbouring codebooks whose codes of one row are found together, in one vector.

    `steps` bring the row's numbers into `vectors`, one for each level of the trees. `stores` are of
    the lanes that hold codes.
    """

    first: int
    lanes: int
    n_codebooks: int
    steps: tuple[Read | Insert | Shuffle, ...]
    vectors: tuple[str, ...]
    levels: tuple[NodeLevel, ...]
    stores: tuple[Store, ...]

    @property
    def reads(self) -> tuple[Read, ...]:
        """What is read from a row, in order."""
        return tuple(step for step in self.steps if isinstance(step, Read))

    @property
    def blank(self) -> str:
        """What lanes hold that no codebook fills: a defined number, for it may lead a gather."""
        return "poison" if self.n_codebooks == self.lanes else "zeroinitializer"


@dataclass(frozen=True)
class Part:
    """Neighbouring outputs that leave a plane in one vector: their lanes and their stores.

    `valid` is an LLVM vector of i1 that tells lanes with an output from padding; empty if all have.
    """

    name: str
    lanes: int
    scale_offset: int
    stores: tuple[Store, ...]
    first_output: int
    valid: str


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

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Lanes of even and odd bytes that follow each other, were the odd ones behind the even."""
        return tuple((i, self.half + i) for i in range(self.half))


@dataclass(frozen=True)
class Step:
    """One codebook in straight-line code: where its split columns, code and tables are."""

    splits_offset: int
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
    def ready(self) -> tuple[tuple[tuple[int, int, int], ...], ...]:
        """The merges that each step makes possible: few values wait if they are made then."""
        last = {i: i for i in range(len(self.steps))}
        found: list[list[tuple[int, int, int]]] = [[] for _ in self.steps]
        for new, left, right in self.merges:
            last[new] = max(last[left], last[right])
            found[last[new]].append((new, left, right))
        return tuple(map(tuple, found))

    @property
    def value(self) -> int:
        """The value that holds the whole group."""
        return self.merges[-1][0] if self.merges else 0


@dataclass(frozen=True)
class Run:
    """`count` repetitions of some groups of codebooks."""

    count: int
    splits_stride: int
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
    first_output: int
    n_outputs: int
    output_offset: int
    output_stride: int
    output_lines: tuple[int, ...]
    planes: tuple[Plane, ...]
    runs: tuple[Run, ...]

    @property
    def parts(self) -> tuple[tuple[Part, str], ...]:
        """The tile's parts in the order of their outputs, and what templates call each."""
        return tuple(
            (p, f"plane{plane.index}.{p.name}") for plane in self.planes for p in plane.parts
        )

    @property
    def row_bytes(self) -> tuple[int, ...]:
        """The different lengths of a table row among the planes."""
        return tuple(sorted({plane.lanes for plane in self.planes}))


@dataclass(frozen=True)
class ByteShuffle:
    """The instruction that looks a vector of codes up in a table of bytes.

    A table has `entries`, of which `loaded` make one vector by `spread`; two vectors if that is
    empty. With 4 `codebooks` a table is that of four neighbours side by side, and a row's four
    entries are added by one more instruction.
    """

    intrinsic: str
    lanes: int
    loaded: int
    entries: int
    spread: tuple[int, ...]
    codebooks: int = 1

    @property
    def rows(self) -> int:
        """Rows of a vector."""
        return self.lanes // self.codebooks


@dataclass(frozen=True)
class ColumnTile:
    """`count` repetitions of a few outputs, scanned for a few vectors of rows at a time.

    `number` tiles come before it. Plane i holds the sums of output i // len(vectors) for the rows
    at `vectors`[i % len(vectors)].
    """

    count: int
    number: int
    first_output: int
    n_outputs: int
    vectors: tuple[int, ...]
    code_offsets: tuple[int, ...]
    rows: int
    table_offset: int
    table_stride: int
    planes: tuple[Plane, ...]
    runs: tuple[Run, ...]

    @property
    def places(self) -> tuple[tuple[Plane, int, int], ...]:
        """(plane, number of its output, number of its vector)"""
        n = len(self.vectors)
        return tuple((plane, i // n, i % n) for i, plane in enumerate(self.planes))


@dataclass(frozen=True)
class Ending:
    """How an output leaves: clamped between literals (empty: not), then converted.

    `units` is the factor to whole units, `smallest` and `largest` bound them before the zero point
    is added.
    """

    narrowing: Literal["none", "double", "half", "half bits", "bfloat16", "integer"]
    low: str = ""
    high: str = ""
    units: str = ""
    smallest: str = ""
    largest: str = ""
    zero_point: int = 0


@dataclass(frozen=True)
class Plan:
    """One kernel, decided: sizes, blocking, look-ups, sums, and the constants to bake in.

    `sum_bits` is proved from the real tables: 8 if no sum of entries can exceed a byte, 16 or 32
    likewise; groups of `group` codebooks cannot exceed a byte. With `batches` a vector is the
    codebooks of one row; without, the rows of one codebook. More than `streaming_rows` results are
    larger than the last cache, and had better be written past it by way of a stage.
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
    constants: tuple[tuple[str, bytes], ...] = field(repr=False)

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
