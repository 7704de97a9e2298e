"""Start values of Strassen-Tile layers: factors of schemes or random ones, scaled for training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from maddjit.models import schemes
from maddjit.models.schemes import BilinearScheme

Init = Literal["scheme", "random", "strassen", "polynomial"]
"""How factors begin."""

Tile = tuple[int, int, int]
"""n rows, d blocks of features and m blocks of outputs."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Start:
    """The factors that a layer starts from.

    Attributes
    ----------
    encode : (r, n · d) float64
        Rows have the norm 1.
    encode_weight : (r, d · m) float64
        The encoder of the weight.
    decode : (n · m, r) float64
        Columns have the norm √(n · m/r).
    has_scheme : bool
        Whether the three belong together. If not, the encoded weight may be drawn by itself.
    """

    encode: Floats
    encode_weight: Floats
    decode: Floats
    has_scheme: bool = True


def start_of(init: Init, rank: int, tile: Tile) -> Start:
    """Return the factors that a layer starts from, drawn by PyTorch's generator where at random.

    A layer's outputs have the variance of nn.Linear's, in the mean of a tile, for rows that are
    white and a weight drawn as nn.Linear draws it. For independent rows of unit variance and
    weights of variance σ², a scheme of the tensor T̂ gives outputs of the variance
    Dk σ² ‖T̂‖² / (n · m), and an exact scheme, whose ‖T‖² is n · d · m, gives D σ².
    So `encode_weight` is multiplied by √(n · d · m) / ‖T̂‖.

    Raises
    ------
    ValueError
        If there is no scheme of this rank and tile.
    """
    if init == "random":
        return _random(rank, tile)
    try:
        scheme = scheme_of(init, rank, tile)
    except ValueError as error:
        raise ValueError(f'init="{init}": {error}; init="random" takes any') from error
    start = scaled(scheme)
    first, second, third = start.encode, start.encode_weight, start.decode.T
    gram = (first @ first.T) * (second @ second.T) * (third @ third.T)
    start = replace(start, encode_weight=np.sqrt(np.prod(tile) / gram.sum()) * second)
    return start if len(first) == rank else _widened(start, rank, tile)


@cache
def scheme_of(init: Init, rank: int, tile: Tile) -> BilinearScheme:
    """Return the scheme that a start is made of; of "strassen" it may have fewer products.

    Raises
    ------
    ValueError
        If there is no scheme of this rank and tile.
    """
    return _SCHEMES[init](rank, tile)


def scaled(scheme: BilinearScheme) -> Start:
    """Return a scheme's factors with rows and columns of equal norm; the tensor stays the same."""
    rows, columns = norms_of(scheme)
    return Start(
        scheme.encode_a.astype(np.float64) / rows[:, np.newaxis],
        scheme.encode_b.astype(np.float64) * (rows * columns)[:, np.newaxis],
        scheme.decode.astype(np.float64) / columns,
    )


def norms_of(scheme: BilinearScheme) -> tuple[Floats, Floats]:
    """Return what to divide rows of `encode_a`, and columns of `decode`, by.

    Rows get the norm 1 and columns √(n · m/r). An exact scheme is scaled by powers of 2, so that it
    stays exact, and its norms are within √2 of these.
    """
    n, _, m = scheme.shape
    rows = np.linalg.norm(scheme.encode_a.astype(np.float64), axis=1)
    columns = np.linalg.norm(scheme.decode.astype(np.float64), axis=0)
    columns = columns / np.sqrt(n * m / scheme.rank)
    rows, columns = (np.where(norms > 0, norms, 1) for norms in (rows, columns))
    if scheme.is_exact:
        rows, columns = (2 ** np.rint(np.log2(norms)) for norms in (rows, columns))
    return rows, columns


def _random(rank: int, tile: Tile) -> Start:
    """Return random factors, whose encoded weights have the variance d times that of weights."""
    n, d, m = tile
    return Start(
        _directions(rank, n * d),
        np.sqrt(d) * _directions(rank, d * m),
        np.sqrt(n * m / rank) * _directions(rank, n * m).T,
        has_scheme=False,
    )


def _directions(number: int, size: int) -> Floats:
    """Return random vectors of the norm 1, one a row."""
    drawn = torch.randn(number, size, dtype=torch.float64, device="cpu").numpy()
    directions: Floats = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return directions


def _widened(start: Start, rank: int, tile: Tile) -> Start:
    """Return a start with random products behind its own, which begin with an encoded weight of 0.

    The layer computes the same, and learning gives the new products something to do.
    """
    n, d, m = tile
    more = rank - len(start.encode)
    columns = np.sqrt(n * m / rank) * _directions(more, n * m).T
    return Start(
        np.concatenate([start.encode, _directions(more, n * d)]),
        np.concatenate([start.encode_weight, np.zeros((more, d * m))]),
        np.concatenate([start.decode, columns], axis=1),
    )


def exact_scheme(tile: Tile) -> BilinearScheme:
    """Return the exact scheme made of Strassen's as often as 2 divides all sizes of the tile.

    What is left is multiplied in the plain way; 3 × 3 × 3 by Laderman's scheme.

    Examples
    --------
    >>> [exact_scheme(tile).rank for tile in ((2, 2, 2), (4, 4, 4), (3, 3, 3), (2, 4, 2))]
    [7, 49, 23, 14]
    """
    if tile == (3, 3, 3):
        return schemes.laderman()
    if any(size % 2 for size in tile):
        return schemes.plain(*tile)
    n, d, m = (size // 2 for size in tile)
    rest = exact_scheme((n, d, m))
    return schemes.strassen() if rest.rank == 1 else schemes.kronecker(schemes.strassen(), rest)


def _strassen(rank: int, tile: Tile) -> BilinearScheme:
    """Return the exact scheme, or those of its products that say most of the product together.

    Products are taken away one by one: each time the one whose loss costs the least squared error
    of the tensor, with the others weighted anew by least squares.
    """
    scheme = exact_scheme(tile)
    if rank >= scheme.rank:
        return scheme
    first, second, third = (
        part.astype(np.float64) for part in (scheme.encode_a, scheme.encode_b, scheme.decode.T)
    )
    gram = (first @ first.T) * (second @ second.T) * (third @ third.T)
    target = gram.sum(axis=1)  # of each product with the exact tensor, which is the sum of all
    kept = list(range(scheme.rank))
    while True:
        inverse = np.linalg.inv(gram[np.ix_(kept, kept)])
        weights = inverse @ target[kept]
        if len(kept) == rank:
            break
        del kept[int(np.argmin(weights**2 / np.diag(inverse)))]
    return BilinearScheme(
        f"{rank} products of {scheme.name}",
        tile,
        scheme.encode_a[kept],
        (second[kept] * weights[:, np.newaxis]).astype(np.float32),
        scheme.decode[:, kept],
    )


_SCHEMES: dict[str, Callable[[int, Tile], BilinearScheme]] = {
    "scheme": schemes.conditioned,
    "strassen": _strassen,
    "polynomial": schemes.polynomial,
}
