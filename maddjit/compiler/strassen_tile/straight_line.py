"""Straight-line code of known linear maps: zeros cost nothing, common pairs are computed once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import combinations
from math import frexp
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

    A pair x ± 2ᵏ y that several rows need, each times a factor, is computed once. The most frequent
    pair is taken first (the greedy heuristic of Paar, 1997). Terms of one row whose factors have
    the same size are added first and multiplied once, and sums that begin with the same product
    share it. A sum has at most as many terms as its row has entries other than zero.

    No term is rounded more often than in a sum written out, because the factors within pairs are
    powers of two, which round nothing.

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
    return _products_once(steps, results)


def _shared(rows: list[_Terms], names: list[str]) -> list[Operation]:
    """Return steps that make values of pairs that occur more than once; `rows` then use these.

    `rows` and `names` are changed in place.
    """
    steps: list[Operation] = []
    while True:
        found: Counter[tuple[int, int, float]] = Counter()
        for row in rows:
            for a, b in combinations(sorted(row), 2):
                if abs(frexp(ratio := row[b] / row[a])[0]) == 0.5:
                    found[a, b, ratio] += 1
        if not found:
            return steps
        (a, b, ratio), times = min(found.items(), key=_rarity)
        if times < 2:
            return steps
        new = len(names)
        names.append(f"t.{new}")
        steps.append(_plus(names[new], names[a], names[b], ratio))
        for row in rows:
            if a in row and b in row and row[b] == row[a] * ratio:
                row[new] = row.pop(a)
                del row[b]


def _rarity(item: tuple[tuple[int, int, float], int]) -> tuple[int, bool, tuple[int, int, float]]:
    """Return what a pair is sorted by: how often it occurs, and whether it takes a product."""
    (a, b, ratio), times = item
    return -times, abs(ratio) != 1, (a, b, ratio)


def _plus(new: str, total: str, term: str, factor: float) -> Operation:
    """Return the step that adds a term with a factor to a total."""
    if abs(factor) == 1:
        return Operation(new, "add" if factor == 1 else "subtract", total, term)
    return Operation(new, "add scaled", term, total, literal(factor))


def _products_once(steps: list[Operation], results: list[str]) -> StraightLine:
    """Return the code with each product of a value and a factor just once."""
    names: dict[str, str] = {}
    products: dict[tuple[str, str], str] = {}
    kept = []
    for step in steps:
        left, right = (names.get(name, name) for name in (step.left, step.right))
        new = products.setdefault((left, step.factor), step.new) if step.kind == "scale" else ""
        if new and new != step.new:
            names[step.new] = new
        else:
            kept.append(replace(step, left=left, right=right))
    return StraightLine(tuple(kept), tuple(names.get(name, name) for name in results))


def _sum(row: _Terms, names: list[str], name: str) -> tuple[list[Operation], str]:
    """Return steps that add the terms of one row up, and the name of the sum.

    Terms with a factor of one come first, because a sum can begin with them without a product.
    """
    if not row:
        return [Operation(f"{name}.zero", "zero")], f"{name}.zero"
    row, steps = _grouped(row, names, name)
    order = {1.0: 0, -1.0: 2}
    terms = sorted(row.items(), key=lambda term: (order.get(term[1], 1), term[0]))
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
        steps.append(_plus(new, last, names[j], factor))
        last = new
    return steps, last


def _grouped(row: _Terms, names: list[str], name: str) -> tuple[_Terms, list[Operation]]:
    """Return a row without terms of equal factors but ±1, and steps that add those up.

    The sums are added to `names`.
    """
    sizes = Counter(abs(factor) for factor in row.values())
    steps: list[Operation] = []
    row = dict(row)
    for size, times in sizes.items():
        if size != 1 and times > 1:
            members = [j for j, factor in row.items() if abs(factor) == size]
            factor = row[members[0]]
            own, total = _sum(
                {j: row.pop(j) / factor for j in members}, names, f"{name}.{len(names)}"
            )
            steps += own
            row[len(names)] = factor
            names.append(total)
    return row, steps
