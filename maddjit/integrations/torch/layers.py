"""Find the layers of a PyTorch model that can be replaced, and say why the others must stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from maddjit.integrations.torch.places import HOOKS, own_names

_STATE_HOOKS = (
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
"""The attributes that hold hooks of saving and loading."""

_HARMLESS = {
    *("__init__", "__repr__", "extra_repr", "reset_parameters"),
    *("__module__", "__doc__", "__annotations__", "__constants__", "__orig_bases__"),
    *("__parameters__", "__static_attributes__", "__firstlineno__", "__type_params__"),
    *("__annotate__", "__annotate_func__", "__annotations_cache__"),
}
"""Names that a subclass may define without computing or storing something of its own."""

_TAKEN = {"packed", "tables", "base", "key"}
"""Attributes that every replacement has for itself."""


@dataclass(frozen=True)
class MatchedLayer:
    """A layer that matches the pattern.

    Attributes
    ----------
    name : str
    layer : nn.Module
    shape : (int, int)
        The numbers of inputs and outputs.
    why_not : str
        Why the layer cannot be replaced; empty if it can.
    is_named : bool
        Whether the pattern gives its name in full, without wildcards.
    notes : tuple of str
        What else changes if it is replaced, for the report.
    """

    name: str
    layer: Any
    shape: tuple[int, int]
    why_not: str
    is_named: bool
    notes: tuple[str, ...]


def matched_layers(model: nn.Module, pattern: str | Sequence[str] | None) -> list[MatchedLayer]:
    """Return the linear layers whose name matches, each once and by the first name that matches.

    Raises
    ------
    ValueError
        If no layer matches, a layer is not initialised, or the model or a part of it is compiled.
    TypeError
        If a layer that could be replaced is not on the CPU or is not of floating point.
    """
    _refuse_the_whole(model)
    patterns = [pattern] if isinstance(pattern, str) else pattern
    kept = _read_by_parents(model)
    found: list[MatchedLayer] = []
    for name, layer in model.named_modules(remove_duplicate=False):
        if not _is_linear(layer) or any(layer is other.layer for other in found):
            continue
        if patterns is not None and not any(fnmatchcase(name, each) for each in patterns):
            continue
        if any(is_lazy(part) for part in layer.parameters()):
            raise ValueError(f"{name} is not initialised: call the model once on a batch before")
        why_not = kept.get(layer) or _why_not(layer)
        if not why_not and not (layer.weight.device.type == "cpu" and _is_floating(layer)):
            raise TypeError(
                f"{name} must be of floating point and on the CPU, not of {layer.weight.dtype} "
                f"on {layer.weight.device}: convert the model first"
            )
        shape = (
            (layer.in_channels, layer.out_channels)
            if isinstance(layer, nn.Conv2d)
            else (layer.in_features, layer.out_features)
        )
        is_named = name in (patterns or ())
        found.append(MatchedLayer(name, layer, shape, why_not, is_named, _notes(model, layer)))
    if not found:
        asked = [
            f"; {name} is a {type(module).__module__}.{type(module).__qualname__}"
            for name, module in model.named_modules()
            if name in (patterns or ())
        ]
        raise ValueError(
            "no nn.Linear, or nn.Conv2d of 1 × 1 in one group and without padding, has a name like "
            f"{pattern or '*'!r}{''.join(asked)}"
        )
    return found


def _refuse_the_whole(model: nn.Module) -> None:
    """Refuse a model that is a layer itself, or that is compiled."""
    if _is_linear(model):
        raise ValueError(
            f"the model is a layer itself, a {type(model).__name__}, which cannot be replaced in "
            "place: put it into an nn.Sequential, replace there, and take [0] of that"
        )
    for name, module in model.named_modules():
        if "_orig_mod" in module._modules or module._compiled_call_impl is not None:
            raise ValueError(
                f"{name or 'the model'} is compiled already, and compiled code would not see what "
                "is replaced: replace layers first, then call torch.compile"
            )


def _is_linear(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d):
        padded = layer.padding not in ((0, 0), "valid", "same")
        return layer.kernel_size == (1, 1) and layer.groups == 1 and not padded
    return isinstance(layer, nn.Linear)


def _is_floating(layer: Any) -> bool:
    return bool(layer.weight.is_floating_point())


def _read_by_parents(model: nn.Module) -> dict[Any, str]:
    """Return the layers whose weights PyTorch reads without calling them, and why they stay."""
    found: dict[Any, str] = {}
    for parent in model.modules():
        names: tuple[str, ...] = ()
        if isinstance(parent, nn.TransformerEncoderLayer):
            names = "linear1", "linear2"
        elif isinstance(parent, nn.MultiheadAttention):
            names = ("out_proj",)
        why = f"{type(parent).__name__} takes its weight and multiplies by itself"
        found |= {parent._modules[name]: why for name in names if name in parent._modules}
    return found


def _why_not(layer: Any) -> str:
    """Return what a layer has or does that a replacement could not; empty if there is nothing."""
    return _why_not_by_class(layer) or _why_not_by_weights(layer) or _why_not_by_attributes(layer)


def _why_not_by_class(layer: Any) -> str:
    """Return what a layer, or its class, defines in the place of methods; empty for nothing."""
    kind = type_before_parametrizations(layer)
    base: type = nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.Linear
    added = {
        name
        for each in kind.__mro__
        if each not in base.__mro__
        for name in vars(each)
        if name not in _HARMLESS
    }
    if added:
        return f"it is of the class {kind.__name__}, which defines {_few(added)} by itself"
    own = [name for name in vars(layer) if callable(getattr(type(layer), name, None))]
    return f"its own {_few(own)} stands in the place of its class's" if own else ""


def _why_not_by_weights(layer: Any) -> str:
    """Return why a layer's weight or bias cannot be read as a plain, finite matrix or vector."""
    for name in ("weight", "bias"):
        if not any(name in parts for parts in _holders(layer)):
            return (
                f"hooks compute its {name}; make it lasting first (torch.nn.utils."
                f"remove_weight_norm, remove_spectral_norm or prune.remove(layer, '{name}'))"
            )
        tensor = getattr(layer, name)
        if tensor is None:
            continue
        if not isinstance(tensor, torch.Tensor) or type(tensor) not in (torch.Tensor, nn.Parameter):
            return f"its {name} is a {type(tensor).__name__}, not a plain tensor"
        if tensor.layout != torch.strided:
            return f"its {name} is sparse; make it dense first"
        if tensor.device.type == "cpu" and not bool(torch.isfinite(tensor).all()):
            return f"its {name} is not finite"
    return ""


