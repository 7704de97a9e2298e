"""The Strassen-Tile operators that `select` weighs: exact schemes first, then fitted ones."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from maddjit.compiler import llvm
from maddjit.compiler.signature import Precision
from maddjit.compiler.target import BFLOAT16, ENVIRONMENT_VARIABLE, resolve
from maddjit.learning.accuracy import AccuracyWarning
from maddjit.learning.strassen_tile.fit import fit_strassen_tile
from maddjit.models.strassen_tile import StrassenTileModel
from maddjit.operators.strassen_tile import TileOperator
from maddjit.pipeline import compile
from maddjit.selection.blas import one_thread
from maddjit.selection.candidates import Workshop

LEAST_SIZE = 64
"""D and M from which on encoding and decoding tiles can be worth their time."""
_EXACT_TILES = {"plain": 1, "strassen": 2, "strassen ⊗ strassen": 4}


@dataclass(frozen=True)
class TileSetting:
    """A Strassen-Tile operator to try: `rank` for tiles of `tile`, None for the exact scheme."""

    name: str
    tile: int
    rank: int | None
    precision: Precision

    def __str__(self) -> str:
        return f"tiles {self.name}{' bfloat16' * (self.precision == 'bfloat16')}"

    def operator(self, workshop: Workshop) -> tuple[TileOperator, StrassenTileModel]:
        """Fit and compile it."""
        rows = None if self.rank is None else workshop.rows
        with warnings.catch_warnings(), one_thread():
            warnings.simplefilter("ignore", AccuracyWarning)  # the budget judges
            model = fit_strassen_tile(
                workshop.B,
                self.rank,
                tile=self.tile,
                A_train=rows,
                bias=workshop.bias,
                random_state=workshop.random_state,
            )
        return compile(model, precision=self.precision, threads=workshop.threads), model


def precisions() -> tuple[Precision, ...]:
    """Return what this machine multiplies tiles in, at the level that it compiles for."""
    host = llvm.host()
    level = resolve(os.environ.get(ENVIRONMENT_VARIABLE) or None, host)
    has_bfloat16 = level.vector_bytes == 64 and BFLOAT16 in host.features
    return ("float32", "bfloat16") if has_bfloat16 else ("float32",)


def exact_settings() -> Iterator[TileSetting]:
    """Return schemes that are exact but for rounding, the plain product among them."""
    for precision in precisions():
        for name, tile in _EXACT_TILES.items():
            yield TileSetting(name, tile, None, precision)


def fitted_settings(ranks: tuple[int, ...], precision: Precision) -> list[TileSetting]:
    """Return tiles of 4 × 4 × 4 of ascending ranks."""
    return [TileSetting(f"r={rank}", 4, rank, precision) for rank in sorted(ranks)]
