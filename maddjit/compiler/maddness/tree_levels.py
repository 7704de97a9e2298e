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
        The byte offsets of the registers of a permute, or of each node's threshold for a select.
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
    def last(self) -> int:
        """The number of the last node."""
        return self.entries - 1

    @property
    def fetched(self) -> int:
        """The value that holds the thresholds after all folds."""
        return self.folds[-1][0] if self.folds else 0


def node_order(entries: int, is_negative: bool) -> tuple[int, ...]:
    """Return the nodes of a level in the order in which their thresholds are stored.

    Look-ups use the low bits of a node's number. Those of a negative number count backwards.

    >>> node_order(4, is_negative=False), node_order(4, is_negative=True)
    ((0, 1, 2, 3), (0, 3, 2, 1))
    """
    return tuple(-i % entries if is_negative else i for i in range(entries))


def row_level(target: Target, depth: int, is_negative: bool = False) -> TreeLevel:
    """Return the cheapest look-up that `target` has of the 2^depth float32 thresholds at a depth.

    Parameters
    ----------
    is_negative : bool
        Whether nodes are followed by their negative numbers.
    """
    entries, lanes = 2**depth, target.lanes
    place = (entries, 4 * entries, 8 * depth)
    if entries == 1:
        return TreeLevel("splat", *place)
    intrinsic = target.permute(min(max(4, entries), lanes))
    is_alone = not intrinsic and entries <= settings.MOST_SPLATS["float"]
    if is_alone or (entries == 2 and target.has_masks):
        return _select(place, depth, 4, is_negative)
    if pair := target.permute(entries) if entries == 2 * lanes else "":
        return TreeLevel("permute2", *place, intrinsic=pair)
    if intrinsic and entries <= settings.MOST_PERMUTES * lanes:
        return _permute(place, intrinsic, lanes, min(entries, lanes), 4)
    gather = f"llvm.masked.gather.v{lanes}f32.v{lanes}p0"
    return TreeLevel("gather", *place, intrinsic=gather)


def byte_level(target: Target, depth: int) -> TreeLevel | None:
    """Return the cheapest look-up that `target` has of 2^depth thresholds of one byte, if any.

    The codes of all leaves are looked up in the same way, one level deeper.
    """
    entries, lanes = 2**depth, target.vector_bytes
    place = (entries, entries, 8 * depth)
    if entries == 1:
        return TreeLevel("splat", *place)
    if entries == 2 and target.has_masks:
        return _select(place, depth, 1)
    whole = target.byte_shuffle(max(16, entries))
    if whole and entries > lanes:
        return TreeLevel("permute2", *place, intrinsic=whole)
    if whole:
        return _permute(place, whole, lanes, entries, 1)
    sixteen = target.byte_shuffle(16)
    if sixteen and entries <= 16 * settings.MOST_PERMUTES:
        return _permute(place, sixteen, lanes, 16, 1)
    return _select(place, depth, 1) if entries <= settings.MOST_SPLATS["i8"] else None


def _select(
    place: tuple[int, int, int], depth: int, itemsize: int, is_negative: bool = False
) -> TreeLevel:
    """Return a level whose thresholds are selected by the decisions of the levels above."""
    stored = node_order(place[0], is_negative)
    offsets = tuple(itemsize * stored.index(node) for node in range(place[0]))
    return TreeLevel("select", *place, registers=offsets, folds=path_folds(depth))


def _permute(
    place: tuple[int, int, int], intrinsic: str, lanes: int, size: int, itemsize: int
) -> TreeLevel:
    """Return a level that is looked up in registers of `size` thresholds each."""
    spread = tuple(lane % size for lane in range(lanes))
    registers = tuple(range(0, itemsize * place[0], itemsize * size))
    folds = _node_folds(len(registers), size)
    return TreeLevel("permute", *place, spread, intrinsic, registers, folds)


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
