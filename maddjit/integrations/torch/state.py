"""The state of replaced layers: states of earlier versions, and states that do not fit."""

from __future__ import annotations

from typing import Any

import torch

from maddjit.models.maddness import MaddnessModel
from maddjit.models.storage import from_bytes

VERSION = 2
"""Since version 2 a state has a bias, and a convolution's weight has four dimensions."""


def bring_up_to_date(layer: Any, state: Any, prefix: str, version: int) -> None:
    """Change a state that an earlier version saved, in place, into one of this version.

    A bias that was not saved becomes NaN. A state without a version, such as one that safetensors
    kept, counts as version 1.
    """
    weight = state.get(f"{prefix}weight")
    if weight is not None and weight.dim() == 2:
        state[f"{prefix}weight"] = layer._shaped(weight)
    if version < VERSION and layer.bias is not None and f"{prefix}bias" not in state:
        state[f"{prefix}bias"] = torch.full_like(layer.bias, torch.nan)


def why_not_loaded(layer: Any, state: Any, prefix: str) -> str:
    """Return why a state cannot be loaded into a layer; empty if it can."""
    packed = state.get(f"{prefix}packed")
    if packed is None:
        weight = state.get(f"{prefix}weight", layer.weight)
        same = layer.weight.is_meta or torch.equal(weight, layer.weight)
        why = "the state has another weight and no packed model, so look-ups would stay as they"
        return "" if same else f"{why} are: load it into the original model, then replace"
    try:
        model = unpacked(packed)
    except ValueError as error:
        return f"packed: {error}"
    if not isinstance(model, MaddnessModel):
        return f"packed holds a {type(model).__name__}, not a MaddnessModel"
    ones = tuple(layer.weight.shape[2:])
    shapes: dict[str, tuple[int, ...]] = {"weight": (model.n_outputs, model.n_features, *ones)}
    if layer.tables is not None:
        shapes |= {"tables": model.tables.shape, "base": (model.n_outputs,)}
    for name, shape in shapes.items():
        own = tuple(getattr(layer, name).shape)
        stored = tuple(state[f"{prefix}{name}"].shape) if f"{prefix}{name}" in state else own
        if not own == stored == shape:
            return f"{name} must have shape {own}, is {stored}, and packed needs {shape}"
    return ""


def unpacked(packed: torch.Tensor) -> Any:
    """Return the model whose bytes a tensor holds.

    Raises
    ------
    ModelFileError
        A ValueError, if these are not the bytes of a model.
    """
    return from_bytes(packed.cpu().numpy().tobytes())
