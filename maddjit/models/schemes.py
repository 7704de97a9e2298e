"""Bilinear schemes: small matrices multiplied with few multiplications, exactly or nearly so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.models.records import fields_of, frozen_array, made_again

_FACTORS = Path(__file__).with_name("factors") / "tile4.npz"
_EXACT_IN_FLOAT64 = 2**53
"""Whole numbers below this are exact in float64."""


@dataclass(frozen=True, eq=False)
class BilinearScheme:
    """A scheme that multiplies tiles n × d and d × m with r multiplications, exactly or nearly so.

    ``vec(Y) = decode @ ((encode_a @ vec(X)) * (encode_b @ vec(W)))`` for Y ≈ X W, where vec takes a
    matrix row by row. Entries may be matrices themselves, as in Strassen's algorithm. All arrays
    are copied and made read-only.

    Attributes
    ----------
    name : str
        What messages and reports call the scheme.
    shape : (int, int, int)
        (n, d, m).
    encode_a : (r, n·d) float32
        Column i·d + k belongs to X[i, k].
    encode_b : (r, d·m) float32
        Column k·m + j belongs to W[k, j].
    decode : (n·m, r) float32
        Row i·m + j belongs to Y[i, j].

    Raises
    ------
    ValueError, TypeError
        If a size is not a whole number above 0, or an array has another shape or holds numbers that
        are not finite.

    Examples
    --------
    >>> strassen()
    BilinearScheme('strassen', 2 × 2 × 2, rank=7, exact)
    >>> kronecker(strassen(), plain(1, 3, 2)).shape
    (2, 6, 4)
    """

    name: str
    shape: tuple[int, int, int]
    encode_a: NDArray[np.float32]
    encode_b: NDArray[np.float32]
    decode: NDArray[np.float32]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a string, not {type(self.name).__name__}")
        shape = tuple(index(size) for size in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"shape must be three sizes (n, d, m) above 0, not {self.shape}")
        object.__setattr__(self, "shape", shape)
        n, d, m = shape
        rank = len(np.atleast_1d(self.encode_a))
        if rank < 1:
            raise ValueError("a scheme must have one multiplication or more")
        for name, wanted in (
            ("encode_a", (rank, n * d)),
            ("encode_b", (rank, d * m)),
            ("decode", (n * m, rank)),
        ):
            array = frozen_array(name, getattr(self, name), np.float32, wanted)
            if not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite")
            object.__setattr__(self, name, array)

    @property
    def rank(self) -> int:
        """The number of multiplications, r."""
        return len(self.encode_a)

    @property
    def saving(self) -> float:
        """The factor by which r is smaller than the plain product's n·d·m multiplications."""
        n, d, m = self.shape
        return n * d * m / self.rank

    @cached_property
    def is_exact(self) -> bool:
        """Whether the scheme gives the exact product of all tiles; decided without rounding errors.

        Σ_ρ encode_a[ρ, (i, k)] encode_b[ρ, (k', j)] decode[(i', j'), ρ] = [i = i'][k = k'][j = j'].
        """
        factors = self.encode_a, self.encode_b, self.decode.T
        wide = [factor.astype(np.float64) for factor in factors]
        difference = np.abs(_tensor(*wide) - _product_tensor(self.shape))
        magnitude = _tensor(*(np.abs(factor) for factor in wide)) + 1
        if (difference > (self.rank + 4) * 2.0**-52 * magnitude).any():
            return False
        whole, shifts = zip(*(_whole(factor) for factor in factors), strict=True)
        largest = self.rank * float(np.prod([abs(w).max() for w in whole], dtype=np.float64))
        kind: Any = np.float64 if largest < _EXACT_IN_FLOAT64 else object
        wanted = _product_tensor(self.shape).astype(int).astype(kind) * 2 ** sum(shifts)
        return bool((_tensor(*(w.astype(kind) for w in whole)) == wanted).all())

    @cached_property
    def error(self) -> float:
        """The relative squared error on white data, ‖T − T̂‖² / ‖T‖² for the product's tensor T."""
        factors = self.encode_a, self.encode_b, self.decode.T
        wanted = _product_tensor(self.shape)
        difference = _tensor(*(factor.astype(np.float64) for factor in factors)) - wanted
        return float((difference**2).sum() / (wanted**2).sum())

    def __reduce__(self) -> tuple[Any, ...]:
        return made_again, (BilinearScheme, fields_of(self))

    def __repr__(self) -> str:
        n, d, m = self.shape
        error = "exact" if self.is_exact else f"error={self.error:.3g}"
        return f"BilinearScheme({self.name!r}, {n} × {d} × {m}, rank={self.rank}, {error})"


