"""Linear maps as sums: some results at a time, in registers, while the inputs take turns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.conversion import literal
from maddjit.compiler.strassen_tile.straight_line import Operation


@dataclass(frozen=True)
class Turn:
    """The steps that add one input, of this number, to the sums of a block. They call it `name`."""

    input: int
    name: str
    steps: tuple[Operation, ...]


@dataclass(frozen=True)
class Sums:
    """Some results of a linear map: their sums stay in registers while inputs take turns.

    `begun` are steps that need no input; `results` are the numbers of the results and the names of
    their values.
    """

    begun: tuple[Operation, ...]
    turns: tuple[Turn, ...]
    results: tuple[tuple[int, str], ...]


def sums_of(matrix: NDArray[np.float32], most: int, prefix: str = "y") -> tuple[Sums, ...]:
    """Return the blocks of sums that multiply a vector by a known matrix.

    Terms are added in the order of the inputs. A factor of zero costs nothing.

    Parameters
    ----------
    matrix : (n_results, n_values) float32
        The linear map.
    most : int
        How many results a block has at most. Blocks share the results evenly.
    prefix : str
        The beginning of the names of results.

    Examples
    --------
    >>> blocks = sums_of(np.array([[1, 2], [0, -1], [3, 4]], np.float32), 2)
    >>> [[number for number, _ in block.results] for block in blocks]
    [[0, 1], [2]]
    >>> [(step.new, step.kind, step.left) for step in blocks[0].turns[1].steps]
    [('y.0.1', 'add scaled', 'y.0.x.1'), ('y.1.1', 'negate', 'y.0.x.1')]
    """
    numbers = np.arange(len(matrix))
    parts = np.array_split(numbers, -(-len(matrix) // most))
    return tuple(_block(matrix, [int(i) for i in part], prefix) for part in parts)


def _block(matrix: NDArray[np.float32], numbers: list[int], prefix: str) -> Sums:
    """Return the sums of the results with these numbers."""
    last: dict[int, str] = {}
    turns = []
    for j in np.flatnonzero(matrix[numbers].any(axis=0)):
        name = f"{prefix}.{numbers[0]}.x.{j}"
        steps = []
        for i in numbers:
            if matrix[i, j]:
                step = _step(float(matrix[i, j]), name, last.get(i, ""), f"{prefix}.{i}.{j}")
                steps += [step] if step else []
                last[i] = step.new if step else name
        turns.append(Turn(int(j), name, tuple(steps)))
    zeros = {i: f"{prefix}.{i}.zero" for i in numbers if i not in last}
    begun = tuple(Operation(name, "zero") for name in zeros.values())
    named = last | zeros
    return Sums(begun, tuple(turns), tuple((i, named[i]) for i in numbers))


def _step(factor: float, name: str, last: str, new: str) -> Operation | None:
    """Return the step that adds a term to a sum; None if the term itself is the sum so far."""
    if not last:
        if factor == 1:
            return None
        negates = factor == -1
        return (
            Operation(new, "negate", name)
            if negates
            else Operation(new, "scale", name, factor=literal(factor))
        )
    if abs(factor) == 1:
        return Operation(new, "add" if factor == 1 else "subtract", last, name)
    return Operation(new, "add scaled", name, last, literal(factor))
