"""What Strassen-Tile layers of PyTorch share: parameters, start, product, counts and states."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from maddjit.integrations.torch.strassen_tile_arguments import Arguments
from maddjit.integrations.torch.strassen_tile_counts import parameter_groups
from maddjit.integrations.torch.strassen_tile_product import (
    as_autocast,
    encoded_weight,
    tile_product,
)
from maddjit.integrations.torch.strassen_tile_rows import (
    Grid,
    from_tiles,
    in_tiles,
    n_tiles,
    padded,
)
from maddjit.integrations.torch.strassen_tile_starts import start_of
from maddjit.models.schemes import BilinearScheme
from maddjit.models.strassen_tile import StrassenTileModel, default_tile_rows


class StrassenTileLayer(nn.Module):
    """A layer that multiplies rows in tiles; its subclasses say where the rows come from."""

    _version = 1
    factor_names = ("encode", "decode", "encode_weight")
    bias: Any
    values: Any

    def __init__(self, own: Arguments, bias: bool, options: dict[str, Any]) -> None:
        super().__init__()
        self.in_features, self.out_features = own.in_features, own.out_features
        self.tile, self.rank, self.init = own.tile, own.rank, own.init
        self.rows, self.grid, self.causal = own.rows, own.grid, own.causal
        self.recompute = own.recompute
        n, d, m = self.tile
        shapes: dict[str, Any] = {"encode": (self.rank, n * d)}
        if own.tied:
            shapes["weight"] = self.out_features, self.in_features
            shapes["encode_weight"] = self.rank, d * m
        else:
            rows, columns = -(-self.in_features // d), -(-self.out_features // m)
            shapes["values"] = self.rank, rows, columns
        shapes["decode"] = n * m, self.rank
        if bias:
            shapes["bias"] = (self.out_features,)
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape, **options)))
        for name in ("values", "bias"):
            if name not in shapes:
                self.register_parameter(name, None)
        self.reset_parameters()

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
                encode = torch.from_numpy(start.encode_weight).to(weight)
                drawn = weight.uniform_(-bound, bound)
                self.values.copy_(encoded_weight(drawn, encode, self.tile))
            else:
                self.values.normal_(std=1 / math.sqrt(3 * self.values.shape[1]))

    def encoded(self) -> Any:
        """Return the r matrices (r, Dk, Mk): the parameter `values`, or the encoded weight."""
        if self.values is not None:
            return self.values
        return encoded_weight(self.weight, self.encode_weight, self.tile)

    def multiplied(self, x: Any, grid: Grid) -> Any:
        """Return outputs (S, T, M) of sequences (S, T, D); with a grid these are its patches."""
        n, d, m = self.tile
        values = self.encoded()
        _, rows, columns = values.shape
        number, length, _ = x.shape
        tiles = n_tiles(length, n, grid)
        x = padded(in_tiles(x, n, grid), d * rows - self.in_features)
        # In two steps: one would ask whether there are several tiles, and torch.export refuse that.
        x = x.flatten(0, 1).reshape(number * tiles, n * d, rows)
        factors = as_autocast(x, self.encode, values, self.decode, self._bias_of_tiles(columns))
        if any(part is not None and part.dtype != factors[0].dtype for part in factors):
            raise TypeError(
                f"the input must have the type of the layer, {self.encode.dtype}, not {x.dtype}"
            )
        y = tile_product(*factors, recompute=self.recompute)
        y = y.reshape(number * tiles * n, m * columns).reshape(number, tiles * n, m * columns)
        y = from_tiles(y, n, grid, length)
        return y[..., : self.out_features].contiguous()

    def _bias_of_tiles(self, columns: int) -> Any:
        """Return the bias for each of the n · m parts of a tile's outputs."""
        if self.bias is None:
            return None
        n, _, m = self.tile
        bias = padded(self.bias, m * columns - self.out_features)
        return bias.reshape(m, columns).repeat(n, 1)

    @property
    def fitted(self) -> StrassenTileModel:
        """The layer as a model, with its parameters as they are now.

        The model multiplies rows in the order of tiles, n neighbours a tile, as `to_tiles` returns
        them.
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

    def parameter_groups(self, **options: Any) -> list[dict[str, Any]]:
        """Return the layer's parameters in groups for an optimiser.

        `maddjit.torch.parameter_groups`, which takes these options, does so for a whole network.
        """
        return parameter_groups(self, **options)

    def _load_from_state_dict(
        self, state: Any, prefix: str, metadata: Any, strict: bool, *lists: Any
    ) -> None:
        wrong = self._why_not_loaded(state, prefix, metadata.get("version") or 1)
        if wrong:  # load nothing: half of the state would be another layer
            lists[-1].append(f"{prefix.removesuffix('.') or 'the layer'}: {wrong}")
            return
        super()._load_from_state_dict(state, prefix, metadata, strict, *lists)

    def _why_not_loaded(self, state: Any, prefix: str, version: int) -> str:
        """Return why a state is of another layer; empty if nothing speaks against it."""
        if version > self._version:
            return f"the state has the version {version}, and this maddjit knows {self._version}"
        has = {name for name in ("values", "weight", "encode") if f"{prefix}{name}" in state}
        if "weight" in has and "encode" not in has:
            return "this is the state of a dense layer: load it there, and convert that layer"
        if {"values", "weight"} & has and self.tied != ("weight" in has):
            return f"the state is that of a layer with tied={not self.tied}"
        return ""

    def _options(self) -> str:
        """Return tile, rank and options for the text of a model."""
        n, d, m = self.tile
        grid = "" if self.grid is None else f", grid={self.grid[0]} × {self.grid[1]}"
        names = [name for name in ("causal", "tied", "recompute") if getattr(self, name)]
        flags = "".join(f", {name}=True" for name in names)
        return f"tile={n} × {d} × {m}, rank={self.rank}{grid}{flags}"