def plain(n: int = 1, d: int = 1, m: int = 1) -> BilinearScheme:
    """Return the plain scheme: all n·d·m multiplications, ordered by i, then k, then j."""
    i, k, j = np.indices((n, d, m)).reshape(3, -1)
    eyes = [np.eye(size, dtype=np.float32) for size in (n * d, d * m, n * m)]
    encode_a, encode_b, decode = eyes[0][i * d + k], eyes[1][k * m + j], eyes[2][:, i * m + j]
    return BilinearScheme("plain", (n, d, m), encode_a, encode_b, decode)


@cache
def strassen() -> BilinearScheme:
    """Return Strassen's scheme for 2 × 2 × 2 tiles, of rank 7 (Strassen 1969)."""
    return _written(
        "strassen",
        2,
        """
        +11+22 +11+22
        +21+22 +11
        +11    +12-22
        +22    +21-11
        +11+12 +22
        +21-11 +11+12
        +12-22 +21+22
        """,
        "+1+4-5+7 +3+5 +2+4 +1-2+3+6",
    )


@cache
def winograd() -> BilinearScheme:
    """Return Winograd's variant of Strassen's scheme, of 15 additions if shared sums are reused."""
    return _written(
        "winograd",
        2,
        """
        +11          +11
        +12          +21
        +12-21-22+11 +22
        +22          +22-12+11-21
        +21+22       +12-11
        +21+22-11    +22-12+11
        +11-21       +22-12
        """,
        "+1+2 +1+6+5+3 +1+6+7-4 +1+6+7+5",
    )


@cache
def laderman() -> BilinearScheme:
    """Return Laderman's scheme for 3 × 3 × 3 tiles, of rank 23 (Laderman 1976)."""
    return _written(
        "laderman",
        3,
        """
        +11+12+13-21-22-32-33 +22
        +11-21                -12+22
        +22                   -11+12+21-22-23-31+33
        -11+21+22             +11-12+22
        +21+22                -11+12
        +11                   +11
        -11+31+32             +11-13+23
        -11+31                +13-23
        +31+32                -11+13
        +11+12+13-22-23-31-32 +23
        +32                   -11+13+21-22-23-31+32
        -13+32+33             +22+31-32
        +13-33                +22-32
        +13                   +31
        +32+33                -31+32
        -13+22+23             +23+31-33
        +13-23                +23-33
        +22+23                -31+33
        +12                   +21
        +23                   +32
        +21                   +13
        +31                   +12
        +33                   +33
        """,
        "+6+14+19 +1+4+5+6+12+14+15 +6+7+9+10+14+16+18 +2+3+4+6+14+16+17 +2+4+5+6+20 "
        "+14+16+17+18+21 +6+7+8+11+12+13+14 +12+13+14+15+22 +6+7+8+9+23",
    )


def kronecker(a: BilinearScheme, b: BilinearScheme) -> BilinearScheme:
    """Return the scheme that multiplies matrices by `a`, whose entries are tiles multiplied by `b`.

    Its tiles are (n_a n_b) × (d_a d_b) × (m_a m_b). Its index i is i_a n_b + i_b; k, j and the
    index of multiplications, ρ = ρ_a r_b + ρ_b, are composed likewise.
    """
    (n_a, d_a, m_a), (n_b, d_b, m_b) = a.shape, b.shape

    def nested(left: Any, right: Any, of_a: tuple[int, int], of_b: tuple[int, int]) -> Any:
        """Return the Kronecker product of two factors, each (r, rows · columns)."""
        both = np.einsum(
            "pik,qjl->pqijkl",
            left.astype(np.float64).reshape(-1, *of_a),
            right.astype(np.float64).reshape(-1, *of_b),
        )
        return both.reshape(a.rank * b.rank, -1)

    return BilinearScheme(
        f"{a.name} ⊗ {b.name}",
        (n_a * n_b, d_a * d_b, m_a * m_b),
        nested(a.encode_a, b.encode_a, (n_a, d_a), (n_b, d_b)),
        nested(a.encode_b, b.encode_b, (d_a, m_a), (d_b, m_b)),
        nested(a.decode.T, b.decode.T, (n_a, m_a), (n_b, m_b)).T,
    )


