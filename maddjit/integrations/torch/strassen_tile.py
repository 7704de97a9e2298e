"""PyTorch layers that multiply by tiles in a learnable basis: Strassen-Tile, to be trained."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from maddjit.integrations.torch.strassen_tile_arguments import Rows, checked
from maddjit.integrations.torch.strassen_tile_counts import TileMacs, tile_macs
from maddjit.integrations.torch.strassen_tile_layer import StrassenTileLayer
from maddjit.integrations.torch.strassen_tile_making import (
    check_source,
    dense_layer,
    encoded_parts,
    filled,
    fitted_parts,
    sequences,
)
from maddjit.integrations.torch.strassen_tile_rows import (
    from_tiles,
    in_tiles,
    length_of,
    n_tiles,
)
from maddjit.integrations.torch.strassen_tile_starts import Init, Tile, scheme_of
from maddjit.models.schemes import BilinearScheme


class StrassenTileLinear(StrassenTileLayer):
    """A linear layer that multiplies in tiles, by r products in place of n · d · m.

    Of n neighbouring rows the features are cut into d blocks; `encode` makes r linear combinations
    of these n · d parts, each is multiplied by a matrix of its own, and `decode` makes the outputs
    of n rows in m blocks from the r products (Ailon, Bercovich, Uffenheimer & Weinstein, Changing
    Base Without Losing Pace, arXiv 2503.12211). All three are learned. The layer is made of
    operations of PyTorch alone, on any device.

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
        How parameters begin. "scheme": the factors of a well-conditioned scheme of this rank, and
        the weight of an nn.Linear encoded by it. "random": all at random. "strassen": the exact
        factors of Strassen's scheme as often as 2 divides the tile (rank 7 for tiles of 2, 49 for
        4; Laderman's 23 for 3). A smaller rank takes the products that together say most; a larger
        one adds random products, whose matrices begin with 0. "polynomial": the factors of fast
        multiplication of polynomials. Rows of `encode` have the norm 1 and columns of `decode` the
        norm √(n · m/r), exact ones within √2 of it, and outputs have the variance of nn.Linear's.
    rows : {"tokens", "patches"}
        Which rows share a tile: n neighbours in the sequence, or a rectangle of n neighbours in a
        grid of patches, 2 × 2 for n = 4. Sequences, or the grid, get zeros to whole tiles.
    grid : (int, int), optional
        Height and width of the grid, for "patches". The last height · width tokens of a sequence
        are its patches, row by row. Tokens before them, such as a class token, have tiles of their
        own.
    causal : bool
        Whether a row must not see later ones. That needs n = 1, and is refused else.
    tied : bool
        Whether the r matrices are no parameters, but are encoded from a `weight` (M, D) in every
        call, by a learned `encode_weight`. Freeze that one to keep to a scheme.
    recompute : bool
        Whether the backward pass multiplies again instead of keeping the r products: it takes a
        third more time, and keeps no more than that of nn.Linear, but for the r matrices.
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
    >>> import torch
    >>> from maddjit.integrations.torch import StrassenTileLinear
    >>> layer = StrassenTileLinear(512, 1024, rank=24)
    >>> layer(torch.zeros(8, 50, 512)).shape
    torch.Size([8, 50, 1024])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        tile: int | Tile = 4,
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
        super().__init__(own, bias, {"device": device, "dtype": dtype})

    def forward(self, input: Any) -> Any:  # nn.Linear calls its argument so
        """Return outputs (…, T, M) for sequences (…, T, D), or (M,) for one row (D,)."""
        length = length_of(input.shape, self.in_features, self.grid)
        x = input.reshape(math.prod(input.shape[:-2]), length, self.in_features)
        return self.multiplied(x, self.grid).reshape(*input.shape[:-1], self.out_features)

    def to_tiles(self, x: Any) -> Any:
        """Return sequences (S, T, D) in the order of tiles: the n rows of one behind each other."""
        return in_tiles(x, self.tile[0], self.grid)

    def from_tiles(self, y: Any, length: int) -> Any:
        """Return outputs (S, T, M) in the order of the sequences, from the order of tiles."""
        return from_tiles(y, self.tile[0], self.grid, length)

    def macs(self, n_tokens: int, n_sequences: int = 1) -> TileMacs:
        """Return the multiply-adds for sequences of so many tokens, zeros behind them included.

        Examples
        --------
        >>> macs = StrassenTileLinear(1024, 1024, rank=24).macs(4096)
        >>> round(macs.dense / macs.core, 2), round(macs.dense / macs.total, 2)
        (2.67, 2.37)
        """
        tiles = n_sequences * n_tiles(n_tokens, self.tile[0], self.grid)
        return tile_macs(self, tiles, n_sequences * n_tokens)

    @classmethod
    def from_linear(
        cls,
        layer: Any,
        *,
        tile: int | Tile = 4,
        rank: int = 24,
        scheme: BilinearScheme | None = None,
        calibration: Any = None,
        rows: Rows = "tokens",
        grid: tuple[int, int] | None = None,
        causal: bool = False,
        tied: bool = False,
        recompute: bool = False,
        **fit_options: Any,
    ) -> StrassenTileLinear:
        """Return a layer that does nearly what a dense one does: a start for fine-tuning.

        Without calibration the weight is encoded by a scheme, which is good for no data in
        particular. With calibration all factors are fitted to rows by alternating least squares
        (`maddjit.fit_strassen_tile`). Device, dtype, mode and `requires_grad` are those of the
        dense layer. Its weight is copied as it is now, also if it is parametrised or shared.

        Parameters
        ----------
        layer : nn.Linear
        tile, rank, rows, grid, causal, tied, recompute
            As for the class.
        scheme : BilinearScheme, optional
            What to encode by, or to start the fit from, in the place of `tile` and `rank`. An exact
            scheme keeps the layer's function but for rounding.
        calibration : (T, D) or (…, T, D) tensor or array_like, optional
            Inputs of the layer, whole sequences in their order: neighbours share tiles. A fit to
            tokens by square tiles may choose others that cost the same, such as 2 × 16 × 2. The
            layer then has a bias, because the means of the rows ask for one.
        **fit_options
            Options of `maddjit.fit_strassen_tile`, such as `max_iterations` or `random_state`.

        Raises
        ------
        TypeError
            If the layer is no nn.Linear, or not of floating point.
        ValueError
            If its class computes something else, hooks compute its weight, the weight is not
            finite, a tied layer is to be fitted, or there is no scheme of this rank and tile.

        Examples
        --------
        >>> import torch
        >>> dense = torch.nn.Linear(64, 32)
        >>> layer = StrassenTileLinear.from_linear(dense, tile=2, rank=7)  # Strassen's: exact
        >>> x = torch.randn(3, 10, 64)
        >>> torch.allclose(layer(x), dense(x), atol=1e-5)
        True
        """
        check_source(layer, nn.Linear)
        sizes = layer.in_features, layer.out_features
        options: dict[str, Any] = {"rows": rows, "grid": grid, "causal": causal}
        options |= {"tied": tied, "recompute": recompute}
        if scheme is not None:
            tile, rank = scheme.shape, scheme.rank
        own = checked(*sizes, tile=tile, rank=rank, init="random", **options)
        is_free = calibration is not None and rows == "tokens" and len(set(own.tile)) == 1
        if scheme is None and not is_free:
            scheme = scheme_of("scheme", own.rank, own.tile)
        if calibration is not None:
            x = sequences(calibration, own.in_features, own.tile[0], own.grid)
            parts = fitted_parts(layer, own, scheme, x, fit_options)
        else:
            assert scheme is not None
            parts = encoded_parts(layer, scheme)
        options |= {**parts.shape, "device": "meta", "dtype": layer.weight.dtype}
        made = cls(*sizes, parts.bias is not None, **options)
        filled(made, parts, layer)
        return made

    def to_dense(self) -> nn.Linear:
        """Return the nn.Linear that computes the same, up to rounding.

        Raises
        ------
        ValueError
            If there is none, because the factors are not those of an exact scheme.

        Examples
        --------
        >>> layer = StrassenTileLinear(8, 8, rank=49, init="strassen")
        >>> layer.to_dense()
        Linear(in_features=8, out_features=8, bias=True)
        """
        kind: Any = nn.Linear
        options = {"device": "meta", "dtype": self.encode.dtype}
        made = kind(self.in_features, self.out_features, self.bias is not None, **options)
        return dense_layer(self, made)

    def extra_repr(self) -> str:
        """Return the sizes and options for the text of a model."""
        sizes = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}, {self._options()}"
