"""Reading one row's split columns into vectors with a codebook in each lane, one for each level."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.maddness import settings
from maddjit.compiler.target import Target


@dataclass(frozen=True)
class Read:
    """A read from a row into the value `name`: one element, or (a line) a vector of neighbours."""

    name: str
    byte_offset: int
    is_line: bool


@dataclass(frozen=True)
class Insert:
    """The value `name`: the value `vector` with the value `element` in one of its lanes."""

    name: str
    vector: str
    element: str
    lane: int


@dataclass(frozen=True)
class Shuffle:
    """The value `name`: lanes of two other values, as LLVM numbers them; −1 for any lane."""

    name: str
    left: str
    right: str
    lanes: tuple[int, ...]


RowSteps = tuple[Read | Insert | Shuffle, ...]
"""The steps that read one row."""

Held = tuple[str, dict[int, int]]
"""A vector's name, and the lane that holds each column."""


def can_read_lines(n_features: int, target: Target, itemsize: int) -> bool:
    """Return whether a row holds a whole vector and `target` shuffles two in one instruction."""
    return itemsize in target.paired_bytes and n_features >= target.lanes


def lines_are_faster(lines: RowSteps, elements: RowSteps, itemsize: int) -> bool:
    """Return whether the steps with whole lines take less time than the steps with elements.

    Examples
    --------
    >>> step = Read("element.0.0", 0, is_line=False)
    >>> [lines_are_faster((step,) * n, (step,) * 128, 4) for n in (60, 70)]
    [True, False]
    """
    return settings.LINE_STEP_COST[itemsize] * len(lines) <= len(elements)


def element_steps(splits: NDArray[np.integer], itemsize: int) -> tuple[RowSteps, tuple[str, ...]]:
    """Return the steps that read one element after another, and the vector of each level.

    Elements are read in ascending order of their addresses.

    Parameters
    ----------
    splits : array of int, shape (codebooks, levels)
        Split columns.
    itemsize : int
        Bytes of an element.
    """
    steps: list[Read | Insert | Shuffle] = []
    vectors = ["blank"] * splits.shape[1]
    places = sorted((int(c), level, lane) for (lane, level), c in np.ndenumerate(splits))
    for column, level, lane in places:
        place = f"{level}.{lane}"
        steps.append(Read(f"element.{place}", column * itemsize, is_line=False))
        steps.append(Insert(f"with.{place}", vectors[level], f"element.{place}", lane))
        vectors[level] = f"with.{place}"
    return tuple(steps), tuple(vectors)


def line_steps(
    splits: NDArray[np.integer], n_features: int, lanes: int, itemsize: int
) -> tuple[RowSteps, tuple[str, ...]]:
    """Return the steps that read whole lines and shuffle them, and the vector of each level.

    Each line that holds a split column is read once. First, shuffles pack the split columns in
    ascending order. Second, each pair of packed vectors is parted by levels. Third, the parts of
    each level are joined.

    Parameters
    ----------
    splits : array of int, shape (codebooks, levels)
        Split columns.
    n_features, lanes, itemsize : int
        Columns of a row, elements of a line, and bytes of an element.
    """
    columns = sorted(set(splits.ravel().tolist()))  # np.unique would load numpy.ma: 10 ms
    shuffling = _Shuffling(n_features, lanes, itemsize)
    packed = [shuffling.pack(columns[start:][:lanes]) for start in range(0, len(columns), lanes)]
    if len(packed) % 2:
        packed.append(_BLANK)
    pairs = list(zip(packed[0::2], packed[1::2], strict=True))
    vectors: list[str] = []
    for first_level in range(0, splits.shape[1], 2):
        levels = splits[:, first_level : first_level + 2].T.tolist()
        parted = [shuffling.part(*pair, levels) for pair in pairs]
        vectors += [
            shuffling.join([parts[i] for parts in parted], level) for i, level in enumerate(levels)
        ]
    return tuple(shuffling.steps), tuple(vectors)


_BLANK: Held = ("blank", {})
"""A vector that holds no column."""


class _Shuffling:
    """Collects the steps that read and shuffle a row, with the columns that each vector holds."""

    def __init__(self, n_features: int, lanes: int, itemsize: int) -> None:
        self._last_line, self._lanes, self._itemsize = n_features - lanes, lanes, itemsize
        self._lines: dict[int, Held] = {}
        self._n_shuffles = 0
        self.steps: list[Read | Insert | Shuffle] = []

    def pack(self, columns: list[int]) -> Held:
        """Return a vector that holds these columns in their order, from the lines they are on."""
        held = _BLANK
        for line in dict.fromkeys(self._line_of(column) for column in columns):
            held = self._shuffle(held, self._lines[line], columns)
        return held

    def part(self, left: Held, right: Held, levels: list[list[int]]) -> list[Held]:
        """Return, for each level, a vector with those of its columns that two vectors hold.

        If the columns of all levels fit one vector, it serves every level.
        """
        here = [[c for c in level if c in left[1] or c in right[1]] for level in levels]
        every = list(dict.fromkeys(itertools.chain.from_iterable(here)))
        if len(every) <= self._lanes:
            return [self._shuffle(left, right, every)] * len(levels)
        return [self._shuffle(left, right, list(dict.fromkeys(level))) for level in here]

    def join(self, parts: list[Held], level: list[int]) -> str:
        """Return the name of the vector that holds, in each lane, the column of that codebook.

        Lanes without a codebook hold some column too, never poison: they may lead a gather.
        """
        wanted = level + level[:1] * (self._lanes - len(level))
        joined = parts[0]
        for other in parts[1:] or [_BLANK]:
            joined = self._shuffle(joined, other, wanted)
        return joined[0]

    def _line_of(self, column: int) -> int:
        """Return the first column of the line that holds `column`, and read that line once."""
        first = min(column // self._lanes * self._lanes, self._last_line)
        if first not in self._lines:
            name = f"line.{first}"
            self.steps.append(Read(name, first * self._itemsize, is_line=True))
            self._lines[first] = name, {first + lane: lane for lane in range(self._lanes)}
        return first

    def _shuffle(self, left: Held, right: Held, wanted: list[int]) -> Held:
        """Return a vector that holds those of the wanted columns that two vectors hold."""
        self._n_shuffles += 1
        (left_name, a), (right_name, b) = left, right
        places = [a[c] if c in a else self._lanes + b[c] if c in b else -1 for c in wanted]
        places += [-1] * (self._lanes - len(wanted))
        name = f"packed.{self._n_shuffles}"
        self.steps.append(Shuffle(name, left_name, right_name, tuple(places)))
        return name, {c: lane for lane, c in enumerate(wanted) if c in a or c in b}
