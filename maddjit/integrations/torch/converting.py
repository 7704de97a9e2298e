"""`convert`: linear layers of a PyTorch module become Strassen-Tile layers that train."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from maddjit.arrays.checks import check_random_state
from maddjit.integrations.torch.calibrating import calibrated
from maddjit.integrations.torch.conversion_report import Conversion
from maddjit.integrations.torch.layers import (
    Filter,
    MatchedLayer,
    is_linear,
    matched_layers,
    refuse_if_named,
)
from maddjit.integrations.torch.places import Places
from maddjit.integrations.torch.stand_ins import ExactTiles
from maddjit.integrations.torch.strassen_tile_starts import Init
from maddjit.integrations.torch.tile_plan import TilePlan, outcome_of
from maddjit.integrations.torch.tile_sample import TileWatch

_ITSELF = "the layer"
"""What errors call a module that is a layer itself."""


def convert(
    module: nn.Module,
    filter: Filter = None,
    *,
    rank: int | Sequence[int] = 24,
    tile: int | tuple[int, int, int] = 4,
    calibration: Iterable[Any] | None = None,
    max_error: float | None = None,
    max_macs: float | None = None,
    max_parameters: float | None = None,
    min_features: int | tuple[int, int] = 1,
    init: Init | None = None,
    fit_options: Mapping[str, Any] | None = None,
    causal: bool = False,
    max_rows: int = 8192,
    random_state: int = 0,
    check: bool = True,
    **options: Any,
) -> Conversion:
    """Replace linear layers and 1 × 1 convolutions by Strassen-Tile layers that train.

    A new layer starts from the weight that it replaces: encoded by a scheme, or with calibration
    all of its factors fitted to the rows that reach the layer. Layers inside `module` are replaced
    in place, once all are made: an error before that leaves the module as it was. Take the module
    to use from the result, since a layer that is given by itself cannot be replaced in place.

    **Rows share tiles** within a sequence: inputs must be (batch, …, tokens, features), with the
    batch first. A layer that is given rows (N, D) in calibration stays, since samples of a batch
    would share tiles; without calibration leave such layers (heads, often) out by the filter. Rows
    of a tile see each other, so models that must not look ahead need tiles of one row. Pixels of
    convolutions share tiles with their neighbours in the image.

    A new layer has the hooks, the mode, the device, the dtype and the own attributes of the old
    one, and is frozen if that is. A layer in several places stays in all of them. Layers stay, and
    the result says why, where `replace_linear` leaves them, too: the module's class or hooks do
    something of their own, a parent multiplies by the weight itself (`nn.MultiheadAttention`,
    `nn.TransformerEncoderLayer`), or, with calibration, no rows reach them or they are called by
    other ways than as submodules.

    Parameters
    ----------
    module : nn.Module
        Not compiled by `torch.compile` yet. A layer by itself is taken, too.
    filter : str, sequence of str, or callable, optional
        Names of layers as in `module.named_modules`, with wildcards (`fnmatch`), or a function that
        is given a layer and its name and returns whether to convert it, as torchao's `filter_fn`.
        By default all are converted that can be.
    rank : int or sequence of int
        r, the number of products of a tile. With `max_error` there may be several: each layer takes
        the smallest within the error.
    tile : int or (int, int, int)
        n rows, d blocks of inputs and m blocks of outputs share a tile; one int stands for all.
    calibration : iterable, optional
        Batches for the module, on its device. Tuples and lists are passed as positional arguments,
        mappings as named ones; leave labels out. Factors are fitted to the rows that reach a layer
        in the module as it was, and the error is measured on a tenth of them, which is held out.
    max_error : float, optional
        Layers stay where the squared error over the variance of the outputs is larger. It needs
        calibration.
    max_macs, max_parameters : float, optional
        Layers stay where tiles need more than this share of the dense layer's multiply-adds, with
        encoding and decoding, or of its parameters.
    min_features : int or (int, int)
        Layers with fewer inputs or outputs stay. Encoding and decoding small layers costs as much
        as the product.
    init : {"scheme", "random", "strassen", "polynomial"}, optional
        Start layers from new parameters, as `StrassenTileLinear` does, to train from scratch. By
        default they start from the weights.
    fit_options : mapping, optional
        Further keywords of `StrassenTileLinear.from_linear`: a `scheme` to encode weights by, and
        with calibration options of `maddjit.fit_strassen_tile` such as ``max_iterations``.
    causal : bool
        Whether rows must not see later ones. Then `tile` must have one row, as (1, 4, 4). Layers of
        an `nn.TransformerDecoder`, and all of a module in which an attention says `is_causal`, stay
        otherwise.
    max_rows : int
        The most rows that are kept of each layer, as whole tiles. They take memory.
    random_state : int
        The seed of the sample of rows and of the rows that are held out.
    check : bool
        With calibration, whether the first two batches are also run with layers in place that
        differ from Strassen-Tile layers only by an exact product, and outputs compared bit for bit.
    **options
        Further keywords of `StrassenTileLinear`, such as `rows`, `grid`, `tied` and `recompute`.

    Returns
    -------
    Conversion
        With the module to use. ``print(conversion)`` shows for each layer the error, parameters and
        multiply-adds, or why it stays.

    Raises
    ------
    ReplacementError
        If the module gives other outputs with exact products in its layers' places.
    ValueError
        If no layer passes the filter, no rows reach any layer, a part is compiled or not
        initialised, a layer is named without a wildcard and must stay, there is no scheme of this
        rank and tile, or arguments contradict each other.
    TypeError
        If a layer is on no device or is not of floating point.

    Warns
    -----
    AccuracyWarning
        As `maddjit.fit_strassen_tile` does, unless there is a `max_error`.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from maddjit.integrations.torch import convert
    >>> model = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))
    >>> conversion = convert(model, "0", rank=24)
    >>> conversion.converted
    ('0',)
    >>> conversion.module(torch.randn(8, 50, 32)).shape
    torch.Size([8, 50, 32])
    """
    check_random_state(random_state)
    if max_rows < 1:
        raise ValueError(f"max_rows must be 1 or more, not {max_rows}")
    plan = TilePlan(
        tuple(sorted(rank)) if isinstance(rank, Sequence) else (rank,),
        {"tile": tile, "causal": causal, **options},
        init,
        dict(fit_options or {}),
        calibration is not None,
        max_error,
        max_macs,
        max_parameters,
        min_features if isinstance(min_features, tuple) else (min_features, min_features),
        random_state,
    )
    order = plan.layer(nn.Linear(1, 1, device="meta"), plan.ranks[0])
    holder = nn.Sequential(module) if is_linear(module) else module
    layers = _candidates(module, filter, plan, order)
    refuse_if_named(layers)
    watches: dict[str, TileWatch] = {}
    if calibration is not None:
        new_watch = partial(_watch_of, order, max_rows, np.random.default_rng(random_state))
        hooks = [new_watch(each) for each in layers if not each.why_not]
        watches = calibrated(holder, layers, hooks, calibration, ExactTiles if check else None)
    outcomes = [outcome_of(each, watches.get(each.name), plan) for each in layers]
    new = {each.layer: made for each, (_, made) in zip(layers, outcomes, strict=True) if made}
    Places(holder, list(new)).put(new)
    lines = tuple(line for line, _ in outcomes)
    if holder is module:
        return Conversion(module, lines)
    return Conversion(holder[0], (replace(lines[0], name=""),))


def _watch_of(order: Any, max_rows: int, rng: np.random.Generator, each: MatchedLayer) -> TileWatch:
    """Return the watch of a layer; `order` is a layer with the tiles and the grid of its place."""
    n, grid = order.tile[0], order.grid
    return TileWatch(each.layer, each.shape[0], max_rows, rng, n, grid, each.is_named)


def _candidates(
    module: nn.Module, filter: Filter, plan: TilePlan, order: Any
) -> list[MatchedLayer]:
    """Return the layers that pass a filter; those that the plan excludes say why they stay."""
    taken = vars(order).keys() | order._parameters.keys()
    taken -= vars(nn.Linear(1, 1, device="meta")).keys() | {"bias"}
    if is_linear(module):
        if callable(filter) and not filter(module, ""):
            raise ValueError("the layer does not pass the filter")
        found = matched_layers(nn.Sequential(module), None, taken, "")
        found = [replace(found[0], name=_ITSELF, is_named=True)]
    else:
        found = matched_layers(module, filter, taken, "")
    is_alone = order.tile[0] == 1
    causal: dict[Any, str] = {} if is_alone else _causal_in(module)
    return [
        replace(each, why_not=each.why_not or _too_small(each, plan) or causal.get(each.layer, ""))
        for each in found
    ]


def _too_small(each: MatchedLayer, plan: TilePlan) -> str:
    if each.shape[0] >= plan.least[0] and each.shape[1] >= plan.least[1]:
        return ""
    return f"it has fewer than {plan.least[0]} inputs or {plan.least[1]} outputs"


def _causal_in(module: nn.Module) -> dict[Any, str]:
    """Return the layers in which a row must not see later ones, and how that is known."""
    found: dict[Any, str] = {}
    end = "tiles of several rows would show it later ones; take tile=(1, d, m)"
    for name, part in module.named_modules():
        if getattr(part, "is_causal", False) is True:
            why = f"{name or 'the module'} has is_causal=True, and {end}"
            found |= dict.fromkeys(module.modules(), why)
    for part in module.modules():
        if isinstance(part, nn.TransformerDecoder | nn.TransformerDecoderLayer):
            why = f"a {type(part).__name__} attends causally, and {end}"
            found |= dict.fromkeys(part.modules(), why)
    return found
