"""Which rows share a tile of a Strassen-Tile layer: neighbouring tokens, or patches of a grid."""

from __future__ import annotations

import math
from typing import Any

from torch import cat
from torch.nn import functional


def padded_to_tiles(x: Any, n: int) -> Any:
    """Return sequences (…, T, D) with zeros behind each, so that n divides their length."""
    return functional.pad(x, (0, 0, 0, -x.shape[-2] % n))


def patch_of(n: int) -> tuple[int, int]:
    """Return the height and width of a tile of n patches, as square as may be and never higher.

    Examples
    --------
    >>> [patch_of(n) for n in (1, 2, 4, 6, 7)]
    [(1, 1), (1, 2), (2, 2), (2, 3), (1, 7)]
    """
    height = max(size for size in range(1, math.isqrt(n) + 1) if n % size == 0)
    return height, n // height


def patches_to_tiles(x: Any, n: int, grid: tuple[int, int]) -> Any:
    """Return sequences (S, T, D) in another order: that of tiles of patches, with zeros in gaps.

    The last H · W of a sequence are the patches of a grid, row by row; tokens before them have
    tiles of their own, which come first. The grid gets zeros to the right and below.
    """
    (height, width), (rows, columns) = grid, patch_of(n)
    extra = x.shape[1] - height * width
    image = x[:, extra:].reshape(len(x), height, width, x.shape[2])
    image = functional.pad(image, (0, 0, 0, -width % columns, 0, -height % rows))
    across = image.shape[2] // columns
    tiles = image.reshape(len(x), -1, rows, across, columns, x.shape[2]).transpose(2, 3)
    tiles = tiles.reshape(len(x), image.shape[1] * image.shape[2], x.shape[2])
    if not extra:
        return tiles
    return cat([padded_to_tiles(x[:, :extra], n), tiles], dim=1)


def tiles_to_patches(y: Any, n: int, grid: tuple[int, int], length: int) -> Any:
    """Return sequences (S, T, M) in their own order, from the order of tiles of patches."""
    (height, width), (rows, columns) = grid, patch_of(n)
    extra = length - height * width
    down, across = -(-height // rows), -(-width // columns)
    tiles = y[:, extra + -extra % n :].reshape(len(y), down, across, rows, columns, y.shape[2])
    image = tiles.transpose(2, 3).reshape(len(y), down * rows, across * columns, y.shape[2])
    own = image[:, :height, :width].reshape(len(y), height * width, y.shape[2])
    return own if not extra else cat([y[:, :extra], own], dim=1)
