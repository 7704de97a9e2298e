"""Schemes by name: small matrices multiplied with few multiplications, exactly or nearly so."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from maddjit.models.bilinear import BilinearScheme as BilinearScheme
from maddjit.models.scheme_starts import normalised as normalised
from maddjit.models.scheme_starts import polynomial as polynomial
from maddjit.models.scheme_starts import scaled_for_training as scaled_for_training

_FACTORS = Path(__file__).with_name("factors")


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
        with np.load(_FACTORS / "tile4.npz", allow_pickle=False) as factors:
            if f"encode_a_{rank}" in factors:
                arrays = (factors[f"{part}_{rank}"] for part in ("encode_a", "encode_b", "decode"))
                return BilinearScheme(f"generic-{rank}", (4, 4, 4), *arrays)
    ranks = {1: "1", 2: "7 or 8", 3: "23 or 27", 4: "from 16 to 49, or 64"}.get(tile, f"{tile**3}")
    raise ValueError(f"for tile={tile} the rank must be {ranks}, not {rank}")


@cache
def conditioned(rank: int, tile: int | tuple[int, int, int] = 4) -> BilinearScheme:
    """Return a scheme of a rank to train a layer from, whose products hardly cancel each other.

    Schemes of least error reach it by products that cancel each other, which is bad for training.
    These have an amplification of 2 at most, the exact ones excepted, at a larger error. They are
    `normalised`: encoder rows have norm 1 and decoder columns √(nm/r).

    Parameters
    ----------
    rank : int
        The number of multiplications: 4 to 8 for tiles of 2, 9 to 23 and 27 for 3, 16 to 49 and 64
        for 4, and for (2, 16, 2). Of these 7 (Strassen), 23 (Laderman), 49 for tiles of 4 (Strassen
        ⊗ Strassen) and n·d·m (plain) are exact.
    tile : int or (int, int, int)
        t for t × t × t tiles, or (n, d, m).

    Raises
    ------
    ValueError
        If there is no such scheme.

    Examples
    --------
    >>> generic(24)
    BilinearScheme('generic-24', 4 × 4 × 4, rank=24, error=0.472, amplification=28)
    >>> conditioned(24)
    BilinearScheme('conditioned-24', 4 × 4 × 4, rank=24, error=0.525, amplification=2)
    """
    n, d, m = shape = (tile, tile, tile) if isinstance(tile, int) else tile
    exact = {((2, 2, 2), 7): strassen, ((3, 3, 3), 23): laderman}
    if rank == n * d * m:
        return normalised(plain(n, d, m))
    if (shape, rank) in exact:
        return normalised(exact[shape, rank]())
    if (shape, rank) == ((4, 4, 4), 49):
        return normalised(generic(49))
    with np.load(_FACTORS / "conditioned.npz", allow_pickle=False) as factors:
        tiles = "x".join(map(str, shape))
        if f"{tiles}_{rank}" not in factors:
            ranks = sorted(int(n.split("_")[1]) for n in factors if n.startswith(f"{tiles}_"))
            known = f"from {ranks[0]} to {ranks[-1]}, an exact one, or" if ranks else ""
            raise ValueError(f"for tile={tile} the rank must be {known} {n * d * m}, not {rank}")
        parts = np.split(factors[f"{tiles}_{rank}"], [n * d, n * d + d * m], axis=1)
    return normalised(BilinearScheme(f"conditioned-{rank}", shape, parts[0], parts[1], parts[2].T))


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
