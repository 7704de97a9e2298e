"""Schemes from files: every format gives the same scheme, and errors name their place."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from maddjit.models import schemes
from maddjit.models.schemes import BilinearScheme
from maddjit.models.tensors import tensor

EXACT = [
    schemes.strassen(),
    schemes.winograd(),
    schemes.plain(1, 3, 2),
    schemes.kronecker(schemes.strassen(), schemes.plain(2, 1, 3)),
]


def sparse(matrix: NDArray[Any], kind: str = "R") -> str:
    """Return a matrix as the text of an `.sms` file."""
    lines = [f"# a matrix\n{len(matrix)} {matrix.shape[1]} {kind}"]
    rows = matrix.tolist()
    lines += [f"{i + 1} {j + 1} {Fraction(rows[i][j])}" for i, j in np.argwhere(matrix)]
    return "\n".join([*lines, "0 0 0", ""])


def write_triple(folder: Path, a: Any, b: Any, p: Any) -> Path:
    for part, matrix in zip("LRP", (a, b, p), strict=True):
        (folder / f"some_{part}.sms").write_text(sparse(np.asarray(matrix)))
    return folder / "some_L.sms"


def by_columns(scheme: BilinearScheme) -> NDArray[np.float32]:
    """Return the decoder's columns with outputs column by column, as (r, m·n)."""
    n, _, m = scheme.shape
    return scheme.decode.T.reshape(-1, n, m).swapaxes(1, 2).reshape(-1, n * m)


def same_tensor(a: BilinearScheme, b: BilinearScheme) -> bool:
    """Tell whether each product adds the same to the tensor, in the same order."""
    one, other = (
        [tensor(s.encode_a[r : r + 1], s.encode_b[r : r + 1], s.decode.T[r : r + 1]) for r in ranks]
        for s, ranks in ((a, range(a.rank)), (b, range(b.rank)))
    )
    return np.array_equal(one, other)


@pytest.mark.parametrize("scheme", EXACT, ids=str)
@pytest.mark.parametrize("columns", [False, True])
def test_triples(scheme: BilinearScheme, columns: bool, tmp_path: Path) -> None:
    outputs = by_columns(scheme) if columns else scheme.decode.T
    path = write_triple(tmp_path, scheme.encode_a, scheme.encode_b, outputs.T)
    found = BilinearScheme.read(path)
    assert found.is_exact
    assert found.name == "some"
    assert found.shape == scheme.shape
    assert same_tensor(found, scheme)
    three = [tmp_path / f"some_{part}.sms" for part in "LRP"]
    three[2].write_text(sparse(outputs))  # transposed
    if outputs.shape[0] != outputs.shape[1]:
        again = BilinearScheme.read(*map(str, three), name="x", shape=scheme.shape)
        assert same_tensor(again, scheme)
        assert again.name == "x"


@pytest.mark.parametrize("scheme", EXACT, ids=str)
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize(
    "held",
    [
        lambda u, v, w, shape: [u, v, w],
        lambda u, v, w, shape: {"u": u, "v": v, "w": w},
        lambda u, v, w, shape: {"n": shape, "m": 0, "z2": False, "U": u, "V": v, "W": w},
    ],
)
def test_json(
    scheme: BilinearScheme, columns: bool, upright: bool, held: Callable[..., Any], tmp_path: Path
) -> None:
    outputs = by_columns(scheme) if columns else scheme.decode.T
    factors = [scheme.encode_a, scheme.encode_b, outputs]
    lists = [(f.T if upright else f).astype(int).tolist() for f in factors]
    path = tmp_path / "some.json"
    path.write_text(json.dumps(held(*lists, list(scheme.shape))))
    found = BilinearScheme.read(path)
    assert found.is_exact
    assert found.shape == scheme.shape
    assert same_tensor(found, scheme)


def test_fractions_are_moved_where_they_cost_nothing(tmp_path: Path) -> None:
    scheme = schemes.winograd()
    of_a = [Fraction(x) for x in ("-1/2", "2", "3/4", "-1", "1/3", "1/4", "1")]
    of_c = [Fraction(x) for x in ("1", "1/2", "1", "4", "3", "1", "-1/8")]
    of_b = [1 / (a * c) for a, c in zip(of_a, of_c, strict=True)]
    factors = scheme.encode_a, scheme.encode_b, scheme.decode.T
    a, b, c = (
        np.array([[Fraction(x) * by for x in row.tolist()] for row, by in zip(f, of, strict=True)])
        for f, of in zip(factors, (of_a, of_b, of_c), strict=True)
    )
    found = BilinearScheme.read(write_triple(tmp_path, a, b, c.T))
    assert found.is_exact
    assert same_tensor(found, scheme)
    assert np.isin(found.encode_a, (-1, 0, 1)).all()
    assert np.isin(found.decode, (-1, 0, 1)).all()
    assert (found.encode_a.sum(axis=1) >= 0).all()
    assert (found.encode_a == scheme.encode_a).all()  # Winograd's signs are these


