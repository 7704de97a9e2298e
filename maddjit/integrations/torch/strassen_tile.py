"""PyTorch layers that multiply by tiles in a learnable basis: Strassen-Tile, to be trained."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import nn

from maddjit.models.schemes import BilinearScheme
from maddjit.models.strassen_tile import StrassenTileModel, default_tile_rows

Init = Literal["scheme", "random", "strassen"]
"""How factors begin."""


class StrassenTileLinear(nn.Module):
    """A linear layer whose weight is multiplied in tiles, by r products in place of t³.

    Of n neighbouring tokens the features are cut into d blocks; encode makes r linear combinations
    of these n · d parts, each is multiplied by its own matrix, and decode makes the outputs of n
    tokens in m blocks from the r products (Ailon et al., arXiv 2503.12211).

    Parameters
    ----------
    in_features, out_features : int
        D and M.
    bias : bool
        Whether a bias is added.
    tile : int or (int, int, int)
        n, d and m; one number stands for all three.
    rank : int
        r, the number of products of a tile.
    init : {"scheme", "random", "strassen"}
        How the factors begin.

    Attributes
    ----------
    encode : (r, n · d) nn.Parameter
    values : (r, Dk, Mk) nn.Parameter
        The r matrices, with Dk = ⌈D/d⌉ and Mk = ⌈M/m⌉.
    decode : (n · m, r) nn.Parameter
    bias : (M,) nn.Parameter or None
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        tile: int | tuple[int, int, int] = 4,
        rank: int = 24,
        init: Init = "scheme",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features, self.rank, self.init = (
            in_features,
            out_features,
            rank,
            init,
        )
        self.tile = (tile, tile, tile) if isinstance(tile, int) else tile
        n, d, m = self.tile
        options = {"device": device, "dtype": dtype}
        rows, columns = -(-in_features // d), -(-out_features // m)
        self.encode = nn.Parameter(torch.empty(rank, n * d, **options))
        self.values = nn.Parameter(torch.empty(rank, rows, columns, **options))
        self.decode = nn.Parameter(torch.empty(n * m, rank, **options))
        self.bias = nn.Parameter(torch.empty(out_features, **options)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters, as `init` says."""
        n, d, _ = self.tile
        rows = self.values.shape[1]
        with torch.no_grad():
            nn.init.normal_(self.encode, std=1 / math.sqrt(n * d))
            nn.init.normal_(self.decode, std=1 / math.sqrt(self.rank))
            gain = math.sqrt(1 / 3)  # of nn.Linear, whose weights are uniform within ±1/√D
            nn.init.normal_(self.values, std=gain / math.sqrt(rows))
            if self.bias is not None:
                bound = 1 / math.sqrt(self.in_features)
                nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Any) -> Any:  # nn.Linear calls its argument so
        """Return outputs (…, T, M) for tokens (…, T, D) of sequences."""
        n, d, m = self.tile
        _, Dk, Mk = self.values.shape
        length = input.shape[-2]
        tiles = -(-length // n)
        x = nn.functional.pad(input, (0, d * Dk - self.in_features, 0, n * tiles - length))
        parts = x.reshape(-1, n * d, Dk)
        z = torch.matmul(self.encode, parts)
        u = torch.bmm(z.transpose(0, 1), self.values)
        y = torch.matmul(self.decode, u.transpose(0, 1))
        y = y.reshape(*input.shape[:-2], n * tiles, m * Mk)
        y = y[..., :length, : self.out_features]
        return y if self.bias is None else y + self.bias

    @property
    def fitted(self) -> StrassenTileModel:
        """The layer as a model, with its parameters as they are now."""
        arrays = [part.detach().float().cpu().numpy() for part in (self.encode, self.decode)]
        _, d, m = self.tile
        zeros = torch.zeros(self.rank, d * m).numpy()
        scheme = BilinearScheme("trained", self.tile, arrays[0], zeros, arrays[1])
        bias = torch.zeros(self.out_features) if self.bias is None else self.bias.detach()
        return StrassenTileModel(
            scheme,
            self.in_features,
            self.out_features,
            self.values.detach().float().cpu().numpy(),
            bias.float().cpu().numpy(),
            default_tile_rows(scheme, self.in_features),
            is_encoded=False,
            rows="tokens",
        )

    def extra_repr(self) -> str:
        """Return the sizes for the text of a model."""
        n, d, m = self.tile
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, tile={n} × {d} × {m}, rank={self.rank}"
        )
