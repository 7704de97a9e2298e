"""Straight-line code of known linear maps: zeros cost nothing, common pairs are computed once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.conversion import literal

OperationKind = Literal["add", "subtract", "scale", "add scaled", "negate", "zero"]
"""The arithmetic operations of straight-line code, and a zero."""

_Terms = dict[int, float]
"""The terms of a sum: the numbers of values, each with its factor."""


@dataclass(frozen=True)
class Operation:
    """One operation: it makes the value `new` of the values `left` and `right` and a `factor`.

    The kinds are add: left + right; subtract: left − right; scale: left · factor; add scaled:
    left · factor + right; negate: −left; zero: 0. The factor is a literal of LLVM.
    """

    new: str
    kind: OperationKind
    left: str = ""
    right: str = ""
    factor: str = ""


@dataclass(frozen=True)
class StraightLine:
    """Steps that begin with the values x.0, x.1, …, and the names of the values that result."""

    steps: tuple[Operation, ...]
    results: tuple[str, ...]

    @property
    def n_operations(self) -> int:
        """Number of arithmetic operations."""
        return sum(step.kind != "zero" for step in self.steps)


def straight_line(matrix: NDArray[np.float32], prefix: str = "y") -> StraightLine:
    """Return the steps that multiply a vector by a known matrix.

    A pair ±(x ± y) that several rows need, each times a factor, is computed once. The most frequent
    pair is taken first (the greedy heuristic of Paar, 1997). A sum has at most as many terms as its
    row has entries other than zero.

    Parameters
    ----------
    matrix : (n_results, n_values) float32
        The linear map.
    prefix : str
        The beginning of the names of results.

    Examples
    --------
    >>> code = straight_line(np.array([[1, 1, 0], [1, 1, 1], [0, 0, -1]], np.float32))
    >>> [(step.new, step.kind, step.left, step.right) for step in code.steps[:2]]
    [('t.3', 'add', 'x.0', 'x.1'), ('y.1.1', 'add', 'x.2', 't.3')]
    >>> code.results
    ('t.3', 'y.1.1', 'y.2.minus')
    """
    rows = [{int(j): float(row[j]) for j in np.flatnonzero(row)} for row in matrix]
    names = [f"x.{j}" for j in range(matrix.shape[1])]
    steps = _shared(rows, names)
    results = []
    for i, row in enumerate(rows):
        own, result = _sum(row, names, f"{prefix}.{i}")
        steps += own
        results.append(result)
    return StraightLine(tuple(steps), tuple(results))


def _shared(rows: list[_Terms], names: list[str]) -> list[Operation]:
    """Return steps that make values of pairs that occur more than once; `rows` then use these.

    `rows` and `names` are changed in place.
    """
    steps: list[Operation] = []
    while True:
        found: Counter[tuple[int, int, bool]] = Counter()
        for row in rows:
            for a, b in combinations(sorted(row), 2):
                if abs(row[a]) == abs(row[b]):
                    found[a, b, row[a] == row[b]] += 1
        if not found:
            return steps
        (a, b, alike), times = min(found.items(), key=lambda item: (-item[1], item[0]))
        if times < 2:
            return steps
        new = len(names)
        names.append(f"t.{new}")
        steps.append(Operation(names[new], "add" if alike else "subtract", names[a], names[b]))
        for row in rows:
            if a in row and b in row and row[b] == (row[a] if alike else -row[a]):
                row[new] = row.pop(a)
                del row[b]


def _sum(row: _Terms, names: list[str], name: str) -> tuple[list[Operation], str]:
    """Return steps that add the terms of one row up, and the name of the sum.

    Terms with a factor of one come first, because a sum can begin with them without a product.
    """
    if not row:
        return [Operation(f"{name}.zero", "zero")], f"{name}.zero"
    order = {1.0: 0, -1.0: 2}
    terms = sorted(row.items(), key=lambda term: (order.get(term[1], 1), term[0]))
    steps: list[Operation] = []
    (first, factor), others = terms[0], terms[1:]
    last = names[first]
    if factor == -1:
        last = f"{name}.minus"
        steps.append(Operation(last, "negate", names[first]))
    elif factor != 1:
        last = f"{name}.0"
        steps.append(Operation(last, "scale", names[first], factor=literal(factor)))
    for place, (j, factor) in enumerate(others, 1):
        new = f"{name}.{place}"
        if factor == 1:
            steps.append(Operation(new, "add", last, names[j]))
        elif factor == -1:
            steps.append(Operation(new, "subtract", last, names[j]))
        else:
            steps.append(Operation(new, "add scaled", names[j], last, literal(factor)))
        last = new
    return steps, last
