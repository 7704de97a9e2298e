"""Schemes that a fit may start from: generic ones, and products of sums of A's blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maddjit import schemes
from maddjit.schemes import BilinearScheme


def starts(rank: int, tile: int, random_state: int) -> list[BilinearScheme]:
    """Return the schemes of t × t × t tiles and that rank which are worth a try.

    Where columns of A are correlated, sums of its t blocks of columns say much of what the blocks
    say: κ such sums take a scheme of t × κ × t tiles, by the definition (rank t² κ) or, for two
    sums and t = 4, by Strassen ⊗ plain(2, 1, 2) (rank 28). V is then fitted to what a product of
    the sums can say of A · B.

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
    if rank >= tile * tile:
        mixings = _mixings(tile, random_state)
        found += [summed(rank, mixing, by_strassen=False) for mixing in mixings]
        if tile == 4 and rank >= 28:
            found += [summed(rank, mixing, by_strassen=True) for mixing in mixings]
    return found


def summed(rank: int, mixing: NDArray[np.float64], by_strassen: bool) -> BilinearScheme:
    """Return products of sums of blocks: the first sum for all outputs, then the next one.

    Parameters
    ----------
    rank : int
    mixing : (t, t)
        Row c holds the coefficients of sum c.
    by_strassen : bool
        Whether the first two are multiplied by 28 multiplications (t = 4).
    """
    t = len(mixing)
    inner = [schemes.plain(t, 1, t)] * t
    if by_strassen:
        inner[:2] = [schemes.kronecker(schemes.strassen(), schemes.plain(2, 1, 2))]
    rows_a, rows_b, columns = [], [], []
    first = 0
    for scheme in inner:
        sums = mixing[first : first + scheme.shape[1]]
        first += scheme.shape[1]
        a = scheme.encode_a.reshape(-1, t, len(sums)) @ sums
        b = sums.T / (sums**2).sum(axis=1) @ scheme.encode_b.reshape(-1, len(sums), t)
        rows_a.append(a.reshape(-1, t * t))
        rows_b.append(b.reshape(-1, t * t))
        columns.append(scheme.decode)
    return BilinearScheme(
        f"sums-{rank}" + ("-strassen" if by_strassen else ""),
        (t, t, t),
        np.concatenate(rows_a)[:rank].astype(np.float32),
        np.concatenate(rows_b)[:rank].astype(np.float32),
        np.concatenate(columns, axis=1)[:, :rank],
    )


def _mixings(tile: int, random_state: int) -> list[NDArray[np.float64]]:
    """Return a few orthogonal (t, t): one of ±1 if there is such, one at random."""
    from scipy.linalg import hadamard

    rng = np.random.default_rng(random_state)
    drawn = np.linalg.qr(rng.standard_normal((tile, tile)))[0]
    return [drawn] if tile & (tile - 1) else [hadamard(tile).astype(np.float64), drawn]
