"""Arguments of Strassen-Tile layers, checked once: sizes, tile, rank, start and rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from maddjit.arrays.checks import as_whole
from maddjit.integrations.torch.strassen_tile_starts import Init, Tile

Rows = Literal["tokens", "patches"]
"""Which rows share a tile: neighbours of a sequence, or neighbours of a grid of patches."""


@dataclass(frozen=True)
class Arguments:
    """What a layer is made of, after the checks.

    Attributes
    ----------
    in_features, out_features : int
    tile : (int, int, int)
    rank : int
    init : str
    rows : str
    grid : (int, int) or None
    causal, tied, recompute : bool
    """

    in_features: int
    out_features: int
    tile: Tile
    rank: int
    init: Init
    rows: Rows = "tokens"
    grid: tuple[int, int] | None = None
    causal: bool = False
    tied: bool = False
    recompute: bool = False


def checked(
    in_features: Any,
    out_features: Any,
    *,
    tile: Any,
    rank: Any,
    init: Any,
    rows: Any = "tokens",
    grid: Any = None,
    **flags: Any,
) -> Arguments:
    """Return the arguments of a layer as a record.

    Raises
    ------
    ValueError
        If a size is below 1, a name is unknown, a grid is missing or of no use, or a causal layer
        has tiles of several rows.
    TypeError
        If a size is not a whole number, or a flag not a bool.
    """
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise TypeError(f"{name} must be a bool, not {flag!r}")
    sizes = checked_sizes("tile", tile, 3)
    if init not in get_args(Init):
        raise ValueError(f"init must be one of {', '.join(get_args(Init))}, not {init!r}")
    if rows not in get_args(Rows):
        raise ValueError(f'rows must be "tokens" or "patches", not {rows!r}')
    if (rows == "patches") != (grid is not None):
        raise ValueError('a grid (height, width) belongs to rows="patches", and to nothing else')
    if flags.get("causal") and sizes[0] > 1:
        raise ValueError(
            f"causal=True needs tiles of one row, as tile=(1, {sizes[1]}, {sizes[2]}): tiles hold "
            f"{sizes[0]} rows, so a token would see later ones"
        )
    return Arguments(
        _size("the number of inputs", in_features),
        _size("the number of outputs", out_features),
        sizes,
        _size("rank", rank),
        init,
        rows,
        None if grid is None else checked_sizes("grid", grid, 2),
        **flags,
    )


def checked_sizes(name: str, value: Any, number: int) -> Any:
    """Return so many sizes above 0 as a tuple; a whole number stands for equal ones.

    Raises
    ------
    ValueError, TypeError
        If one is not above 0 or not a whole number, or their number differs.
    """
    values = tuple(value) if isinstance(value, tuple | list) else (value,) * number
    if len(values) != number:
        raise ValueError(f"{name} must be {number} whole numbers, not {value!r}")
    return tuple(_size(name, size) for size in values)


def _size(name: str, value: Any) -> int:
    size = as_whole(name, value)
    if isinstance(value, bool) or size < 1:
        raise ValueError(f"{name} must be above 0, not {value!r}")
    return size
