"""V and the bias in the order in which Strassen-Tile kernels read them: panel by panel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.formats import float32_to_bfloat16
from maddjit.compiler.workspace import aligned_zeros
from maddjit.models.strassen_tile import StrassenTileModel


def packed_values(
    values: NDArray[np.float32], n_columns: int, panel: int, is_bfloat16: bool
) -> NDArray[Any]:
    """Return V as [panel][ρ][k][column of the panel], read-only, beginning at a cache line.

    In bfloat16, two k lie side by side: V is [panel][ρ][pair of k][column of the panel][k].

    Parameters
    ----------
    values : (rank, columns of A in a block, outputs in a block) float32
        B as the scheme encodes it.
    n_columns : int
        The number of k, at least the columns that `values` has; the values of the others are zero.
    panel : int
        Columns of a panel; the last panel is filled up with zeros.
    is_bfloat16 : bool
        Whether to round to bfloat16, whose bits are returned as uint16.
    """
    rank, n_features, n_outputs = values.shape
    n_panels = -(-n_outputs // panel)
    every = np.zeros((rank, n_columns, n_panels * panel), np.float32)
    every[:, :n_features, :n_outputs] = values
    parts: NDArray[Any] = every.reshape(rank, n_columns, n_panels, panel).transpose(2, 0, 1, 3)
    if is_bfloat16:
        pairs = float32_to_bfloat16(parts).reshape(n_panels, rank, n_columns // 2, 2, panel)
        parts = pairs.swapaxes(3, 4)
    packed = aligned_zeros(parts.size, parts.dtype)
    packed.reshape(parts.shape)[...] = parts
    packed.flags.writeable = False
    return packed


def packed_bias(model: StrassenTileModel, panel: int) -> bytes:
    """Return the bias as [panel][column of a tile][column of the panel], filled up with zeros."""
    width, most = model.scheme.shape[2], model.values.shape[2]
    n_panels = -(-most // panel)
    every = np.zeros((width, n_panels * panel), "<f4")
    for j in range(width):
        own = model.bias[j * most : (j + 1) * most]
        every[j, : len(own)] = own
    return every.reshape(width, n_panels, panel).swapaxes(0, 1).tobytes()