def test_numbers_that_float32_lacks(tmp_path: Path) -> None:
    """Sums with thirds that cannot be moved: exact in rationals, not in float32."""
    third, fifth = Fraction(1, 3), Fraction(1, 5)
    a = np.array([[1, third], [1, 0], [0, 1], [0, 1]], object)  # of A, 1 × 2
    b = np.array([[1, fifth], [0, -fifth], [-third, 0], [0, 1 - third * fifth]], object)
    found = BilinearScheme.read(write_triple(tmp_path, a, b, np.ones((1, 4), object)))
    assert found.shape == (1, 2, 1)
    assert found.encode_a[0].tolist() == [1, np.float32(1 / 3)]
    assert not found.is_exact
    assert found.error < 1e-13


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ends before its last line"),
        ("# nothing\n", "ends before its last line"),
        ("7 4 R\n1 1 1\n", "ends before its last line"),
        ("7 4\n", "line 1: three words"),
        ("7 4 Q\n", "line 1: the kind of numbers"),
        ("7 x R\n", "line 1: 'x' is no index"),
        ("999999999 999999999 R\n", "line 1: a matrix 999999999 × 999999999 is no part"),
        ("0 4 R\n", "line 1: a matrix 0 × 4"),
        ("7 4 R\n\n1 5 1\n", r"line 3: entry \(1, 5\) is outside of a matrix 7 × 4"),
        ("7 4 R\n8 1 1\n", r"line 2: entry \(8, 1\) is outside"),
        ("7 4 R\n1 1 1\n1 1 1\n", r"line 3: entry \(1, 1\) is given twice"),
        ("7 4 R\n1 1 1/0\n", "line 2: '1/0' divides by zero"),
        ("7 4 R\n1 1 nan\n", "line 2: 'nan' is no rational number"),
        ("7 4 R\n1 1 1e999\n", "line 2: '1e999' is no rational number"),
        ("7 4 R\n1 1 " + "9" * 5000 + "\n", "line 2: .* is no rational number"),
        ("7 4 R\n0 0 0\n1 1 1\n", "line 3: there is more after the end"),
        ("6 4 R\n1 1 1\n0 0 0\n", "L, R and P must be .*, not 6 × 4 .*7 × 4 .*4 × 7"),
        ("7 6 R\n1 1 1\n0 0 0\n", "no tiles n × d and d × m have 6 and 4 entries"),
        ("7 4 R\n1 1 1\n0 0 0\n", r"is not exact: Y\[0, 0\] has 1 times A\[0, 0\] B\[1, 1\]"),
    ],
)
def test_bad_sparse_files(text: str, message: str, tmp_path: Path) -> None:
    scheme = schemes.strassen()
    path = write_triple(tmp_path, scheme.encode_a, scheme.encode_b, scheme.decode)
    path.write_text(text)
    with pytest.raises(ValueError, match=f"some_L.sms.*{message}"):
        BilinearScheme.read(path)


