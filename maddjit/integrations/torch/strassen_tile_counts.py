"""What a Strassen-Tile layer costs, and the groups that optimisers take its parameters in."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn


class TileMacs(NamedTuple):
    """The multiply-adds of a Strassen-Tile layer, part by part.

    Attributes
    ----------
    encode : int
        To encode tiles of rows, P · r · n · d · Dk for P tiles.
    core : int
        To multiply by the r matrices, P · r · Dk · Mk.
    decode : int
        To decode the products, P · r · n · m · Mk.
    weight : int
        To encode the weight of a tied layer, r · d · m · Dk · Mk in each call; else 0.
    dense : int
        Those of nn.Linear on the same rows, for comparison. The total does not have them.

    Examples
    --------
    >>> macs = TileMacs(encode=100, core=400, decode=100, weight=0, dense=1000)
    >>> macs.total
    600
    """

    encode: int
    core: int
    decode: int
    weight: int
    dense: int

    @property
    def total(self) -> int:
        """All multiply-adds of the layer."""
        return self.encode + self.core + self.decode + self.weight


def tile_macs(layer: Any, tiles: int, n_rows: int) -> TileMacs:
    """Return the multiply-adds of a layer on a number of tiles, which hold so many rows."""
    n, d, m = layer.tile
    r = layer.rank
    rows, columns = -(-layer.in_features // d), -(-layer.out_features // m)
    return TileMacs(
        encode=tiles * r * n * d * rows,
        core=tiles * r * rows * columns,
        decode=tiles * r * n * m * columns,
        weight=r * d * m * rows * columns if layer.tied else 0,
        dense=n_rows * layer.in_features * layer.out_features,
    )


def parameter_groups(
    module: nn.Module,
    *,
    weight_decay: float = 0.01,
    lr: float | None = None,
    factor_lr: float = 1.0,
) -> list[dict[str, Any]]:
    """Return the parameters of a module in groups for an optimiser of PyTorch.

    Weight decay is for weights: the matrices of Strassen-Tile layers, and every other parameter of
    two or more dimensions. The factors `encode` and `decode` are a basis. To shrink them would
    shrink products twice more, so they have no decay, and may have a learning rate of their own.
    Biases, and scales of normalisation, have no decay either. Frozen parameters are left out.

    Parameters
    ----------
    module : nn.Module
        A layer, or a network that holds some.
    weight_decay : float
        The decay of weights.
    lr : float, optional
        The learning rate. By default groups have none, and the optimiser's own holds for all.
    factor_lr : float
        The learning rate of factors as a multiple of `lr`, which must be given if this is not 1.

    Returns
    -------
    list of dict
        Up to three: weights, factors and the rest. Each has a "name".

    Examples
    --------
    >>> from maddjit.integrations.torch import StrassenTileLinear
    >>> layer = StrassenTileLinear(64, 64)
    >>> groups = parameter_groups(layer, weight_decay=0.05, lr=1e-3, factor_lr=0.5)
    >>> [(group["name"], group["weight_decay"], group["lr"]) for group in groups]
    [('weights', 0.05, 0.001), ('factors', 0.0, 0.0005), ('others', 0.0, 0.001)]
    """
    if factor_lr != 1 and lr is None:
        raise ValueError("a learning rate of factors is a multiple of lr: give that, too")
    parts: dict[str, dict[int, Any]] = {"weights": {}, "factors": {}, "others": {}}
    for layer in module.modules():
        factors = getattr(layer, "factor_names", ())  # StrassenTileLinear stands above this module
        for name, parameter in layer.named_parameters(recurse=False):
            kind = "weights" if parameter.dim() > 1 else "others"
            if name in factors:
                kind = "factors"
            if parameter.requires_grad and not any(
                id(parameter) in seen for seen in parts.values()
            ):
                parts[kind][id(parameter)] = parameter
    groups: list[dict[str, Any]] = []
    for kind, found in parts.items():
        decay = weight_decay if kind == "weights" else 0.0
        group = {"name": kind, "params": list(found.values()), "weight_decay": decay}
        if lr is not None:
            group["lr"] = lr * factor_lr if kind == "factors" else lr
        if found:
            groups.append(group)
    return groups
