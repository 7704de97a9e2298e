"""Straight-line code of linear maps: what it computes, and how little it takes."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from maddjit.compiler.strassen_tile.straight_line import Operation, StraightLine, straight_line
from maddjit.models import schemes


def factor(step: Operation) -> float:
    number: float = struct.unpack(">d", bytes.fromhex(step.factor[2:]))[0]
    return number


def applied(code: StraightLine, x: NDArray[np.float64]) -> NDArray[np.float64]:
    values = {f"x.{j}": x[j] for j in range(len(x))}
    for step in code.steps:
        assert step.new not in values
        match step.kind:
            case "add":
                values[step.new] = values[step.left] + values[step.right]
            case "subtract":
                values[step.new] = values[step.left] - values[step.right]
            case "scale":
                values[step.new] = values[step.left] * factor(step)
            case "add scaled":
                values[step.new] = values[step.left] * factor(step) + values[step.right]
            case "negate":
                values[step.new] = -values[step.left]
            case "zero":
                values[step.new] = np.float64(0)
    return np.array([values[name] for name in code.results])


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 8), st.integers(1, 8)),
        elements=st.sampled_from([0, 0, 1, -1, 2, -2, 0.5, -0.25, 0.75, 3]),
    )
)
@settings(max_examples=200)
def test_computes_the_product(matrix: NDArray[np.float32]) -> None:
    x = np.arange(1.0, 1 + matrix.shape[1]) ** 3
    code = straight_line(matrix)
    assert (applied(code, x) == matrix.astype(float) @ x).all()  # small whole numbers: exact
    entries = np.count_nonzero(matrix, axis=1)
    assert code.n_operations <= np.maximum(entries, 0).sum()  # no more than written out


def test_names_are_those_of_the_values_themselves_where_nothing_is_to_do() -> None:
    code = straight_line(np.eye(3, dtype=np.float32)[::-1])
    assert (code.steps, code.results) == ((), ("x.2", "x.1", "x.0"))


@pytest.mark.parametrize(
    ("scheme", "most"),
    [
        (schemes.plain(2, 2, 2), (0, 4)),
        (schemes.strassen(), (5, 8)),
        (schemes.winograd(), (4, 7)),  # 4 + 4 + 7: the 15 additions of Winograd's variant
        (schemes.kronecker(schemes.strassen(), schemes.strassen()), (62, 88)),
        (schemes.kronecker(schemes.winograd(), schemes.winograd()), (49, 77)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_additions_are_shared(scheme: schemes.BilinearScheme, most: tuple[int, int]) -> None:
    operations = [straight_line(f).n_operations for f in (scheme.encode_a, scheme.decode)]
    assert operations[0] <= most[0]
    assert operations[1] <= most[1]


@pytest.mark.parametrize(
    ("matrix", "most", "kinds"),
    [
        ([[0.5, 0.5, -0.5]], 3, {"add", "subtract", "scale"}),  # (x + y − z) · ½
        ([[0.75, -0.75, 1, 0.75]], 3, {"add", "subtract", "add scaled"}),  # z + (x − y + w) · ¾
        ([[1, 2, 0], [0.5, 1, 1], [0, 0, 1]], 2, {"add scaled"}),  # x + 2 y is computed once
        ([[1, -0.25, 0], [-4, 1, 1]], 2, {"add scaled"}),
        ([[0.75, 0, 3], [0.75, 3, 0]], 3, {"scale", "add scaled"}),  # x · ¾ is computed once
        ([[0.75, 0.25], [1.5, 0.5]], 4, {"scale", "add scaled"}),  # thirds are not: they round
    ],
)
def test_factors_are_shared(matrix: list[list[float]], most: int, kinds: set[str]) -> None:
    rows = np.array(matrix, np.float32)
    code = straight_line(rows)
    x = np.arange(1.0, 1 + rows.shape[1]) ** 3
    assert (applied(code, x) == rows @ x).all()
    assert code.n_operations == most
    assert {step.kind for step in code.steps} == kinds


def test_a_product_comes_once() -> None:
    code = straight_line(np.array([[0.75, 0, 3], [0.75, 3, 0]], np.float32))
    assert sum(step.kind == "scale" for step in code.steps) == 1
