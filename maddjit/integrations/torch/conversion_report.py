"""The record of a conversion: what became of each layer, its error, and what it costs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Costs:
    """The multiply-adds of a layer for one row, and its parameters.

    Attributes
    ----------
    dense : int
        Multiply-adds of the dense layer, D · M.
    encode, core, decode : float
        Those of the tiles, for a row of whole tiles: before, in and after the r products.
    parameters_before, parameters : int
        Parameters of the dense layer, and of the tiles.
    """

    dense: int
    encode: float
    core: float
    decode: float
    parameters_before: int
    parameters: int

    @classmethod
    def of(cls, layer: Any, dense: Any) -> Costs:
        """Return the costs of a Strassen-Tile layer and of the dense one that it stands for."""
        n, d, m = layer.tile
        rows, columns = -(-layer.in_features // d), -(-layer.out_features // m)
        return cls(
            layer.in_features * layer.out_features,
            layer.rank * d * rows,
            layer.rank * rows * columns / n,
            layer.rank * m * columns,
            dense.weight.numel() + (0 if dense.bias is None else dense.bias.numel()),
            sum(part.numel() for part in layer.parameters()),
        )

    @property
    def macs(self) -> float:
        """All multiply-adds of the tiles for one row."""
        return self.encode + self.core + self.decode

    @property
    def share_of_macs(self) -> float:
        """Multiply-adds of the tiles over those of the dense layer."""
        return self.macs / self.dense

    @property
    def share_of_parameters(self) -> float:
        """Parameters of the tiles over those of the dense layer."""
        return self.parameters / self.parameters_before


@dataclass(frozen=True)
class ConvertedLayer:
    """What became of one layer.

    Attributes
    ----------
    name : str
        Empty if the layer was converted by itself.
    shape : (int, int)
        The numbers of inputs and outputs.
    rank : int
        r; 0 if the layer stayed.
    error : float
        Squared error over the variance of the outputs, on calibration rows that were held out; NaN
        without calibration, and if the layer stayed for another reason.
    n_rows : int
        The number of calibration rows that reached it and were sampled.
    costs : Costs, optional
        None if the layer stayed.
    why : str
        What was moved across with it, or why it stayed.
    """

    name: str
    shape: tuple[int, int]
    rank: int
    error: float
    n_rows: int
    costs: Costs | None
    why: str

    @property
    def is_converted(self) -> bool:
        """Whether the layer was replaced."""
        return self.costs is not None


@dataclass(frozen=True)
class Conversion:
    """What `convert` did; ``print(conversion)`` shows a table.

    Attributes
    ----------
    module : nn.Module
        The module to use from now on: the one that was given, with other layers inside, or the new
        layer if it was a layer itself.
    layers : tuple of ConvertedLayer
        One for each layer that the filter takes, in the order of the module.
    """

    module: Any
    layers: tuple[ConvertedLayer, ...]

    @property
    def converted(self) -> tuple[str, ...]:
        """The names of the layers that were replaced."""
        return tuple(layer.name for layer in self.layers if layer.is_converted)

    def __str__(self) -> str:
        heads = "layer", "shape", "rank", "error", "parameters", "multiply-adds a row", ""
        rows = [heads, *map(_row, self.layers)]
        costs = [layer.costs for layer in self.layers if layer.costs is not None]
        if len(costs) > 1:
            rows.append(_sums(costs))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join(lines)


def _row(layer: ConvertedLayer) -> tuple[str, ...]:
    """Return the cells of a layer's line."""
    name, shape = layer.name or "(itself)", f"{layer.shape[0]} → {layer.shape[1]}"
    error = "" if math.isnan(layer.error) else f"{layer.error:.3g}"
    if layer.costs is None:
        return name, shape, "", error, "", "", f"stays: {layer.why}"
    costs = layer.costs
    parts = f"{_short(costs.encode)} + {_short(costs.core)} + {_short(costs.decode)}"
    return (
        name,
        shape,
        f"{layer.rank}",
        error,
        f"{_short(costs.parameters_before)} → {_short(costs.parameters)}",
        f"{_short(costs.dense)} → {parts} (× {costs.share_of_macs:.2f})",
        layer.why,
    )


def _sums(costs: list[Costs]) -> tuple[str, ...]:
    """Return the cells of the last line: the sums over converted layers."""
    dense, macs = sum(each.dense for each in costs), sum(each.macs for each in costs)
    before, after = (
        sum(each.parameters_before for each in costs),
        sum(each.parameters for each in costs),
    )
    return (
        f"{len(costs)} converted",
        *("", "", ""),
        f"{_short(before)} → {_short(after)}",
        f"{_short(dense)} → {_short(macs)} (× {macs / dense:.2f})",
        "",
    )


def _short(number: float) -> str:
    """Return a number in three digits.

    >>> [_short(number) for number in (7, 999.5, 1536, 98304, 1048576)]
    ['7', '1 k', '1.54 k', '98.3 k', '1.05 M']
    """
    for unit, name in ((1e6, " M"), (1e3, " k")):
        if number >= unit * 0.9995:
            return f"{number / unit:.3g}{name}"
    return f"{number:.3g}"
