"""The records of a scan: tiles of outputs, runs of codebooks, what is in flight together."""

from __future__ import annotations

from dataclasses import dataclass

from maddjit.compiler.maddness.encode_records import Store


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
    def sums(self) -> tuple[str, ...]:
        """What templates call the sums of each part."""
        return tuple(f"plane{self.index}.{part.name}" for part in self.parts)

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
            pair for plane in self.planes for pair in zip(plane.parts, plane.sums, strict=True)
        )

    @property
    def last(self) -> str:
        """What templates call the values that hold the sums of all codebooks."""
        number, run = len(self.runs) - 1, self.runs[-1]
        return f"r{number}" if run.count > 1 else f"r{number}.g{len(run.groups)}"

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
