"""Strassen-Tile layers from dense ones, by a scheme or fitted to rows, and dense ones from them."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import nn

from maddjit.integrations.torch.layers import why_not_copied
from maddjit.integrations.torch.strassen_tile_arguments import Arguments
from maddjit.integrations.torch.strassen_tile_rows import Grid, in_tiles
from maddjit.integrations.torch.strassen_tile_starts import (
    Floats,
    Start,
    Tile,
    norms_of,
    scaled,
)
from maddjit.learning.strassen_tile.fit import fit_strassen_tile
from maddjit.models.schemes import BilinearScheme
from maddjit.reference.strassen_tile import encode_right


@dataclass(frozen=True)
class Parts:
    """The parameters of a layer to be made.

    Attributes
    ----------
    tile : (int, int, int)
    start : Start
        The factors.
    values : (r, Dk, Mk) float64
        The r matrices.
    bias : (M,) float64 or None
    """

    tile: Tile
    start: Start
    values: Floats
    bias: Floats | None

    @property
    def shape(self) -> dict[str, Any]:
        """The arguments of a layer that has room for the parts."""
        return {"tile": self.tile, "rank": len(self.values), "init": "random"}


def check_source(layer: Any, kind: Any) -> None:
    """Refuse what is no dense layer of a kind, or whose product is not by its weight alone.

    Raises
    ------
    TypeError, ValueError
    """
    if not isinstance(layer, kind):
        raise TypeError(f"the layer must be an nn.{kind.__name__}, not a {type(layer).__name__}")
    if any(nn.parameter.is_lazy(part) for part in layer.parameters()):
        raise ValueError("the layer is not initialised: call it once before")
    why_not = why_not_copied(layer)
    if why_not:
        raise ValueError(f"the layer cannot be copied: {why_not}")
    if not layer.weight.is_floating_point() or layer.weight.is_meta:
        raise TypeError(
            f"the layer must be of floating point and on a device, not of {layer.weight.dtype} on "
            f"{layer.weight.device}"
        )


def encoded_parts(layer: Any, scheme: BilinearScheme) -> Parts:
    """Return the parts of a layer whose r matrices are a dense layer's weight, encoded."""
    weight, bias = _arrays(layer)
    return _scaled_parts(scheme, encode_right(scheme, weight), bias)


def fitted_parts(
    layer: Any, own: Arguments, scheme: BilinearScheme | None, x: Any, options: dict[str, Any]
) -> Parts:
    """Return the parts of a layer that is fitted to sequences (S, T, D) in the order of tiles.

    Without a scheme the fit chooses the tiles.
    """
    if own.tied:
        raise ValueError(
            "a tied layer has no matrices of its own to fit: leave out calibration, or tied=True"
        )
    weight, bias = _arrays(layer)
    by_tokens = {"rows": "tokens"} if _FITS_TOKENS else {}
    model = fit_strassen_tile(
        weight,
        own.rank,
        tile=own.tile[0],
        scheme=scheme,
        A_train=x.numpy() if _FITS_TOKENS else x.flatten(0, 1).numpy(),
        bias=bias,
        **(by_tokens | options),
    )
    return _scaled_parts(model.scheme, model.values, model.bias)


def _scaled_parts(scheme: BilinearScheme, values: Any, bias: Any) -> Parts:
    """Return the parts of a scheme with r matrices, with the norms that layers have."""
    rows, columns = norms_of(scheme)
    scale = (rows * columns)[:, np.newaxis, np.newaxis]
    wide = None if bias is None else bias.astype(np.float64)
    return Parts(scheme.shape, scaled(scheme), values.astype(np.float64) * scale, wide)


_FITS_TOKENS = "rows" in signature(fit_strassen_tile).parameters
"""Whether fits know which rows are neighbours; else all rows of a tile are taken as independent."""


def sequences(calibration: Any, n_features: int, n: int, grid: Grid) -> Any:
    """Return calibration rows as sequences (S, T, D) of float32 on the CPU, in the order of tiles.

    Raises
    ------
    ValueError
        If they have another width.
    """
    x = torch.as_tensor(calibration).detach().to("cpu", torch.float32)
    if x.dim() < 2 or x.shape[-1] != n_features:
        raise ValueError(
            f"calibration must have shape (…, T, {n_features}), whole sequences of the layer's "
            f"inputs, not {tuple(x.shape)}"
        )
    return in_tiles(x.reshape(-1, *x.shape[-2:]), n, grid)


