"""Watch layers that are going to multiply in tiles: sample neighbouring rows of sequences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from maddjit.integrations.torch.rows import Watch
from maddjit.integrations.torch.strassen_tile_rows import Grid, in_tiles

LEAST_HELD_OUT = 10
"""With fewer windows none are held out."""

_HELD_OUT = 0.1
"""The share of windows that are held out."""

_WINDOW = 64
"""Longer sequences are cut into windows of at least so many rows, which are sampled one by one."""


class TileWatch(Watch):
    """A forward pre-hook that samples windows: neighbouring rows of a sequence, in whole tiles.

    The rows of a grid are taken in the order of its tiles. Sequences of up to 64 rows are windows
    as they are.

    Attributes
    ----------
    windows : (S, L, D) float32
        A random sample. All windows are equally likely to be in it. The first sequence decides
        their length; rows that are missing in a shorter sequence are zeros, as in the layer.
    is_real : (S, L) bool
        Which rows are not missing.
    n : int
        The rows of a tile.
    grid : (int, int) or None
        Height and width of the grid that the last rows of a sequence are; images have their own.
    may_be_flat : bool
        Whether a matrix (N, D) may be taken as one sequence.
    """

    def __init__(
        self,
        layer: Any,
        n_features: int,
        max_rows: int,
        rng: np.random.Generator,
        n: int,
        grid: Grid,
        may_be_flat: bool,
    ) -> None:
        super().__init__(layer, n_features, max_rows, rng)
        self.n, self.grid, self.may_be_flat = n, grid, may_be_flat
        self.windows: NDArray[np.float32] = np.empty((0, 0, n_features), np.float32)
        self.is_real: NDArray[np.bool_] = np.empty((0, 0), np.bool_)

    @property
    def n_rows(self) -> int:
        """The number of rows in the sample."""
        return int(self.is_real.sum())

    def sample(self, x: Any) -> None:
        """Add the windows of sequences (…, T, D), or of images (…, H, W, D), to the sample."""
        grid = self.grid
        if isinstance(self.layer, nn.Conv2d):
            grid = x.shape[-3], x.shape[-2]
            x = x.flatten(-3, -2)
        elif x.dim() < 3 and self.n > 1 and not self.may_be_flat:
            self.why_not = (
                "it is given rows (N, D), so that rows of a batch would share tiles; name it in "
                "full if they are one sequence"
            )
        if self.why_not or not x.numel():
            return
        length = x.shape[-2] if x.dim() > 1 else 1
        sequences = x.reshape(-1, length, x.shape[-1]).to("cpu", torch.float32)
        is_real = torch.ones(len(sequences), length, 1)
        if grid is not None:
            sequences, is_real = (in_tiles(each, self.n, grid) for each in (sequences, is_real))
        if not len(self.windows):
            L = _window(sequences.shape[1], self.n)
            self.windows = np.empty((0, L, x.shape[-1]), np.float32)
            self.is_real = np.empty((0, L), np.bool_)
        L = self.windows.shape[1]
        windows, are_real = (_cut(each, L) for each in (sequences, is_real))
        least = self.draw(len(windows), max(1, self.max_rows // L))
        self.windows = np.concatenate([self.windows, windows])[least]
        self.is_real = np.concatenate([self.is_real, are_real[..., 0] > 0])[least]

    def split(self, seed: int) -> tuple[Any, Any, Any]:
        """Return windows to fit to, and others to measure on with which of their rows are real.

        Too few windows are taken for both.
        """
        order = np.random.default_rng(seed).permutation(len(self.windows))
        if len(order) < LEAST_HELD_OUT:
            return self.windows, self.windows, self.is_real
        held = max(1, round(_HELD_OUT * len(order)))
        kept, fitted = order[:held], order[held:]
        return self.windows[fitted], self.windows[kept], self.is_real[kept]


def _window(length: int, n: int) -> int:
    """Return how many rows a window has: all of a short sequence, else whole tiles.

    >>> [_window(length, 4) for length in (7, 64, 65, 197, 3136)]
    [7, 64, 64, 64, 64]
    """
    number = max(1, length // max(_WINDOW, n))
    return length if length <= _WINDOW else length // number // n * n or length


def _cut(sequences: Any, L: int) -> NDArray[np.float32]:
    """Return the windows (·, L, D) of sequences (S, T, D); a short one gets zeros behind it."""
    short = max(0, L - sequences.shape[1])
    whole = nn.functional.pad(sequences, (0, 0, 0, short))
    cut = whole[:, : whole.shape[1] // L * L]
    windows: NDArray[np.float32] = cut.reshape(-1, L, sequences.shape[2]).numpy()
    return windows


def error_on(made: Any, dense: Any, windows: Any, is_real: Any) -> float:
    """Return the squared error of a layer over the variance of a dense layer's outputs."""
    x = torch.from_numpy(windows).to(dense.weight.dtype)
    real = torch.from_numpy(is_real)
    with torch.no_grad():
        exact, found = dense(x)[real].double(), made(x)[real].double()
    variance = ((exact - exact.mean(0)) ** 2).sum().item()
    error = ((found - exact) ** 2).sum().item()
    return error / variance if variance else math.nan if error else 0.0
