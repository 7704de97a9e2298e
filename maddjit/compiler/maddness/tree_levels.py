"""Levels of a tree where a vector holds rows: how each row's threshold is fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from maddjit.compiler.maddness import settings
from maddjit.compiler.target import Target

Folds = tuple[tuple[int, int, int, int], ...]
"""For each fold: the new value, the values that it takes where a bit is 0 and 1, and that bit."""


@dataclass(frozen=True)
class TreeLevel:
    """One level of a tree: how the threshold of each row's node is fetched.

    Attributes
    ----------
    lookup : {"splat", "select", "permute", "permute2", "gather"}
        A splat serves a level of one node. A select keeps one splat of each node's threshold, and
        folds them by the decisions of the levels above. A permute looks up in one or several
        registers. A permute2 looks up in a pair of registers. A gather reads memory.
    entries : int
        Nodes of the level.
    byte_offset, split_offset : int
        Bytes from the beginning of the tree's thresholds and split columns to those of the level.
    spread : tuple of int
        The lanes that fill a register of a permute with thresholds.
    intrinsic : str
        The instruction of a permute, a permute2 or a gather.
    registers : tuple of int
        The byte offsets of the registers of a permute.
    folds : tuple
        How several values become one: by a bit of the node for a permute, by a whole decision for
        a select.
    """

    lookup: Literal["splat", "select", "permute", "permute2", "gather"]
    entries: int
    byte_offset: int
    split_offset: int
    spread: tuple[int, ...] = ()
    intrinsic: str = ""
    registers: tuple[int, ...] = ()
    folds: Folds = ()

    @property
    def register_entries(self) -> int:
        """Thresholds in one register of a permute."""
        return self.entries // len(self.registers)

    @property
    def fetched(self) -> int:
        """The value that holds the thresholds after all folds."""
        return self.folds[-1][0] if self.folds else 0


def row_level(target: Target, depth: int) -> TreeLevel:
    """Return the cheapest look-up that `target` has of the 2^depth thresholds at a depth."""
    entries, lanes = 2**depth, target.lanes
    place = (entries, 4 * entries, 8 * depth)
    if entries == 1:
        return TreeLevel("splat", *place)
    if entries == 2 or (target.has_masks and entries <= settings.MOST_SPLATS):
        return TreeLevel("select", *place, folds=path_folds(depth))
    intrinsic = target.permute(min(entries, lanes))
    pair = target.permute(entries) if entries == 2 * lanes else ""
    if pair:
        return TreeLevel("permute2", *place, intrinsic=pair)
    if intrinsic and entries <= settings.MOST_PERMUTES * lanes:
        size = min(entries, lanes)
        spread = tuple(lane % size for lane in range(lanes))
        registers = tuple(range(0, 4 * entries, 4 * size))
        folds = _node_folds(len(registers), lanes)
        return TreeLevel("permute", *place, spread, intrinsic, registers, folds)
    gather = f"llvm.masked.gather.v{lanes}f32.v{lanes}p0"
    return TreeLevel("gather", *place, intrinsic=gather)


def _node_folds(n_values: int, bit: int) -> Folds:
    """Return folds that make one of several permutes' values, by the node's bits from `bit` on."""
    folds: list[tuple[int, int, int, int]] = []
    values = list(range(n_values))
    while len(values) > 1:
        first = n_values + len(folds)
        pairs = list(zip(values[0::2], values[1::2], strict=True))
        folds += [(first + i, *pair, bit) for i, pair in enumerate(pairs)]
        values = list(range(first, first + len(pairs)))
        bit *= 2
    return tuple(folds)


def path_folds(depth: int) -> Folds:
    """Return folds that make one of the values of the 2^depth nodes there, decision by decision.

    Each decision halves the values that are left. The fourth number of a fold is the depth of the
    decision.

    >>> path_folds(2)
    ((4, 0, 2, 0), (5, 1, 3, 0), (6, 4, 5, 1))
    """
    folds: list[tuple[int, int, int, int]] = []
    values = list(range(2**depth))
    for decision in range(depth):
        first, half = 2**depth + len(folds), len(values) // 2
        folds += [(first + i, values[i], values[i + half], decision) for i in range(half)]
        values = list(range(first, first + half))
    return tuple(folds)