def filled(made: Any, parts: Parts, layer: Any) -> Any:
    """Return a layer made on no device with the parts, and on the device of a dense layer."""
    made = made.to_empty(device=layer.weight.device)
    arrays = {"encode": parts.start.encode, "decode": parts.start.decode}
    if made.tied:
        arrays["encode_weight"] = parts.start.encode_weight
        made.weight = nn.Parameter(layer.weight.detach().flatten(1).clone())
    else:
        arrays["values"] = parts.values
    if parts.bias is not None:
        arrays["bias"] = parts.bias
    for name, array in arrays.items():
        made.get_parameter(name).data.copy_(torch.from_numpy(array))
    for parameter in made.parameters():
        parameter.requires_grad_(layer.weight.requires_grad)
    if layer.bias is not None:
        made.bias.requires_grad_(layer.bias.requires_grad)
    return made.train(layer.training)


def _arrays(layer: Any) -> tuple[Floats, Floats | None]:
    """Return a layer's weight (D, M) and bias."""
    weight = layer.weight.detach().double().cpu().flatten(1).t().numpy()
    return weight, None if layer.bias is None else layer.bias.detach().double().cpu().numpy()


def dense_weight(layer: Any) -> Any:
    """Return the weight (M, D) of the dense layer that computes the same.

    Row i of a tile adds to the outputs of row i' its features times a matrix, whose block (k, j) is
    Σ_ρ encode[ρ, (i, k)] decode[(i', j), ρ] V_ρ. For a dense layer that is 0 unless i = i', and the
    weight if so. What rounding of the factors can make of it is allowed: 32 units in the last place
    of the terms, V_ρ by its largest entry.

    Raises
    ------
    ValueError
        If there is no such dense layer.
    """
    n, d, m = layer.tile
    encode, values, decode = (
        part.detach().double().cpu() for part in (layer.encode, layer.encoded(), layer.decode)
    )
    rank, rows, columns = values.shape
    encode, decode = encode.view(rank, n, d), decode.view(n, m, rank).permute(2, 0, 1)
    largest = 32 * torch.finfo(layer.encode.dtype).eps * values.abs().amax((1, 2))

    def coefficients(i: int, other: int) -> Any:
        """Return those of V_ρ in block (k, j), (d · m, r)."""
        return torch.einsum("rk,rj->kjr", encode[:, i], decode[:, other]).reshape(d * m, rank)

    flat = values.view(rank, -1)
    dense: Any = sum(coefficients(i, i) for i in range(n)) @ flat / n
    worst = 0.0
    for i, other in product(range(n), repeat=2):
        some = coefficients(i, other)
        left = some @ flat - (dense if i == other else 0)
        excess = left.abs().amax(1) - some.abs() @ largest
        worst = max(worst, float(left.abs().amax()) if bool((excess > 0).any()) else 0.0)
    if worst:
        raise ValueError(
            "no dense layer computes the same: rows of a tile mix, or differ in weights, by up to "
            f"{worst:.2g} beside weights of up to {float(dense.abs().max()):.2g}. "
            "Only factors of an exact scheme, or tiles of one row, make a dense layer"
        )
    whole = dense.view(d, m, rows, columns).permute(1, 3, 0, 2).reshape(m * columns, d * rows)
    return whole[: layer.out_features, : layer.in_features]


def dense_layer(layer: Any, made: Any) -> Any:
    """Return a dense layer made on no device with the weight and bias of a Strassen-Tile layer."""
    weight = dense_weight(layer)
    made = made.to_empty(device=layer.encode.device)
    made.weight.data.copy_(weight.view(made.weight.shape))
    made.weight.requires_grad_(layer.encode.requires_grad)
    if layer.bias is not None:
        made.bias.data.copy_(layer.bias.detach())
        made.bias.requires_grad_(layer.bias.requires_grad)
    return made.train(layer.training)
