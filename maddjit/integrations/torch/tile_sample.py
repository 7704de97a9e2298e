"""Watch layers that are going to multiply in tiles: sample whole tiles of neighbouring rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from maddjit.integrations.torch.rows import Watch

LEAST_HELD_OUT = 20
"""With fewer tiles none are held out."""

_HELD_OUT = 0.1
"""The share of tiles that are held out."""


class TileWatch(Watch):
    """A forward pre-hook that samples tiles: n rows of a sequence that will share them.

    Attributes
    ----------
    tiles : (S, n, D) float32
        A random sample. All tiles are equally likely to be in it. Rows behind the end of a sequence
        are zeros, as in the layer.
    is_real : (S, n) bool
        Which rows are not behind the end.
    order : StrassenTileLinear
        A layer that says which rows share tiles.
    may_be_flat : bool
        Whether a matrix (N, D) may be taken as one sequence.
    """

    def __init__(
        self,
        layer: Any,
        n_features: int,
        max_rows: int,
        rng: np.random.Generator,
        order: Any,
        may_be_flat: bool,
    ) -> None:
        n = order.tile[0]
        super().__init__(layer, n_features, max(1, max_rows // n), rng)
        self.order, self.may_be_flat = order, may_be_flat
        self.tiles: NDArray[np.float32] = np.empty((0, n, n_features), np.float32)
        self.is_real: NDArray[np.bool_] = np.empty((0, n), np.bool_)

    @property
    def n_rows(self) -> int:
        """The number of rows in the sample."""
        return int(self.is_real.sum())

    def sample(self, x: Any) -> None:
        """Add the tiles of sequences (…, T, D), or of images (…, H, W, D), to the sample."""
        n, D = self.order.tile[0], x.shape[-1]
        if isinstance(self.layer, nn.Conv2d):
            x = x.flatten(-3, -2)
        elif x.dim() < 3 and n > 1 and not self.may_be_flat:
            self.why_not = (
                "it is given rows (N, D), so that rows of a batch would share tiles; name it in "
                "full if they are one sequence"
            )
            return
        number, length = math.prod(x.shape[:-2]), x.shape[-2] if x.dim() > 1 else 1
        if not x.numel():
            return
        sequences = x.reshape(number, length, D).to("cpu", torch.float32)
        tiles = self._in_tiles(sequences).reshape(-1, n, D).numpy()
        is_real = self._in_tiles(torch.ones(number, length, 1)).reshape(-1, n).numpy() > 0
        least = self.draw(len(tiles), self.max_rows)
        self.tiles = np.concatenate([self.tiles, tiles])[least]
        self.is_real = np.concatenate([self.is_real, is_real])[least]

    def _in_tiles(self, x: Any) -> Any:
        """Return sequences (S, T, D) in the order of tiles."""
        if getattr(self.order, "grid", None) is not None:
            return self.order.to_tiles(x)
        return nn.functional.pad(x, (0, 0, 0, -x.shape[1] % self.order.tile[0]))

    def split(self, seed: int) -> tuple[Any, Any, Any]:
        """Return tiles to fit to, and tiles to measure on with which of their rows are real.

        Too few tiles are taken for both.
        """
        order = np.random.default_rng(seed).permutation(len(self.tiles))
        if len(order) < LEAST_HELD_OUT:
            return self.tiles, self.tiles, self.is_real
        held = max(1, round(_HELD_OUT * len(order)))
        kept, fitted = order[:held], order[held:]
        return self.tiles[fitted], self.tiles[kept], self.is_real[kept]


def error_on(made: Any, dense: Any, tiles: Any, is_real: Any) -> float:
    """Return the squared error of a layer over the variance of a dense layer's outputs."""
    x = torch.from_numpy(tiles).to(dense.weight.dtype)
    real = torch.from_numpy(is_real)
    with torch.no_grad():
        exact, found = dense(x)[real].double(), made(x)[real].double()
    variance = ((exact - exact.mean(0)) ** 2).sum().item()
    error = ((found - exact) ** 2).sum().item()
    return error / variance if variance else math.nan if error else 0.0
