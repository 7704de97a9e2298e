"""PyTorch layers that multiply by tiles in a learnable basis: Strassen-Tile, to be trained."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from maddjit.integrations.torch.strassen_tile_arguments import Rows, checked
from maddjit.integrations.torch.strassen_tile_product import (
    as_autocast,
    encoded_weight,
    tile_product,
)
from maddjit.integrations.torch.strassen_tile_rows import (
    padded,
    padded_to_tiles,
    patches_to_tiles,
    tiles_to_patches,
)
from maddjit.integrations.torch.strassen_tile_starts import Init, start_of
from maddjit.models.schemes import BilinearScheme
from maddjit.models.strassen_tile import StrassenTileModel, default_tile_rows


class StrassenTileLinear(nn.Module):
    """A linear layer that multiplies in tiles, by r products in place of n · d · m.

    Of n neighbouring rows the features are cut into d blocks; `encode` makes r linear combinations
    of these n · d parts, each is multiplied by a matrix of its own, and `decode` makes the outputs
    of n rows in m blocks from the r products (Ailon, Bercovich, Uffenheimer & Weinstein, Changing
    Base Without Losing Pace, arXiv 2503.12211). All three are learned. Its forward is plain
    PyTorch, on any device.

    Rows share tiles within their sequence (…, T, D), and never across sequences. **The outputs of
    a row depend on the other rows of its tile**, unless the factors are exact or n is 1. A matrix
    (N, D) is one sequence: give (N, 1, D) for rows that must not mix, or take n = 1.

    Parameters
    ----------
    in_features, out_features : int
        D and M. Blocks have Dk = ⌈D/d⌉ features and Mk = ⌈M/m⌉ outputs, with zeros behind the last.
    bias : bool
        Whether a bias is added.
    tile : int or (int, int, int)
        n, d and m; one number stands for all three.
    rank : int
        r, the number of products of a tile.
    init : {"scheme", "random", "strassen", "polynomial"}
        How parameters begin. "scheme": the factors of the best well-conditioned scheme of this
        rank, and the weight of an nn.Linear encoded by it. "random": all at random. "strassen":
        Strassen's exact factors as often as 2 divides the tile (rank 7 for tiles of 2, 49 for 4;
        Laderman's 23 for tiles of 3). Of a smaller rank it takes the products that together say
        most; of a larger one random products follow, which begin with values of 0. "polynomial":
        the factors of fast multiplication of polynomials. Always `encode` has rows of the norm 1,
        `decode` has columns of the norm √(n · m/r), and outputs have the variance of nn.Linear's.
    rows : {"tokens", "patches"}
        Which rows share a tile: n neighbours in the sequence, or a rectangle of n neighbours in a
        grid of patches, 2 × 2 for n = 4. Sequences, or the grid, get zeros to whole tiles.
    grid : (int, int), optional
        Height and width of the grid, for "patches". The last height · width tokens of a sequence
        are its patches, row by row. Tokens before them, such as a class token, have tiles of their
        own.
    causal : bool
        Whether a row must not see later ones. That needs n = 1, and else is refused.
    tied : bool
        Whether the r matrices are not parameters, but are encoded from a `weight` (M, D) in every
        call by a learned `encode_weight`. Freeze that one to keep to a scheme.
    recompute : bool
        Whether the products are computed again in the backward pass instead of being kept, which
        takes a third more time there, and no more memory for activations than nn.Linear.
    device, dtype
        As in nn.Linear.

    Attributes
    ----------
    encode : (r, n · d) nn.Parameter
    values : (r, Dk, Mk) nn.Parameter or None
        The r matrices; None if the layer is tied.
    weight : (M, D) nn.Parameter
        In tied layers alone.
    encode_weight : (r, d · m) nn.Parameter
        In tied layers alone.
    decode : (n · m, r) nn.Parameter
    bias : (M,) nn.Parameter or None

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of another type, or there is no scheme of this rank
        and tile to start from.

    Examples
    --------
    >>> layer = StrassenTileLinear(512, 1024, rank=24)
    >>> layer(torch.zeros(8, 50, 512)).shape
    torch.Size([8, 50, 1024])
    """

    _version = 1
    bias: Any
    values: Any

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        tile: int | tuple[int, int, int] = 4,
        rank: int = 24,
        init: Init = "scheme",
        rows: Rows = "tokens",
        grid: tuple[int, int] | None = None,
        causal: bool = False,
        tied: bool = False,
        recompute: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        own = checked(
            in_features,
            out_features,
            tile=tile,
            rank=rank,
            init=init,
            rows=rows,
            grid=grid,
            causal=causal,
            tied=tied,
            recompute=recompute,
        )
        self.in_features, self.out_features = own.in_features, own.out_features
        self.tile, self.rank, self.init = own.tile, own.rank, own.init
        self.rows, self.grid, self.causal = own.rows, own.grid, own.causal
        self.recompute = own.recompute
        self._hold(own.tied, bias, {"device": device, "dtype": dtype})
        self.reset_parameters()

    def _hold(self, tied: bool, bias: bool, options: dict[str, Any]) -> None:
        """Register empty parameters."""
        n, d, m = self.tile
        rows, columns = -(-self.in_features // d), -(-self.out_features // m)
        shapes: dict[str, Any] = {"encode": (self.rank, n * d), "decode": (n * m, self.rank)}
        if tied:
            self.register_parameter("values", None)
            shapes["weight"] = self.out_features, self.in_features
            shapes["encode_weight"] = self.rank, d * m
        else:
            shapes["values"] = self.rank, rows, columns
        if bias:
            shapes["bias"] = (self.out_features,)
        else:
            self.register_parameter("bias", None)
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape, **options)))

    @property
    def tied(self) -> bool:
        """Whether the r matrices are encoded from a weight in every call."""
        return self.values is None

    def reset_parameters(self) -> None:
        """Draw new parameters, as `init` says."""
        start = start_of(self.init, self.rank, self.tile)
        bound = 1 / math.sqrt(self.in_features)  # of nn.Linear, for its weight and bias
        with torch.no_grad():
            self.encode.copy_(torch.from_numpy(start.encode))
            self.decode.copy_(torch.from_numpy(start.decode))
            if self.bias is not None:
                self.bias.uniform_(-bound, bound)
            if self.tied:
                self.weight.uniform_(-bound, bound)
                self.encode_weight.copy_(torch.from_numpy(start.encode_weight))
            elif start.has_scheme:
                weight = self.values.new_empty(self.out_features, self.in_features)
                encode = self.values.new_tensor(start.encode_weight)
                drawn = weight.uniform_(-bound, bound)
                self.values.copy_(encoded_weight(drawn, encode, self.tile))
            else:
                self.values.normal_(std=1 / math.sqrt(3 * self.values.shape[1]))

    def encoded(self) -> Any:
        """Return the r matrices (r, Dk, Mk): the parameter `values`, or the encoded weight."""
        if self.values is not None:
            return self.values
        return encoded_weight(self.weight, self.encode_weight, self.tile)

    def to_tiles(self, x: Any) -> Any:
        """Return sequences (S, T, D) in the order of tiles: n rows of a tile behind each other."""
        n = self.tile[0]
        return padded_to_tiles(x, n) if self.grid is None else patches_to_tiles(x, n, self.grid)

    def from_tiles(self, y: Any, length: int) -> Any:
        """Return outputs (S, T, M) in the order of the sequences, from the order of tiles."""
        if self.grid is None:
            return y[:, :length]
        return tiles_to_patches(y, self.tile[0], self.grid, length)

    def forward(self, input: Any) -> Any:  # nn.Linear calls its argument so
        """Return outputs (…, T, M) for sequences (…, T, D), or (M,) for one row (D,)."""
        self._check_input(input)
        n, d, m = self.tile
        values = self.encoded()
        _, rows, columns = values.shape
        length = input.shape[-2] if input.dim() > 1 else 1
        number = math.prod(input.shape[:-2])
        x = self.to_tiles(input.reshape(number, length, self.in_features))
        x = padded(x, d * rows - self.in_features)
        x = x.reshape(number * (x.shape[1] // n), n * d, rows)
        factors = as_autocast(x, self.encode, values, self.decode, self._bias_of_tiles(columns))
        parts = tile_product(*factors, recompute=self.recompute)
        y = self.from_tiles(parts.reshape(number, -1 if number else 0, m * columns), length)
        return y[..., : self.out_features].reshape(*input.shape[:-1], self.out_features)

    def _bias_of_tiles(self, columns: int) -> Any:
        """Return the bias for each of the n · m parts of a tile's outputs."""
        if self.bias is None:
            return None
        n, _, m = self.tile
        bias = padded(self.bias, m * columns - self.out_features)
        return bias.reshape(m, columns).repeat(n, 1)

    def _check_input(self, input: Any) -> None:
        """Refuse rows of another width or type, and sequences that are shorter than the grid."""
        if input.dim() < 1 or input.shape[-1] != self.in_features:
            raise ValueError(
                f"the input must have shape (…, {self.in_features}), not {tuple(input.shape)}"
            )
        if self.grid is not None:
            patches = math.prod(self.grid)
            length = input.shape[-2] if input.dim() > 1 else 1
            if length < patches:
                raise ValueError(
                    f"a sequence must have the {patches} patches of its grid of "
                    f"{self.grid[0]} × {self.grid[1]}, and may have tokens before them; "
                    f"it has {length}"
                )

    @property
    def fitted(self) -> StrassenTileModel:
        """The layer as a model, with its parameters as they are now.

        It multiplies rows in the order of tiles: with "patches" those that `to_tiles` returns.
        """
        _, d, m = self.tile
        encode, values, decode = (
            part.detach().float().cpu().numpy()
            for part in (self.encode, self.encoded(), self.decode)
        )
        zeros = torch.zeros(self.rank, d * m).numpy()
        bias = torch.zeros(self.out_features) if self.bias is None else self.bias.detach()
        scheme = BilinearScheme("trained", self.tile, encode, zeros, decode)
        return StrassenTileModel(
            scheme,
            self.in_features,
            self.out_features,
            values,
            bias.float().cpu().numpy(),
            default_tile_rows(scheme, self.in_features),
            is_encoded=False,
            rows="tokens",
        )

    def extra_repr(self) -> str:
        """Return the sizes and options for the text of a model."""
        n, d, m = self.tile
        sizes = f"in_features={self.in_features}, out_features={self.out_features}"
        text = f"{sizes}, bias={self.bias is not None}, tile={n} × {d} × {m}, rank={self.rank}"
        if self.grid is not None:
            text += f", grid={self.grid[0]} × {self.grid[1]}"
        options = ("causal", "tied", "recompute")
        return text + "".join(f", {name}=True" for name in options if getattr(self, name))