def _why_not_by_attributes(layer: Any) -> str:
    """Return which hooks, modules or attributes of a layer a replacement could not take over."""
    hooks = [hook for name in _STATE_HOOKS for hook in getattr(layer, name).values()]
    if any(not str(hook.__module__).startswith("torch.nn.utils.") for hook in hooks):
        return "it has hooks of its state, which a replacement stores under other names"
    if layer._backward_hooks and layer._is_full_backward_hook is False:
        return "it has a register_backward_hook; use register_full_backward_hook"
    if layer._modules.keys() - {"parametrizations"}:
        return f"it holds modules: {_few(layer._modules.keys() - {'parametrizations'})}"
    clash = _TAKEN & {*vars(layer), *layer._parameters, *layer._buffers}
    return f"it has attributes that a replacement needs itself: {_few(clash)}" if clash else ""


def _holders(layer: Any) -> tuple[Any, ...]:
    """Return the dictionaries that hold those tensors of a layer that no hook computes."""
    parametrised = layer.parametrizations if is_parametrized(layer) else {}
    return layer._parameters, layer._buffers, parametrised


def _few(names: Any) -> str:
    """Return up to three names in words."""
    shown = sorted(names)
    return ", ".join(shown[:3]) + (" and more" if len(shown) > 3 else "")


def _notes(model: nn.Module, layer: Any) -> tuple[str, ...]:
    """Return what a replacement takes over, makes permanent or no longer shares, in words."""
    notes = []
    kind = type_before_parametrizations(layer)
    if kind not in (nn.Linear, nn.Conv2d):
        notes.append(f"was of the class {kind.__name__}")
    for attribute, words in HOOKS.items():
        number = len(getattr(layer, attribute)) if words else 0
        if number:
            notes.append(f"{number} {words}{'s' * (number > 1)} moved across")
    own = [*own_names(layer._parameters), *own_names(layer._buffers)]
    if own:
        notes.append(f"{_few(own)} moved across")
    if is_parametrized(layer):
        notes.append(f"parametrised {_few(layer.parametrizations)} made lasting")
    mine = {id(part) for part in layer._parameters.values() if part is not None}
    tied = [
        f"{name}.{key}" if name else key
        for name, module in model.named_modules()
        if module is not layer
        for key, part in module._parameters.items()
        if id(part) in mine
    ]
    if tied:
        notes.append(f"no longer tied to {_few(tied)}")
    return tuple(notes)


def why_not_copied(layer: Any) -> str:
    """Return why a layer is no plain product by a matrix that can be read; empty if it is."""
    return _why_not_by_class(layer) or _why_not_by_weights(layer)