GOOD: dict[str, Any] = {
    "u": schemes.strassen().encode_a.astype(int).tolist(),
    "v": schemes.strassen().encode_b.astype(int).tolist(),
    "w": schemes.strassen().decode.T.astype(int).tolist(),
}


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"u": GOOD["u"]}, "there is no v, w"),
        ([GOOD["u"], GOOD["v"]], "three factors are expected"),
        ("a text", "three factors are expected"),
        (GOOD | {"z2": True}, "modulo 2"),
        (GOOD | {"n": [2, 2]}, "three sizes"),
        (GOOD | {"n": [2, 2, "x"]}, "no index"),
        (GOOD | {"n": [2, 2, 0]}, "three sizes above 0"),
        (GOOD | {"n": [2, 2, 3]}, r"do not fit tiles 2 × 2 × 3"),
        (GOOD | {"n": [99999999, 2, 2]}, r"do not fit tiles 99999999 × 2 × 2"),
        (GOOD | {"u": 3}, "u: a list of rows"),
        (GOOD | {"u": []}, "u: a list of rows"),
        (GOOD | {"u": [[]]}, "u: a matrix 1 × 0 is no part"),
        (GOOD | {"u": [[1] * 300] * 300}, "u: a matrix 300 × 300 is no part"),
        (GOOD | {"u": [[1, 0, 0, 1], [1, 0]]}, r"u\[1\] has 2 numbers, and the rows before 4"),
        (GOOD | {"u": GOOD["u"][:-1]}, "no tiles n × d and d × m have 6 and 7 entries"),
        ([[[1, 0]], [[1, 0, 0]] * 2, [[1]]], "u, v and w must have .*, not be 1 × 2, 2 × 3, 1 × 1"),
        (GOOD | {"u": [["a", 0, 0, 0], *GOOD["u"][1:]]}, r"u\[0\]\[0\]: 'a' is no rational"),
        (GOOD | {"u": [[[1, 0], 0, 0, 0], *GOOD["u"][1:]]}, r"u\[0\]\[0\]: .* is no rational"),
        (GOOD | {"u": [[1e40, 0, 0, 0.5], *GOOD["u"][1:]]}, "not exact"),
        (GOOD | {"u": [[float("nan"), 0, 0, 0], *GOOD["u"][1:]]}, "'NaN' is no rational"),
        (GOOD | {"w": GOOD["w"][::-1]}, "is not exact: Y"),
    ],
)
def test_bad_json(held: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    path.write_text(json.dumps(held))
    with pytest.raises(ValueError, match=f"some.json.*{message}"):
        BilinearScheme.read(path)


def test_what_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    for text, message in (
        (json.dumps(GOOD, indent=1)[:40], r"some.json, line \d+: "),
        ("[" * 100000, "some.json.*nested too deep"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            BilinearScheme.read(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is no text"):
        BilinearScheme.read(path)


def test_numbers_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    fractions = [[f"1/{10**29 + 256 * i + k}" for k in range(256)] for i in range(20)]
    ones = [[1] * 256] * 20
    path.write_text(json.dumps([fractions, ones, ones]))
    with pytest.raises(ValueError, match=r"some\.json: the numbers have no common divisor of 1024"):
        BilinearScheme.read(path)
    path.write_bytes(b" " * (2**24 + 1))
    with pytest.raises(ValueError, match="larger than 16 MiB"):
        BilinearScheme.read(path)
    big = "1" + "0" * 29 + "e99"
    path.write_text(
        json.dumps([[[big], [big], [1]], [[big], [big], [1]], [[big], ["-" + big], [1]]])
    )
    with pytest.raises(ValueError, match=r"some\.json: a number is beyond the range of float32"):
        BilinearScheme.read(path)
    path.write_text("[[[1]], [[1]], [[1]]]")
    with pytest.raises(ValueError, match="shape must be three sizes"):
        BilinearScheme.read(path, shape=(1, 1))  # type: ignore[arg-type]


def test_bad_paths(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        BilinearScheme.read(tmp_path / "nowhere.json")
    with pytest.raises(TypeError, match="one path or three"):
        BilinearScheme.read("a", "b")
    with pytest.raises(ValueError, match="first file is named"):
        BilinearScheme.read(tmp_path / "some_R.sms")


def test_one_wrong_entry_is_found(tmp_path: Path) -> None:
    scheme = schemes.strassen()
    wrong = scheme.encode_b.copy()
    wrong[3, 2] = 2  # of M4 = A22 (B21 − B11), which is part of Y11 and Y21
    path = write_triple(tmp_path, scheme.encode_a, wrong, scheme.decode)
    message = r"Y\[0, 0\] has 1 times A\[1, 1\] B\[1, 0\], and should have 0"
    with pytest.raises(ValueError, match=message):
        BilinearScheme.read(path)


def test_large_numbers_are_checked_exactly(tmp_path: Path) -> None:
    """Numbers beyond float64's whole numbers: a scheme that is wrong by 1 in 10¹⁷ is refused."""
    scheme = schemes.strassen()
    big = 10**17
    a = scheme.encode_a.astype(int).astype(object)
    b = np.array([[Fraction(int(x)) for x in row] for row in scheme.encode_b])
    a[0], b[0] = a[0] * big, b[0] / big
    assert BilinearScheme.read(write_triple(tmp_path, a, b, scheme.decode)).is_exact
    a[0, 0] += 1
    with pytest.raises(ValueError, match="not exact"):
        BilinearScheme.read(write_triple(tmp_path, a, b, scheme.decode))
