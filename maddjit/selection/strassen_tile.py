"""The Strassen-Tile operators that `select` weighs: exact schemes first, then fitted ones."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from maddjit.arrays.formats import Precision
from maddjit.compiler import llvm
from maddjit.compiler.target import BFLOAT16, ENVIRONMENT_VARIABLE, resolve
from maddjit.learning.accuracy import AccuracyWarning
from maddjit.learning.strassen_tile.fit import fit_strassen_tile
from maddjit.models.strassen_tile import StrassenTileModel
from maddjit.operators.strassen_tile import TileOperator
from maddjit.pipeline import compile
from maddjit.selection import settings
from maddjit.selection.blas import one_thread
from maddjit.selection.field import Field
from maddjit.selection.inputs import Inputs

_EXACT_TILES = {"plain": 1, "strassen": 2, "strassen ⊗ strassen": 4}
"""The exact schemes that are tried, with their tiles."""


@dataclass(frozen=True)
class TileSetting:
    """A Strassen-Tile operator to try.

    Attributes
    ----------
    name : str
    tile : int
    rank : int or None
        None is the rank of the exact scheme.
    precision : {"float32", "bfloat16"}
    """

    name: str
    tile: int
    rank: int | None
    precision: Precision

    def __str__(self) -> str:
        return f"tiles {self.name}{' bfloat16' * (self.precision == 'bfloat16')}"

    def operator(self, inputs: Inputs) -> tuple[TileOperator, StrassenTileModel]:
        """Return the compiled operator and its model, fitted to rows if it is approximate."""
        rows = None if self.rank is None else inputs.rows
        with warnings.catch_warnings(), one_thread():
            warnings.simplefilter("ignore", AccuracyWarning)  # the budget judges
            model = fit_strassen_tile(
                inputs.B,
                self.rank,
                tile=self.tile,
                A_train=rows,
                bias=inputs.bias,
                random_state=inputs.random_state,
            )
        return compile(model, precision=self.precision, threads=inputs.threads), model


def precisions() -> tuple[Precision, ...]:
    """Return the precisions in which tiles are multiplied at the level that is compiled for."""
    host = llvm.host()
    level = resolve(os.environ.get(ENVIRONMENT_VARIABLE) or None, host)
    has_bfloat16 = level.may_have_bfloat16 and BFLOAT16 in host.features
    return ("float32", "bfloat16") if has_bfloat16 else ("float32",)


def exact_settings() -> Iterator[TileSetting]:
    """Yield schemes that are exact but for rounding, the plain product among them."""
    for precision in precisions():
        for name, tile in _EXACT_TILES.items():
            yield TileSetting(name, tile, None, precision)


def fitted_settings(ranks: tuple[int, ...], precision: Precision) -> list[TileSetting]:
    """Return fitted 4 × 4 × 4 tiles, by ascending ranks."""
    return [TileSetting(f"r={rank}", 4, rank, precision) for rank in sorted(ranks)]


def tiles_of(
    field: Field, shape: tuple[int, ...], ranks: Sequence[int]
) -> tuple[list[TileSetting], dict[str, list[TileSetting]]]:
    """Return the tiles to try: exact ones, and for each precision those to search among.

    Raises
    ------
    ValueError
        If there is no scheme of a rank.
    """
    for rank in ranks:
        if not 16 <= rank <= 48:
            raise ValueError(f"tile_ranks must be from 16 to 48, not {rank}")
    if min(shape) < settings.LEAST_TILED_SIZE:
        least = settings.LEAST_TILED_SIZE
        field.left_out["tiles"] = f"D and M must be {least} or more to be worth them"
        return [], {}
    found = {}
    for precision in precisions() if ranks else ():
        found[f"tiles {precision}"] = fitted_settings(tuple(ranks), precision)
    return list(exact_settings()), found
