"""How the codebooks of a scan are added: in bytes by groups, group after group in runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maddjit.models.maddness import Accumulate, MaddnessModel, average_group

Merge = tuple[int, int, int]
"""A merge of two values into a new one: (new value, left, right)."""

_GROUPS = (32, 24, 16, 12, 8, 6, 5, 4, 3, 2, 1)
"""Group sizes that are tried, the largest first, if the sum of all codebooks exceeds a byte."""


@dataclass(frozen=True)
class Sums:
    """How wide sums are, proved from the real tables.

    Attributes
    ----------
    accumulate : {"exact", "average"}
        Whether the entries of a group are added or averaged.
    bits : {8, 16, 32}
        The fewest bits that hold every possible sum.
    group : int
        Codebooks whose sum, or average, fits 8 bits, counted from the first codebook on.
    """

    accumulate: Accumulate
    bits: int
    group: int


def plan_sums(model: MaddnessModel) -> Sums:
    """Return how wide the sums of a model are.

    Raises
    ------
    ValueError
        If the sums could overflow 32 bits.
    """
    if model.accumulate == "average":
        group = average_group(model.n_codebooks)
        n_groups = model.n_codebooks // group
        return Sums("average", 8 if n_groups == 1 else 16 if 255 * n_groups < 2**16 else 32, group)
    largest = model.tables.max(axis=1).astype(np.int64)  # (C, M)
    worst = int(largest.sum(axis=0).max())
    if worst >= 2**31:
        raise ValueError(f"the sums can reach {worst}, more than 32 bits hold")
    if worst < 2**8:
        return Sums("exact", 8, model.n_codebooks)
    group = next(
        size
        for size in _GROUPS
        if np.add.reduceat(largest, np.arange(0, model.n_codebooks, size)).max() < 2**8
    )
    return Sums("exact", 16 if worst < 2**16 else 32, group)


@dataclass(frozen=True)
class Summands:
    """The codebooks that a scan adds up for each output, and where their codes are.

    `codes_step` is the bytes from the code of a row of one codebook to that of the next. Codes are
    multiples of `code_unit`.
    """

    n_codebooks: int
    n_prototypes: int
    sums: Sums
    codes_step: int
    code_unit: int = 1


@dataclass(frozen=True)
class CodebookStep:
    """One codebook in straight-line code: where its code and tables are."""

    codes_offset: int
    table_offsets: tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """Codebooks whose table entries are merged in 8 bits.

    The values 0 … n − 1 are the table entries of the n steps. Each merge makes a new value of two
    older ones. The last new value is the group's.
    """

    steps: tuple[CodebookStep, ...]
    merges: tuple[Merge, ...]

    @property
    def ready(self) -> tuple[tuple[Merge, ...], ...]:
        """For each step, the merges that its value makes possible, so that few values wait."""
        last = {i: i for i in range(len(self.steps))}
        found: list[list[Merge]] = [[] for _ in self.steps]
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
    """`count` repetitions of the same straight-line code: some groups of codebooks.

    Strides are the bytes from one repetition to the next, offsets those of the first repetition.
    """

    count: int
    codes_stride: int
    table_strides: tuple[int, ...]
    codes_offset: int
    table_offsets: tuple[int, ...]
    groups: tuple[Group, ...]


def plan_runs(
    summands: Summands, unroll: int, strides: list[int], offsets: list[int]
) -> tuple[Run, ...]:
    """Return the runs over all codebooks: a loop of equal chunks of groups, and a shorter chunk.

    Parameters
    ----------
    unroll : int
        Codebooks that straight-line code may have.
    strides, offsets : list of int
        For each table that is read for a code: the bytes from one codebook to the next, and to the
        first one.
    """
    group = _group_in_code(summands.sums, unroll)
    chunk = max(1, unroll // group) * group
    count, rest = divmod(summands.n_codebooks, chunk)
    found = [_run(summands, group, strides, offsets, 0, chunk, count)] if count else []
    if rest:
        found.append(_run(summands, group, strides, offsets, count * chunk, rest, 1))
    return tuple(found)


def _run(
    summands: Summands,
    group: int,
    strides: list[int],
    offsets: list[int],
    first: int,
    size: int,
    count: int,
) -> Run:
    """Return the run of `count` chunks of `size` codebooks from the codebook `first` on."""
    codes = summands.codes_step
    steps = [CodebookStep(c * codes, tuple(c * stride for stride in strides)) for c in range(size)]
    parts = [tuple(steps[i : i + group]) for i in range(0, size, group)]
    return Run(
        count=count,
        codes_stride=size * codes,
        table_strides=tuple(size * stride for stride in strides),
        codes_offset=first * codes,
        table_offsets=tuple(o + first * s for o, s in zip(offsets, strides, strict=True)),
        groups=tuple(Group(part, merges(len(part), summands.sums.accumulate)) for part in parts),
    )


def _group_in_code(sums: Sums, unroll: int) -> int:
    """Return how many codebooks straight-line code adds in bytes, of `unroll` at most.

    Groups are proved from the first codebook on, so they are cut into equal parts only, unless all
    codebooks together fit a byte. Averages are of whole groups, which cannot be cut.
    """
    if sums.accumulate == "average":
        return sums.group
    most = min(sums.group, unroll)
    if sums.bits == 8:
        return most
    return max(n for n in range(1, most + 1) if sums.group % n == 0)


def merges(n: int, accumulate: Accumulate) -> tuple[Merge, ...]:
    """Return the merges of n values into one.

    Averages are a tree: neighbours are merged level by level. Sums take one value after another.

    >>> merges(4, "average"), merges(3, "exact")
    (((4, 0, 1), (5, 2, 3), (6, 4, 5)), ((3, 0, 1), (4, 3, 2)))
    """
    if accumulate == "exact":
        return tuple((n + i, n + i - 1 if i else 0, i + 1) for i in range(n - 1))
    found: list[Merge] = []
    waiting = list(range(n))
    while len(waiting) > 1:
        pairs = list(zip(waiting[0::2], waiting[1::2], strict=True))
        waiting = [n + len(found) + i for i in range(len(pairs))]
        found += [(new, *pair) for new, pair in zip(waiting, pairs, strict=True)]
    return tuple(found)
