"""Schemes that a fit may start from: generic ones, and products of sums of A's blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maddjit.models import schemes
from maddjit.models.schemes import BilinearScheme

_WIDE = 16
"""Blocks of columns of the tiles 2 × 16 × 2, which have as many multiplications as 4 × 4 × 4."""
_LEAST = 16
"""Columns that a block must have: loops over fewer are slow."""


def starts(rank: int, tile: int, sizes: tuple[int, ...], random_state: int) -> list[BilinearScheme]:
    """Return the schemes of t × t × t tiles and that rank which are worth a try for B of `sizes`.

    Where columns of A are correlated, sums of its t blocks of columns say much of what the blocks
    say: κ such sums take a scheme of t × κ × t tiles, by the definition (rank t² κ) or, for two
    sums and t = 4, by Strassen ⊗ plain(2, 1, 2) (rank 28). V is then fitted to what a product of
    the sums can say of A · B.

    Sums of more and narrower blocks can say more: for t = 4 there are 2 × 16 × 2 tiles, too, with
    two sums by each of Strassen's schemes, where B has so many rows that blocks are not tiny.

    Raises
    ------
    ValueError
        If the rank is below t² and there is no generic scheme.
    """
    found = []
    try:
        found.append(schemes.generic(rank, tile))
    except ValueError:
        if not tile * tile <= rank <= tile**3:
            raise
    if (rank, tile) == (48, 4):
        found.append(_without_one())
    if rank >= tile * tile:
        mixings = _mixings(tile, random_state)
        found += [summed(rank, mixing) for mixing in mixings]
        if tile == 4 and rank >= 28:
            found += [summed(rank, mixing, by_strassen=True) for mixing in mixings]
        if tile == 4 and sizes[0] >= _WIDE * _LEAST:
            found += [
                summed(rank, mixing, side=2, by_strassen=True)
                for mixing in _mixings(_WIDE, random_state)
            ]
    return found


def summed(
    rank: int, mixing: NDArray[np.float64], *, side: int | None = None, by_strassen: bool = False
) -> BilinearScheme:
    """Return products of sums of blocks: the first sum for all outputs, then the next one.

    Parameters
    ----------
    rank : int
    mixing : (d, d)
        Row c holds the coefficients of sum c.
    side : int, optional
        n = m; d by default.
    by_strassen : bool
        Whether two sums at a time are multiplied by 7/8 of the multiplications, as often as the
        rank allows (n even).
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
    """Return Winograd ⊗ Winograd without its product for a single output: 1/64 of the tensor.

    It is sparse, and its products cancel each other less than those of the generic scheme.
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
    """Return a few orthogonal matrices: one of ±1 if there is such, one at random."""
    from scipy.linalg import hadamard

    rng = np.random.default_rng(random_state)
    drawn = np.linalg.qr(rng.standard_normal((size, size)))[0]
    return [drawn] if size & (size - 1) else [hadamard(size).astype(np.float64), drawn]