@cache
def generic(rank: int, tile: int = 4) -> BilinearScheme:
    """Return the best known scheme of a rank for t × t × t tiles of white data.

    Parameters
    ----------
    rank : int
        t³ gives the plain product. Other ranks are 7 for t = 2, 23 for t = 3, and 16 to 49 for
        t = 4, where 49 is exact: Strassen ⊗ Strassen.
    tile : int
        t, the number of rows and columns of a tile.

    Raises
    ------
    ValueError
        If there is no scheme of that rank.
    """
    if rank == tile**3:
        return plain(tile, tile, tile)
    if (rank, tile) == (7, 2):
        return strassen()
    if (rank, tile) == (23, 3):
        return laderman()
    if (rank, tile) == (49, 4):
        return kronecker(strassen(), strassen())
    if tile == 4:
        with np.load(_FACTORS, allow_pickle=False) as factors:
            if f"encode_a_{rank}" in factors:
                arrays = (factors[f"{part}_{rank}"] for part in ("encode_a", "encode_b", "decode"))
                return BilinearScheme(f"generic-{rank}", (4, 4, 4), *arrays)
    ranks = {1: "1", 2: "7 or 8", 3: "23 or 27", 4: "from 16 to 49, or 64"}.get(tile, f"{tile**3}")
    raise ValueError(f"for tile={tile} the rank must be {ranks}, not {rank}")


def _tensor(first: Any, second: Any, third: Any) -> Any:
    """Return the sum over ρ of the outer products of three rows, as (first · second, third)."""
    pairs = first[:, :, np.newaxis] * second[:, np.newaxis, :]
    return pairs.reshape(len(pairs), -1).T @ third


def _product_tensor(shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return the tensor of the exact product, in the shape of `_tensor`."""
    n, d, m = shape
    tensor = np.einsum("ac,kl,bd->aklbcd", np.eye(n), np.eye(d), np.eye(m))
    return np.ascontiguousarray(tensor).reshape(n * d * d * m, n * m)


def _whole(values: NDArray[np.float32]) -> tuple[NDArray[Any], int]:
    """Return whole numbers w, as objects, and the least s ≥ 0 with values = w / 2^s."""
    ratios = [float(value).as_integer_ratio() for value in values.ravel()]
    shift = max(below.bit_length() - 1 for _, below in ratios)
    whole = [above * (2**shift // below) for above, below in ratios]
    array = np.empty(len(whole), object)
    array[:] = whole
    return array.reshape(values.shape), shift


def _written(name: str, tile: int, products: str, outputs: str) -> BilinearScheme:
    """Return a scheme of square tiles, written as products of sums of signed entries "ik"."""
    lines = [line.split() for line in products.split("\n") if line.strip()]
    encode = np.zeros((2, len(lines), tile * tile), np.float32)
    for rho, sums in enumerate(lines):
        for side, terms in enumerate(sums):
            for sign, i, j in re.findall(r"([+-])(\d)(\d)", terms):
                encode[side, rho, (int(i) - 1) * tile + int(j) - 1] = int(f"{sign}1")
    decode = np.zeros((tile * tile, len(lines)), np.float32)
    for place, terms in enumerate(outputs.split()):
        for sign, product in re.findall(r"([+-])(\d+)", terms):
            decode[place, int(product) - 1] = int(f"{sign}1")
    return BilinearScheme(name, (tile, tile, tile), encode[0], encode[1], decode)
