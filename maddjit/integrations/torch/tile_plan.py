"""Make the Strassen-Tile layers that take the places of dense ones, within limits of a plan."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from maddjit.integrations.torch.conversion_report import ConvertedLayer, Costs
from maddjit.integrations.torch.layers import MatchedLayer
from maddjit.integrations.torch.places import take_over
from maddjit.integrations.torch.strassen_tile import StrassenTileLinear
from maddjit.integrations.torch.strassen_tile_convolution import StrassenTileConv1x1
from maddjit.integrations.torch.tile_sample import LEAST_HELD_OUT, TileWatch, error_on
from maddjit.learning.accuracy import AccuracyWarning


@dataclass(frozen=True)
class TilePlan:
    """How layers are made, and what keeps them from being replaced.

    Attributes
    ----------
    ranks : tuple of int
        To try one after the other.
    options : dict
        Keywords of all new layers.
    init : str or None
        How new parameters begin; None to start from weights.
    fit_options : dict
        Further keywords of layers that start from weights.
    has_rows : bool
        Whether there is calibration.
    max_error, max_macs, max_parameters : float or None
    least : (int, int)
        The smallest numbers of inputs and outputs.
    random_state : int

    Raises
    ------
    ValueError
        If these contradict each other, or a limit is not above 0.
    """

    ranks: tuple[int, ...]
    options: dict[str, Any]
    init: str | None
    fit_options: dict[str, Any]
    has_rows: bool
    max_error: float | None
    max_macs: float | None
    max_parameters: float | None
    least: tuple[int, int]
    random_state: int

    def __post_init__(self) -> None:
        for name in ("max_error", "max_macs", "max_parameters"):
            limit = getattr(self, name)
            if limit is not None and not limit > 0:
                raise ValueError(f"{name} must be above 0, not {limit}")
        if not self.ranks or (len(self.ranks) > 1 and self.max_error is None):
            raise ValueError(
                f"rank must be one number without max_error, not {list(self.ranks)}: several are "
                "for a limit of the error to choose from"
            )
        if self.max_error is not None and not self.has_rows:
            raise ValueError("max_error needs calibration: batches to measure the error on")
        if self.init is not None and (self.has_rows or self.fit_options):
            raise ValueError(
                f"init={self.init!r} starts from new parameters: leave out calibration and "
                "fit_options, which start from weights"
            )

    def layer(self, dense: Any, rank: int, **more: Any) -> Any:
        """Return a layer for the place of a dense one, on no device, or as `more` says."""
        given = {**self.options, "init": "random", "rank": rank, "device": "meta"}
        given |= {"bias": dense.bias is not None, **more}
        with torch.random.fork_rng([], enabled=given["device"] == "meta"):
            if not isinstance(dense, nn.Conv2d):
                return StrassenTileLinear(dense.in_features, dense.out_features, **given)
            given = {name: value for name, value in given.items() if name not in _OF_SEQUENCES}
            sizes = dense.in_channels, dense.out_channels
            return StrassenTileConv1x1(*sizes, stride=dense.stride, **given)


_OF_SEQUENCES = "rows", "grid", "causal"
"""Keywords that convolutions do not have: pixels of an image are neighbours in two ways."""


def outcome_of(
    each: MatchedLayer, watch: TileWatch | None, plan: TilePlan
) -> tuple[ConvertedLayer, Any]:
    """Return what becomes of a layer, and the layer that takes its place if one does."""
    n_rows = watch.n_rows if watch else 0
    why_not, error = (watch.why_not if watch else "") or each.why_not, float("nan")
    for rank in () if why_not else plan.ranks:
        why_not = _too_costly(Costs.of(plan.layer(each.layer, rank), each.layer), plan)
        if why_not:
            break
        with _naming(each.name):
            made, error = _made(each.layer, watch, rank, plan)
        if plan.max_error is None or error <= plan.max_error:
            costs = Costs.of(made, each.layer)
            notes = (*_measured_on(watch), *each.notes)
            line = ConvertedLayer(
                each.name, each.shape, rank, error, n_rows, costs, "; ".join(notes)
            )
            return line, made
        why_not = f"its error of {error:.3g} at rank {rank} is above {plan.max_error:g}"
    return ConvertedLayer(each.name, each.shape, 0, error, n_rows, None, why_not), None


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Put a layer's name before what errors say."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from error


def _too_costly(costs: Costs, plan: TilePlan) -> str:
    """Return why a layer of such costs is not wanted; empty if it is."""
    shares = (
        ("multiply-adds", costs.share_of_macs, plan.max_macs),
        ("parameters", costs.share_of_parameters, plan.max_parameters),
    )
    for name, share, limit in shares:
        if limit is not None and share > limit:
            return f"tiles would take × {share:.2f} of its {name}, which is above × {limit:g}"
    return ""


def _measured_on(watch: TileWatch | None) -> tuple[str, ...]:
    few = watch is not None and len(watch.windows) < LEAST_HELD_OUT
    return ("error measured on the rows fitted to",) if few else ()


def _made(layer: Any, watch: TileWatch | None, rank: int, plan: TilePlan) -> tuple[Any, float]:
    """Return the layer that takes a layer's place, and its error on rows held out."""
    weight, bias = layer.weight, layer.bias
    error = float("nan")
    if plan.init is not None:
        made = plan.layer(layer, rank, init=plan.init, device="cpu")
    else:
        used = (weight, bias) if watch is None else (watch.weight, watch.bias)
        of_rows, error = _started(_dense(*used), watch, rank, plan)
        made = of_rows
        if isinstance(layer, nn.Conv2d) or plan.options.get("grid") is not None:
            has = {"tile": of_rows.tile, "bias": of_rows.bias is not None}
            made = plan.layer(layer, of_rows.rank, **has)
            made.load_state_dict(of_rows.state_dict(), assign=True)
    made = made.to(weight.device, weight.dtype)
    for name, part in made.named_parameters():
        old = bias if name == "bias" and bias is not None else weight
        part.requires_grad_(bool(old.requires_grad))
    take_over(layer, made)
    return made, error


def _started(dense: Any, watch: TileWatch | None, rank: int, plan: TilePlan) -> tuple[Any, float]:
    """Return a layer for rows in the order of tiles that starts from a dense one, and its error."""
    options = {**plan.options, **plan.fit_options, "rank": rank}
    options |= {"rows": "tokens", "grid": None}
    if watch is None:
        return StrassenTileLinear.from_linear(dense, **options), float("nan")
    fitted, kept, is_real = watch.split(plan.random_state)
    with warnings.catch_warnings():
        if plan.max_error is not None:
            warnings.simplefilter("ignore", AccuracyWarning)
        made = StrassenTileLinear.from_linear(
            dense, calibration=torch.from_numpy(fitted), **options
        )
    return made, error_on(made, dense, kept, is_real)


def _dense(weight: Any, bias: Any) -> Any:
    """Return a plain nn.Linear on the CPU, in float32 or float64, with copies of its parameters."""
    dtype = torch.promote_types(weight.dtype, torch.float32)
    dense = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, "meta")
    parts = (
        {"weight": weight.flatten(1)}
        if bias is None
        else {"weight": weight.flatten(1), "bias": bias}
    )
    state = {name: part.detach().to("cpu", dtype, copy=True) for name, part in parts.items()}
    dense.load_state_dict(state, assign=True)
    return dense
