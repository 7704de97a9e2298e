"""Which rows share a tile of a Strassen-Tile layer: neighbouring tokens, or patches of a grid."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

is_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)
"""Tells whether torch.export is at work; in older versions whether anything compiles."""

Grid = tuple[int, int] | None
"""Height and width of a grid of patches; None for tokens that have no grid."""


def length_of(shape: Any, n_features: int, grid: Grid) -> int:
    """Return the length of the sequences (…, T, D) of a shape, which is 1 for one row (D,).

    Raises
    ------
    ValueError
        If rows have another size, or sequences are too short for the grid.
    """
    if len(shape) < 1 or shape[-1] != n_features:
        raise ValueError(f"the input must have shape (…, {n_features}), not {tuple(shape)}")
    length: int = shape[-2] if len(shape) > 1 else 1
    if grid is not None and length < math.prod(grid):
        raise ValueError(
            f"a sequence must have the patches of a grid of {grid[0]} × {grid[1]}, "
            f"and may have tokens before them; it has {length}"
        )
    return length


def padded(x: Any, *sizes: int) -> Any:
    """Return x with zeros behind its last dimensions, given as the last one's number of them first.

    Nothing is copied if there are none, but in code that is compiled for other lengths as well.
    """
    if not torch.compiler.is_compiling() and not any(sizes):
        return x
    return functional.pad(x, [end for size in sizes for end in (0, size)])


def in_tiles(x: Any, n: int, grid: Grid) -> Any:
    """Return sequences (S, T, D) in the order of tiles: the n rows of a tile behind each other."""
    return _padded_to_tiles(x, n) if grid is None else _patches_in_tiles(x, n, grid)


def from_tiles(y: Any, n: int, grid: Grid, length: int) -> Any:
    """Return sequences (S, T, M) in their own order, from the order of tiles."""
    if grid is not None:
        return _patches_from_tiles(y, n, grid, length)
    if is_exporting():  # a slice would ask whether anything is cut, and hold for some lengths only
        return y.index_select(1, torch.arange(length, device=y.device))
    return y[:, :length]


def n_tiles(length: int, n: int, grid: Grid) -> int:
    """Return how many tiles a sequence of that length has."""
    if grid is None:
        return (length + n - 1) // n
    (height, width), (rows, columns) = grid, patch_of(n)
    extra = length - height * width
    return -(-extra // n) + -(-height // rows) * -(-width // columns)


def _padded_to_tiles(x: Any, n: int) -> Any:
    """Return sequences (…, T, D) with zeros behind each, so that n divides their length."""
    length = x.shape[-2]
    return padded(x, 0, (length + n - 1) // n * n - length)


def patch_of(n: int) -> tuple[int, int]:
    """Return the height and width of a tile of n patches, as square as may be and never higher.

    Examples
    --------
    >>> [patch_of(n) for n in (1, 2, 4, 6, 7)]
    [(1, 1), (1, 2), (2, 2), (2, 3), (1, 7)]
    """
    height = max(size for size in range(1, math.isqrt(n) + 1) if n % size == 0)
    return height, n // height


def _patches_in_tiles(x: Any, n: int, grid: tuple[int, int]) -> Any:
    """Return sequences (S, T, D) in another order: that of tiles of patches, with zeros in gaps.

    The last H · W of a sequence are the patches of a grid, row by row; tokens before them have
    tiles of their own, which come first. The grid gets zeros to the right and below.
    """
    (height, width), (rows, columns) = grid, patch_of(n)
    extra = x.shape[1] - height * width
    image = x[:, extra:].reshape(x.shape[0], height, width, x.shape[2])
    image = padded(image, 0, -width % columns, -height % rows)
    down, across = image.shape[1] // rows, image.shape[2] // columns
    tiles = image.reshape(x.shape[0], down, rows, across, columns, x.shape[2]).transpose(2, 3)
    tiles = tiles.reshape(x.shape[0], image.shape[1] * image.shape[2], x.shape[2])
    if not extra:
        return tiles
    return torch.cat([_padded_to_tiles(x[:, :extra], n), tiles], dim=1)


def _patches_from_tiles(y: Any, n: int, grid: tuple[int, int], length: int) -> Any:
    """Return sequences (S, T, M) in their own order, from the order of tiles of patches."""
    (height, width), (rows, columns) = grid, patch_of(n)
    extra = length - height * width
    down, across = -(-height // rows), -(-width // columns)
    tiles = y[:, extra + -extra % n :].reshape(y.shape[0], down, across, rows, columns, y.shape[2])
    image = tiles.transpose(2, 3).reshape(y.shape[0], down * rows, across * columns, y.shape[2])
    own = image[:, :height, :width].reshape(y.shape[0], height * width, y.shape[2])
    return own if not extra else torch.cat([y[:, :extra], own], dim=1)
