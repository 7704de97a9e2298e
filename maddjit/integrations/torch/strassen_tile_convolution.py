"""A 1 × 1 convolution of PyTorch that multiplies by tiles in a learnable basis: Strassen-Tile."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from maddjit.integrations.torch.convolutions import Conv1x1
from maddjit.integrations.torch.strassen_tile_arguments import checked, checked_sizes
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
from maddjit.integrations.torch.strassen_tile_rows import n_tiles
from maddjit.integrations.torch.strassen_tile_starts import Init, Tile, scheme_of
from maddjit.models.schemes import BilinearScheme

_UNPADDED = ((0, 0), "valid", "same")
"""The paddings that do nothing to a 1 × 1 convolution."""


class StrassenTileConv1x1(Conv1x1, StrassenTileLayer):
    """A 1 × 1 convolution that multiplies in tiles: neighbouring pixels share one, 2 × 2 for n = 4.

    All else is as in `StrassenTileLinear`, with pixels for tokens: **the outputs at a pixel depend
    on the other pixels of its tile**. Images get zeros to the right and below to whole tiles.

    Parameters
    ----------
    in_channels, out_channels : int
        D and M.
    stride : int or (int, int)
        Down and to the right. Tiles are made of the pixels that are left.
    bias : bool
        Whether a bias is added.
    tile, rank, init, tied, recompute, device, dtype
        As in `StrassenTileLinear`.

    Attributes
    ----------
    encode, values, weight, encode_weight, decode, bias
        As in `StrassenTileLinear`; the weight of tied layers is (M, D).
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, padding_mode
        As nn.Conv2d has them.

    Examples
    --------
    >>> import torch
    >>> from maddjit.integrations.torch import StrassenTileConv1x1
    >>> layer = StrassenTileConv1x1(64, 128, stride=2)
    >>> layer(torch.zeros(8, 64, 14, 14)).shape
    torch.Size([8, 128, 7, 7])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int | tuple[int, int] = 1,
        bias: bool = True,
        tile: int | Tile = 4,
        rank: int = 24,
        init: Init = "scheme",
        tied: bool = False,
        recompute: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        own = checked(
            in_channels,
            out_channels,
            tile=tile,
            rank=rank,
            init=init,
            tied=tied,
            recompute=recompute,
        )
        super().__init__(own, bias, {"device": device, "dtype": dtype})
        self.stride = checked_sizes("stride", stride, 2)

    def forward(self, input: Any) -> Any:  # nn.Conv2d calls its argument so
        """Return (N, M, H', W') for images (N, D, H, W), or (M, H', W') for one image (D, H, W)."""
        if input.dim() not in (3, 4) or input.shape[-3] != self.in_channels:
            raise ValueError(
                f"the input must have shape (N, {self.in_channels}, H, W), or without N, not "
                f"{tuple(input.shape)}"
            )
        images = input if input.dim() == 4 else input[None]
        x, grid = pixels(images, self.stride)
        y = self.multiplied(x, grid)
        y = y.reshape(images.shape[0], *grid, self.out_channels).permute(0, 3, 1, 2)
        last = images.is_contiguous(memory_format=torch.channels_last)
        is_last = last and not images.is_contiguous()
        y = y.contiguous(memory_format=torch.channels_last if is_last else torch.contiguous_format)
        return y if input.dim() == 4 else y[0]

    def macs(self, height: int, width: int, n_images: int = 1) -> TileMacs:
        """Return the multiply-adds for images of that size, zeros beside them included."""
        down, right = self.stride
        grid = -(-height // down), -(-width // right)
        n_pixels = grid[0] * grid[1]
        tiles = n_images * n_tiles(n_pixels, self.tile[0], grid)
        return tile_macs(self, tiles, n_images * n_pixels)

    @classmethod
    def from_conv(
        cls,
        layer: Any,
        *,
        tile: int | Tile = 4,
        rank: int = 24,
        scheme: BilinearScheme | None = None,
        calibration: Any = None,
        tied: bool = False,
        recompute: bool = False,
        **fit_options: Any,
    ) -> StrassenTileConv1x1:
        """Return a layer that does nearly what a dense 1 × 1 convolution does.

        Parameters
        ----------
        layer : nn.Conv2d
            Of 1 × 1, in one group, without padding.
        calibration : (N, D, H, W) tensor, optional
            Images that are inputs of the layer.
        tile, rank, scheme, tied, recompute, fit_options
            As in `StrassenTileLinear.from_linear`.

        Raises
        ------
        TypeError, ValueError
            As in `StrassenTileLinear.from_linear`, or if the convolution is another one.
        """
        check_source(layer, nn.Conv2d)
        if layer.kernel_size != (1, 1) or layer.groups > 1 or layer.padding not in _UNPADDED:
            raise ValueError(f"the layer must be of 1 × 1, in one group and unpadded, not {layer}")
        sizes = layer.in_channels, layer.out_channels
        flags: dict[str, Any] = {"tied": tied, "recompute": recompute}
        scheme = scheme or scheme_of("scheme", rank, checked_sizes("tile", tile, 3))
        own = checked(*sizes, tile=scheme.shape, rank=scheme.rank, init="random", **flags)
        if calibration is None:
            parts = encoded_parts(layer, scheme)
        else:
            x, grid = pixels(torch.as_tensor(calibration), layer.stride)
            x = sequences(x, own.in_features, own.tile[0], grid)
            parts = fitted_parts(layer, own, scheme, x, fit_options)
        made = cls(
            *sizes,
            stride=layer.stride,
            bias=parts.bias is not None,
            device="meta",
            dtype=layer.weight.dtype,
            **(parts.shape | flags),
        )
        filled(made, parts, layer)
        return made

    def to_conv(self) -> nn.Conv2d:
        """Return the nn.Conv2d that computes the same, up to rounding.

        Raises
        ------
        ValueError
            If there is none, because the factors are not those of an exact scheme.
        """
        kind: Any = nn.Conv2d
        made = kind(
            self.in_channels,
            self.out_channels,
            1,
            stride=self.stride,
            bias=self.bias is not None,
            device="meta",
            dtype=self.encode.dtype,
        )
        return dense_layer(self, made)

    def extra_repr(self) -> str:
        """Return the sizes and options for the text of a model."""
        return f"{self._sizes()}, bias={self.bias is not None}, {self._options()}"


def pixels(images: Any, stride: tuple[int, int]) -> tuple[Any, tuple[int, int]]:
    """Return the pixels of images (N, D, H, W) that a stride leaves, (N, H' · W', D), and H', W'.

    Raises
    ------
    ValueError
        If the images have another number of dimensions.
    """
    if images.dim() != 4:
        raise ValueError(f"images must have shape (N, D, H, W), not {tuple(images.shape)}")
    down, right = stride
    left = images[..., ::down, ::right]
    number, channels, height, width = left.shape
    rows = left.permute(0, 2, 3, 1).reshape(number, height * width, channels)
    return rows, (height, width)
