"""Known linear maps as straight-line code: zeros vanish, common pairs are shared."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.conversion import literal

Kind = Literal["add", "subtract", "scale", "add scaled", "negate", "zero"]
_Terms = dict[int, float]


@dataclass(frozen=True)
class Step:
    """One operation: the value `new` from the values `left` and `right`, and a literal `factor`.

    add: left + right; subtract: left − right; scale: left · factor; add scaled: left · factor +
    right; negate: −left; zero: 0.
    """

    new: str
    kind: Kind
    left: str = ""
    right: str = ""
    factor: str = ""


@dataclass(frozen=True)
class StraightLine:
    """Steps from the values x.0, x.1, …, and the names of the values that are the result."""

    steps: tuple[Step, ...]
    results: tuple[str, ...]

    @property
    def n_operations(self) -> int:
        """Arithmetic operations of one application."""
        return sum(step.kind != "zero" for step in self.steps)


def straight_line(matrix: NDArray[np.float32], prefix: str = "y") -> StraightLine:
    """Return steps that multiply a vector by a known matrix.

    Pairs ±(x ± y) that several rows need, up to a common factor, are computed once: the most
    frequent first (the greedy heuristic of Paar, 1997). No sum has more terms than its row has
    entries other than zero.

    Parameters
    ----------
    matrix : (n_results, n_values) float32
    prefix : str
        Of the names of the results.

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


def _shared(rows: list[_Terms], names: list[str]) -> list[Step]:
    """Replace pairs of terms that occur more than once by values of their own, in place."""
    steps: list[Step] = []
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
        steps.append(Step(names[new], "add" if alike else "subtract", names[a], names[b]))
        for row in rows:
            if a in row and b in row and row[b] == (row[a] if alike else -row[a]):
                row[new] = row.pop(a)
                del row[b]


def _sum(row: _Terms, names: list[str], name: str) -> tuple[list[Step], str]:
    """Add the terms of one row, those with a factor of one first: they need no product to begin."""
    if not row:
        return [Step(f"{name}.zero", "zero")], f"{name}.zero"
    order = {1.0: 0, -1.0: 2}
    terms = sorted(row.items(), key=lambda term: (order.get(term[1], 1), term[0]))
    steps: list[Step] = []
    (first, factor), others = terms[0], terms[1:]
    last = names[first]
    if factor == -1:
        last = f"{name}.minus"
        steps.append(Step(last, "negate", names[first]))
    elif factor != 1:
        last = f"{name}.0"
        steps.append(Step(last, "scale", names[first], factor=literal(factor)))
    for place, (j, factor) in enumerate(others, 1):
        new = f"{name}.{place}"
        if factor == 1:
            steps.append(Step(new, "add", last, names[j]))
        elif factor == -1:
            steps.append(Step(new, "subtract", last, names[j]))
        else:
            steps.append(Step(new, "add scaled", names[j], last, literal(factor)))
        last = new
    return steps, last
