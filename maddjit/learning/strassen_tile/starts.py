"""Schemes that a fit may start from: generic schemes, and products of sums of A's blocks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.strassen_tile import settings
from maddjit.models import schemes
from maddjit.models.schemes import BilinearScheme
from maddjit.models.strassen_tile import RowLayout

_NAMED: dict[str, Callable[[], BilinearScheme]] = {
    "plain": schemes.plain,
    "strassen": schemes.strassen,
    "winograd": schemes.winograd,
    "laderman": schemes.laderman,
}
"""The schemes that a name asks for."""

_EXACT_RANKS = {1: 1, 2: 7, 3: 23, 4: 49}
"""The rank of the exact scheme for tiles of each size."""


def candidates_for(
    scheme: BilinearScheme | str | None,
    rank: int | None,
    tile: int,
    sizes: tuple[int, ...] | None,
    random_state: int,
    rows: RowLayout = "blocks",
) -> list[BilinearScheme]:
    """Return the schemes that a fit starts from, the one for white data first.

    `sizes` are those of B; without them there are no rows to fit to, and only one scheme is
    returned. `rows` tells which rows share a tile.

    Raises
    ------
    ValueError, TypeError
        If there is no such scheme, or it does not have that rank.
    """
    if scheme is not None:
        return [_given(scheme, rank)]
    if rank is None:
        if tile not in _EXACT_RANKS:
            raise ValueError(f"tile must be 1, 2, 3 or 4, not {tile}")
        rank = _EXACT_RANKS[tile]
    if sizes is None:
        return [schemes.generic(rank, tile)]
    found = starts(rank, tile, sizes, random_state, rows)
    return found[:1] if found[0].is_exact else found


def _given(scheme: BilinearScheme | str, rank: int | None) -> BilinearScheme:
    """Return the scheme that is given, or named, and has the given rank."""
    if isinstance(scheme, str):
        if scheme not in _NAMED:
            raise ValueError(f"scheme must be one of {', '.join(_NAMED)}, not {scheme!r}")
        scheme = _NAMED[scheme]()
    elif not isinstance(scheme, BilinearScheme):
        raise TypeError(f"scheme must be a BilinearScheme, not {type(scheme).__name__}")
    if rank not in (None, scheme.rank):
        raise ValueError(
            f"{scheme} is not of rank {rank}: leave out the rank or give another scheme"
        )
    return scheme


def starts(
    rank: int,
    tile: int,
    sizes: tuple[int, ...],
    random_state: int,
    rows: RowLayout = "blocks",
) -> list[BilinearScheme]:
    """Return the schemes of t × t × t tiles and a rank that are worth a try for B of these sizes.

    Where columns of A are correlated, sums of its t blocks of columns hold much of what the blocks
    hold. κ such sums take a scheme of t × κ × t tiles: the plain one (rank t² κ) or, for two sums
    and t = 4, Strassen ⊗ plain(2, 1, 2) (rank 28). V is then fitted to approximate A · B by a
    product of the sums.

    Sums of more and narrower blocks can hold more. So for t = 4 there are also 2 × 16 × 2 tiles,
    with two sums for each of Strassen's schemes, where B has enough rows for blocks of some width.

    Tokens are like their neighbours. So sums of a tile's rows hold much of what the rows hold, and
    there are products of these, too. The scheme for white data is one whose products hardly cancel
    each other, as it is for layers that train.

    Raises
    ------
    ValueError
        If there is no generic scheme and the rank is not from t² to t³.
    """
    found = []
    try:
        found.append(_for_white(rank, tile, rows))
    except ValueError:
        if not tile * tile <= rank <= tile**3:
            raise
    if (rank, tile) == (48, 4):
        found.append(_without_one())
    if rank >= tile * tile:
        ways = [False, True] if tile == 4 and rank >= 28 else [False]
        mixings = _mixings(tile, random_state)
        found += [summed(rank, mixing, by_strassen=way) for way in ways for mixing in mixings]
        if rows == "tokens":
            found += [turned(summed(rank, _slow_first(tile), by_strassen=way)) for way in ways]
        if tile == 4 and sizes[0] >= settings.WIDE_BLOCKS * settings.LEAST_BLOCK_COLUMNS:
            found += [
                summed(rank, mixing, side=2, by_strassen=True)
                for mixing in _mixings(settings.WIDE_BLOCKS, random_state)
            ]
    return found


def _for_white(rank: int, tile: int, rows: RowLayout) -> BilinearScheme:
    """Return the scheme for white data: that of least error or, of tokens, a conditioned one."""
    is_exact = rank in (_EXACT_RANKS.get(tile), tile**3)
    if rows == "blocks" or is_exact:
        return schemes.generic(rank, tile)
    return schemes.conditioned(rank, tile)


def _slow_first(size: int) -> NDArray[np.float64]:
    """Return an orthogonal matrix whose rows change their sign ever more often: 0, 1, 2 … times.

    Its entries are ±1 if the size is a power of two, else cosines.
    """
    from scipy.linalg import hadamard

    if size & (size - 1):
        places = np.pi / size * (np.arange(size) + 0.5)
        cosines: NDArray[np.float64] = np.cos(np.arange(size)[:, np.newaxis] * places)
        return cosines
    rows: NDArray[np.float64] = hadamard(size).astype(np.float64)
    by_changes = np.count_nonzero(np.diff(rows, axis=1), axis=1).argsort()
    return np.asarray(rows[by_changes])


def turned(scheme: BilinearScheme) -> BilinearScheme:
    """Return the scheme of d × m × n tiles that has the roles of the three matrices in turn.

    Encoders of A and of B become those of Yᵀ and of A: what were sums of columns of A become sums
    of its rows.
    """
    n, d, m = scheme.shape

    def transposed(rows: NDArray[np.float32], first: int) -> NDArray[np.float32]:
        return rows.reshape(len(rows), first, -1).swapaxes(1, 2).reshape(len(rows), -1)

    return BilinearScheme(
        f"{scheme.name} of rows",
        (d, m, n),
        scheme.encode_b,
        transposed(scheme.decode.T, n),
        transposed(scheme.encode_a, n).T,
    )


def summed(
    rank: int, mixing: NDArray[np.float64], *, side: int | None = None, by_strassen: bool = False
) -> BilinearScheme:
    """Return the scheme of products of sums of blocks, one sum after the other for all outputs.

    Parameters
    ----------
    rank : int
    mixing : (d, d)
        Row c holds the coefficients of the c-th sum.
    side : int, optional
        n, which is m too; by default it is d.
    by_strassen : bool
        Whether pairs of sums take 7/8 of the multiplications, by Strassen's scheme, for as many
        pairs as the rank allows. n must be even then.
    """
    d = len(mixing)
    n = d if side is None else side
    inner = [schemes.plain(n, 1, n)] * d
    if by_strassen:
        half = n // 2
        pair = schemes.kronecker(schemes.strassen(), schemes.plain(half, 1, half))
        saved = 2 * n * n - pair.rank
        n_pairs = min(rank // pair.rank, d // 2, (d * n * n - rank) // saved)
        inner = [pair] * n_pairs + inner[2 * n_pairs :]
    rows_a, rows_b, columns = [], [], []
    first = 0
    for scheme in inner:
        sums = mixing[first : first + scheme.shape[1]]
        first += scheme.shape[1]
        a = scheme.encode_a.reshape(-1, n, len(sums)) @ sums
        b = sums.T / (sums**2).sum(axis=1) @ scheme.encode_b.reshape(-1, len(sums), n)
        rows_a.append(a.reshape(-1, n * d))
        rows_b.append(b.reshape(-1, d * n))
        columns.append(scheme.decode)
    return BilinearScheme(
        f"sums-{rank}" + (f"-of-{d}" if d != n else "") + ("-strassen" if by_strassen else ""),
        (n, d, n),
        np.concatenate(rows_a)[:rank].astype(np.float32),
        np.concatenate(rows_b)[:rank].astype(np.float32),
        np.concatenate(columns, axis=1)[:, :rank],
    )


def _without_one() -> BilinearScheme:
    """Return Winograd ⊗ Winograd without its product for a single output, 1/64 of the tensor.

    The scheme is sparse, and its products cancel each other less than those of the generic scheme.
    """
    twice = schemes.kronecker(schemes.winograd(), schemes.winograd())
    single = int(np.count_nonzero(twice.decode, axis=0).argmin())
    return BilinearScheme(
        f"{twice.name} less one",
        twice.shape,
        np.delete(twice.encode_a, single, axis=0),
        np.delete(twice.encode_b, single, axis=0),
        np.delete(twice.decode, single, axis=1),
    )


def _mixings(size: int, random_state: int) -> list[NDArray[np.float64]]:
    """Return orthogonal matrices: one at random, after one of ±1 if the size is a power of two."""
    from scipy.linalg import hadamard

    rng = np.random.default_rng(random_state)
    drawn = np.linalg.qr(rng.standard_normal((size, size)))[0]
    return [drawn] if size & (size - 1) else [hadamard(size).astype(np.float64), drawn]
