"""How a Strassen-Tile kernel takes rows of A: in blocks of tile rows, and staged if need be."""

from __future__ import annotations

from dataclasses import dataclass

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
