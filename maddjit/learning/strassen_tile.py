"""`fit_strassen_tile`: from B, and rows to fit to, to a model of a bilinear tile operator."""

from __future__ import annotations

from collections.abc import Callable
from operator import index

import numpy as np
from numpy.typing import ArrayLike

from maddjit import schemes
from maddjit.checks import as_bias, as_training_matrix
from maddjit.schemes import BilinearScheme
from maddjit.tile_models import StrassenTileModel, default_tile_rows
from maddjit.tile_reference import encode_right

_NAMED: dict[str, Callable[[], BilinearScheme]] = {
    "plain": schemes.plain,
    "strassen": schemes.strassen,
    "winograd": schemes.winograd,
    "laderman": schemes.laderman,
}
_EXACT_RANKS = {1: 1, 2: 7, 3: 23, 4: 49}


def fit_strassen_tile(
    B: ArrayLike,
    rank: int | None = None,
    *,
    tile: int = 4,
    bias: ArrayLike | None = None,
    scheme: BilinearScheme | str | None = None,
    tile_rows: int | None = None,
) -> StrassenTileModel:
    """Multiply by B with fewer multiplications, by tiles.

    Parameters
    ----------
    B : (D, M) array_like
        The fixed right-hand side.

    Returns
    -------
    StrassenTileModel
    """
    right = as_training_matrix("B", B)
    added = as_bias(bias, right.shape[1])
    chosen = _scheme(scheme, rank, index(tile))
    rows = default_tile_rows(chosen, len(right)) if tile_rows is None else tile_rows
    n_features, n_outputs = right.shape
    values = encode_right(chosen, right).astype(np.float32)
    return StrassenTileModel(
        chosen, n_features, n_outputs, values, added.astype(np.float32), rows, is_encoded=True
    )


def _scheme(scheme: BilinearScheme | str | None, rank: int | None, tile: int) -> BilinearScheme:
    if isinstance(scheme, str):
        if scheme not in _NAMED:
            raise ValueError(f"scheme must be one of {', '.join(_NAMED)}, not {scheme!r}")
        return _NAMED[scheme]()
    if scheme is not None:
        return scheme
    if rank is None and tile not in _EXACT_RANKS:
        raise ValueError(f"tile must be 1, 2, 3 or 4, not {tile}")
    return schemes.generic(_EXACT_RANKS[tile] if rank is None else index(rank), tile)
