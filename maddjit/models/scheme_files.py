"""Schemes from files of public collections, checked in rational numbers: `.sms` triples and JSON.

Nothing is trusted: sizes are limited before anything is made of them, numbers have few digits, and
a scheme is only returned if it multiplies matrices exactly.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maddjit.models.scheme_check import Shape, first_wrong, whole_factors

MOST_ENTRIES, MOST_PRODUCTS = 256, 4096
"""Entries of a tile (16 × 16), and multiplications, at most."""
_MOST_BYTES = 2**24
_NUMBER = re.compile(r"[+-]?\d{1,30}(/\d{1,30}|(\.\d{1,30})?([eE][+-]?\d{1,2})?)")

Rationals = NDArray[Any]
"""A matrix of `Fraction`."""


class Factors(NamedTuple):
    """Three factors as a file has them: encoders (r, n·d) and (r, d·m), and outputs (r, n·m)."""

    a: Rationals
    b: Rationals
    c: Rationals


def read_factors(paths: Sequence[Path], shape: Shape | None) -> tuple[Shape, Factors]:
    """Return the shape and the factors of an exact scheme, outputs row by row, `with_unit_entries`.

    One path is that of a JSON file or of a triple's first file (``…_L.sms``), three are those of a
    triple: L, R and P.

    Raises
    ------
    ValueError
        If a file is not as its format says, sizes do not fit, or the scheme is not exact. The
        message names the file, and the line or the entry.
    """
    triple = _triple(paths)
    if triple is None:
        written, several = read_json(paths[0])
        where, shape = str(paths[0]), shape or written
    else:
        several = read_triple(triple)
        where = ", ".join(map(str, triple))
    wrong = ""
    for factors in several:
        try:
            found = shape or shape_of(factors)
            _check_sizes(factors, found)
            whole = whole_factors(factors)
        except ValueError as error:
            wrong = wrong or str(error)
            continue
        for change in (_as_they_are, _by_columns):
            message = first_wrong(whole._replace(c=change(whole.c, found)), found)
            if not message:
                return found, with_unit_entries(factors._replace(c=change(factors.c, found)))
            wrong = wrong or message
    raise ValueError(f"{where}: {wrong}")


def _as_they_are(c: NDArray[Any], shape: Shape) -> NDArray[Any]:
    return c


def _by_columns(c: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """Return outputs row by row, of outputs that are written column by column."""
    n, _, m = shape
    return c.reshape(-1, m, n).swapaxes(1, 2).reshape(-1, n * m)


def read_triple(paths: Sequence[Path]) -> list[Factors]:
    """Return the factors of three `.sms` files; P may be given transposed."""
    left, right, post = (read_sms(path) for path in paths)
    several = [Factors(left, right, c) for c in (post.T, post) if len(c) == len(left)]
    if len(right) != len(left) or not several:
        both = zip(paths, (left, right, post), strict=True)
        sizes = ", ".join(f"{len(factor)} × {factor.shape[1]} ({path})" for path, factor in both)
        raise ValueError(
            f"{paths[0]}: L, R and P must be r × n·d, r × d·m and n·m × r matrices, not {sizes}"
        )
    return several


def read_sms(path: Path) -> Rationals:
    """Return the matrix of a sparse file: ``rows columns R``, ``i j value`` …, ``0 0 0``.

    Indices begin with 1. Lines that begin with # are comments.
    """
    matrix: Rationals | None = None
    seen: set[tuple[int, int]] = set()
    ended = False
    for number, words in _lines(path):
        place = f"{path}, line {number}"
        if ended:
            raise ValueError(f"{place}: there is more after the end, 0 0 0")
        if len(words) != 3:
            raise ValueError(f"{place}: three words are expected, not {' '.join(words)[:60]!r}")
        i, j = (_index(word, place) for word in words[:2])
        if matrix is None:
            if words[2] not in ("R", "M"):
                raise ValueError(f"{place}: the kind of numbers must be R or M, not {words[2]!r}")
            most = MOST_ENTRIES, MOST_PRODUCTS
            if min(i, j) < 1 or min(i, j) > most[0] or max(i, j) > most[1]:
                raise ValueError(f"{place}: a matrix {i} × {j} is no part of a scheme of tiles")
            matrix = np.full((i, j), Fraction(0), dtype=object)
        elif (i, j) == (0, 0):
            ended = True
        elif not (1 <= i <= len(matrix) and 1 <= j <= matrix.shape[1]):
            rows, columns = matrix.shape
            raise ValueError(f"{place}: entry ({i}, {j}) is outside of a matrix {rows} × {columns}")
        elif (i, j) in seen:
            raise ValueError(f"{place}: entry ({i}, {j}) is given twice")
        else:
            seen.add((i, j))
            matrix[i - 1, j - 1] = _fraction(words[2], place)
    if matrix is None or not ended:
        raise ValueError(f"{path}: the file ends before its last line, 0 0 0")
    return matrix


def read_json(path: Path) -> tuple[Shape | None, list[Factors]]:
    """Return the shape, if the file says it, and the factors in the ways that they may be meant.

    A file holds ``{"n": [n, d, m], "u": …, "v": …, "w": …}``, where "n" may be left out and other
    keys are not looked at, or a list of the three factors. Numbers are whole, decimal, or strings
    such as "1/2". Factors have one row for each multiplication, or one column.
    """
    text = _text(path)
    try:
        held = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}") from None
    except RecursionError:
        raise ValueError(f"{path}: lists are nested too deep") from None
    shape: Shape | None = None
    if isinstance(held, dict):
        if held.get("z2") is True:
            raise ValueError(f"{path}: the scheme is one of numbers modulo 2 (z2)")
        if "n" in held:
            shape = _shape(held["n"], path)
        keys = {str(key).lower(): value for key, value in held.items()}
        missing = [key for key in "uvw" if key not in keys]
        if missing:
            raise ValueError(f"{path}: there is no {', '.join(missing)}")
        held = [keys[key] for key in "uvw"]
    if not isinstance(held, list) or len(held) != 3:
        raise ValueError(f"{path}: three factors are expected, u, v and w")
    u, v, w = (_matrix(rows, f"{path}, {name}") for rows, name in zip(held, "uvw", strict=True))
    several = []
    if len(u) == len(v) == len(w):
        several.append(Factors(u, v, w))
    if u.shape[1] == v.shape[1] == w.shape[1]:
        several.append(Factors(u.T, v.T, w.T))
    if not several:
        sizes = ", ".join(f"{len(f)} × {f.shape[1]}" for f in (u, v, w))
        raise ValueError(f"{path}: u, v and w must have a row for each product, not be {sizes}")
    return shape, several


def shape_of(factors: Factors) -> Shape:
    """Return (n, d, m), which follows from n·d, d·m and n·m."""
    nd, dm, nm = (factor.shape[1] for factor in factors)
    n, d, m = (math.isqrt(max(1, size)) for size in (nd * nm // dm, nd * dm // nm, dm * nm // nd))
    if (n * d, d * m, n * m) != (nd, dm, nm):
        raise ValueError(f"no tiles n × d and d × m have {nd} and {dm} entries, and {nm} outputs")
    return n, d, m


def with_unit_entries(factors: Factors) -> Factors:
    """Return the factors with most entries of `a` and `c` ±1, at the cost of `b`.

    `b` is encoded ahead, so that its numbers cost nothing, where others than ±1 in `a` and `c` cost
    products. Each row of `a` is also given the sign that makes most entries positive; of as many of
    both signs, the first.
    """
    of_a, of_c = ([_most_common(row) for row in factor] for factor in (factors.a, factors.c))
    signs = [_most_signs(row) for row in factors.a]
    of_a = [size * sign for size, sign in zip(of_a, signs, strict=True)]
    of_b = [a * c for a, c in zip(of_a, of_c, strict=True)]
    return Factors(
        _scaled(factors.a, [1 / size for size in of_a]),
        _scaled(factors.b, of_b),
        _scaled(factors.c, [1 / size for size in of_c]),
    )


def _scaled(factor: Rationals, sizes: Sequence[Fraction]) -> Rationals:
    """Return a factor with its rows times numbers; zeros, which are most, stay as they are."""
    scaled = factor.copy()
    rows, columns = np.nonzero(factor)
    scaled[rows, columns] = factor[rows, columns] * np.array(sizes, object)[rows]
    return scaled


def _most_common(row: Rationals) -> Fraction:
    """Return the size that most entries of a row have, the larger of two; 1 for zeros."""
    sizes = Counter(abs(x) for x in row if x)
    return max(sizes, key=lambda size: (sizes[size], size)) if sizes else Fraction(1)


def _most_signs(row: Rationals) -> int:
    """Return the sign that most entries of a row have, or the first one has; 1 for zeros."""
    signs = [1 if x > 0 else -1 for x in row if x]
    return (1 if sum(signs) > 0 else -1) if sum(signs) else (signs or [1])[0]


def _triple(paths: Sequence[Path]) -> Sequence[Path] | None:
    """Return the three files of a triple, None for a JSON file."""
    if len(paths) == 3:
        return paths
    if len(paths) != 1:
        raise TypeError(f"one path or three (L, R and P) are expected, not {len(paths)}")
    (path,) = paths
    if path.suffix != ".sms":
        return None
    if not path.stem.endswith("L"):
        raise ValueError(f"{path}: a triple's first file is named …L.sms; or give three paths")
    return [path.with_name(f"{path.stem[:-1]}{part}.sms") for part in "LRP"]


def _check_sizes(factors: Factors, shape: Shape) -> None:
    n, d, m = shape
    found = tuple(factor.shape[1] for factor in factors)
    if found != (n * d, d * m, n * m):
        raise ValueError(f"factors of {found} entries a product do not fit tiles {n} × {d} × {m}")
    if max(found) > MOST_ENTRIES or not 1 <= len(factors.a) <= MOST_PRODUCTS:
        raise ValueError(
            f"tiles may have {MOST_ENTRIES} entries and {MOST_PRODUCTS} multiplications at most, "
            f"not {max(found)} and {len(factors.a)}"
        )


def _text(path: Path) -> str:
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path}: the file is larger than {_MOST_BYTES >> 20} MiB")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: the file is no text") from None


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(_text(path).split("\n"), 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            yield number, words


def _index(word: str, place: str) -> int:
    if not re.fullmatch(r"\d{1,9}", word):
        raise ValueError(f"{place}: {word[:30]!r} is no index")
    return int(word)


def _fraction(word: Any, place: str) -> Fraction:
    if not isinstance(word, str) or not _NUMBER.fullmatch(word):
        raise ValueError(f"{place}: {str(word)[:60]!r} is no rational number")
    try:
        return Fraction(word)
    except ZeroDivisionError:
        raise ValueError(f"{place}: {word!r} divides by zero") from None


def _shape(held: Any, path: Path) -> Shape:
    if not isinstance(held, list) or len(held) != 3:
        raise ValueError(f'{path}: "n" must be the three sizes of tiles')
    n, d, m = (_index(size, f'{path}, "n"') if isinstance(size, str) else 0 for size in held)
    if min(n, d, m) < 1:
        raise ValueError(f'{path}: "n" must be three sizes above 0')
    return n, d, m


def _matrix(rows: Any, place: str) -> Rationals:
    """Return a matrix of fractions from lists of what JSON had."""
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
        raise ValueError(f"{place}: a list of rows is expected")
    width = len(rows[0])
    sizes = width, len(rows)
    if not width or min(sizes) > MOST_ENTRIES or max(sizes) > MOST_PRODUCTS:
        raise ValueError(f"{place}: a matrix {len(rows)} × {width} is no part of a scheme of tiles")
    matrix = np.empty((len(rows), width), object)
    for i, row in enumerate(rows):
        if len(row) != width:
            raise ValueError(f"{place}[{i}] has {len(row)} numbers, and the rows before {width}")
        for j, number in enumerate(row):
            matrix[i, j] = _fraction(number, f"{place}[{i}][{j}]")
    return matrix
