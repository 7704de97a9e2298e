"""From the addresses of one row to vectors with a codebook in each lane, one for each level."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.formats import Format
from maddjit.compiler.maddness.encode_records import Insert, Read, Shuffle
from maddjit.compiler.target import Target

Steps = tuple[Read | Insert | Shuffle, ...]
Held = tuple[str, dict[int, int]]
"""A vector's name, and the lane that holds each column."""


_STEPS_OF_LINES = {4: 0.5, 2: 1.0}
"""Bytes of an element → steps with whole lines that take the time of one with a single element."""


def can_read_lines(n_features: int, target: Target, form: Format) -> bool:
    """Tell whether shuffles of two whole vectors are one instruction, and a row holds a vector."""
    return form.itemsize in target.paired_bytes and n_features >= target.lanes


def fewer(lines: Steps, elements: Steps, itemsize: int) -> bool:
    """Tell whether reading whole lines is faster: by the number of steps, which differ in cost.

    Examples
    --------
    >>> step = Read("element.0.0", 0, is_line=False)
    >>> fewer((step,) * 60, (step,) * 128, 4), fewer((step,) * 70, (step,) * 128, 4)
    (True, False)
    """
    return len(lines) <= _STEPS_OF_LINES[itemsize] * len(elements)


def element_steps(splits: NDArray[np.integer], itemsize: int) -> tuple[Steps, tuple[str, ...]]:
    """Put one element after another into its lane.

    Parameters
    ----------
    splits : (codebooks, levels)
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
) -> tuple[Steps, tuple[str, ...]]:
    """Read each vector of neighbours that holds a split column once, and pack by shuffles.

    The columns are packed in ascending order, then each pair of packed vectors is parted by levels,
    then the parts of each level are joined.
    """
    columns = sorted(set(splits.ravel().tolist()))  # np.unique would load numpy.ma: 10 ms
    steps: list[Read | Insert | Shuffle] = []
    lines: dict[int, Held] = {}
    n_shuffles = 0

    def line(column: int) -> Held:
        first = min(column // lanes * lanes, n_features - lanes)
        if first not in lines:
            steps.append(Read(f"line.{first}", first * itemsize, is_line=True))
            lines[first] = f"line.{first}", {first + lane: lane for lane in range(lanes)}
        return lines[first]

    def shuffle(left: Held, right: Held, wanted: list[int]) -> Held:
        """Place in each lane the column wanted there, of those that the two hold."""
        nonlocal n_shuffles
        n_shuffles += 1
        (left_name, a), (right_name, b) = left, right
        places = [a[c] if c in a else lanes + b[c] if c in b else -1 for c in wanted]
        places += [-1] * (lanes - len(wanted))
        name = f"packed.{n_shuffles}"
        steps.append(Shuffle(name, left_name, right_name, tuple(places)))
        return name, {c: lane for lane, c in enumerate(wanted) if c in a or c in b}

    packed: list[Held] = []
    for start in range(0, len(columns), lanes):
        chosen = columns[start : start + lanes]
        held: Held = ("blank", {})
        for first in dict.fromkeys(line(c)[0] for c in chosen):
            (new,) = (value for value in lines.values() if value[0] == first)
            held = shuffle(held, new, chosen)
        packed.append(held)
    if len(packed) % 2:
        packed.append(("blank", {}))
    pairs = list(zip(packed[0::2], packed[1::2], strict=True))
    vectors = []
    for first_level in range(0, splits.shape[1], 2):
        levels = splits[:, first_level : first_level + 2].T.tolist()
        parted = []
        for left, right in pairs:
            here = [[c for c in level if c in left[1] or c in right[1]] for level in levels]
            both = list(dict.fromkeys(itertools.chain.from_iterable(here)))
            if len(both) <= lanes:
                parted.append([shuffle(left, right, both)] * len(levels))
            else:
                parted.append([shuffle(left, right, list(dict.fromkeys(part))) for part in here])
        for i, own in enumerate(levels):
            # Lanes without a codebook hold some column, not poison: they may lead a gather.
            level = own + own[:1] * (lanes - len(own))
            joined = parted[0][i]
            if len(pairs) == 1:
                joined = shuffle(joined, ("blank", {}), level)
            for other in parted[1:]:
                joined = shuffle(joined, other[i], level)
            vectors.append(joined[0])
    return tuple(steps), tuple(vectors)
