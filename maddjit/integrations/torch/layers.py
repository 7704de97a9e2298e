"""Which layers of a PyTorch model can be replaced, and what their replacements take over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

# All that says which hooks a call runs, and how.
_HOOKS = {
    "_forward_pre_hooks": "forward pre-hook",
    "_forward_pre_hooks_with_kwargs": "",
    "_forward_hooks": "forward hook",
    "_forward_hooks_with_kwargs": "",
    "_forward_hooks_always_called": "",
    "_backward_pre_hooks": "backward pre-hook",
    "_backward_hooks": "backward hook",
}
_STATE_HOOKS = (
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
# What a subclass may define and still compute and store what its base does.
_HARMLESS = {
    *("__init__", "__repr__", "extra_repr", "reset_parameters"),
    *("__module__", "__doc__", "__annotations__", "__constants__", "__orig_bases__"),
    *("__parameters__", "__static_attributes__", "__firstlineno__", "__type_params__"),
    *("__annotate__", "__annotate_func__", "__annotations_cache__"),
}
_TAKEN = {"packed", "tables", "base", "key"}  # attributes of every replacement


@dataclass(frozen=True)
class Candidate:
    """A layer that a pattern asks for.

    Attributes
    ----------
    name : str
    layer : nn.Module
    shape : (int, int)
        Inputs and outputs.
    why_not : str
        Why it cannot be replaced, or nothing.
    exactly : bool
        A pattern without wildcards asks for it.
    notes : tuple of str
        What else a replacement means for it, for the report.
    """

    name: str
    layer: Any
    shape: tuple[int, int]
    why_not: str
    exactly: bool
    notes: tuple[str, ...]


def candidates(model: nn.Module, pattern: str | Sequence[str] | None) -> list[Candidate]:
    """Return the linear layers by the first name that matches; each counts once.

    Raises
    ------
    ValueError
        If there is none, one is not initialised, or something is compiled.
    TypeError
        If one that can be replaced is not on the CPU or not of floating point.
    """
    _refuse_the_whole(model)
    patterns = [pattern] if isinstance(pattern, str) else pattern
    kept = _read_by_parents(model)
    found: list[Candidate] = []
    for name, layer in model.named_modules(remove_duplicate=False):
        if not _is_linear(layer) or any(layer is other.layer for other in found):
            continue
        if patterns is not None and not any(fnmatchcase(name, each) for each in patterns):
            continue
        if any(is_lazy(part) for part in layer.parameters()):
            raise ValueError(f"{name} is not initialised: call the model once on a batch before")
        why_not = kept.get(layer) or _why_not(layer)
        if not why_not and not (layer.weight.device.type == "cpu" and _is_floating(layer)):
            raise TypeError(f"{name} must be of floating point and on the CPU")
        shape = (
            (layer.in_channels, layer.out_channels)
            if isinstance(layer, nn.Conv2d)
            else (layer.in_features, layer.out_features)
        )
        exactly = name in (patterns or ())
        found.append(Candidate(name, layer, shape, why_not, exactly, _notes(model, layer)))
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
    """Return the layers whose weights PyTorch takes instead of calling them, and why they stay."""
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
    """Return what of a layer a replacement could not do, or nothing."""
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
    if own:
        return f"its own {_few(own)} stands in the place of its class's"
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
    """Return where the tensors of a layer are that are not computed by hooks."""
    parametrised = layer.parametrizations if is_parametrized(layer) else {}
    return layer._parameters, layer._buffers, parametrised


def _few(names: Any) -> str:
    shown = sorted(names)
    return ", ".join(shown[:3]) + (" and more" if len(shown) > 3 else "")


def _notes(model: nn.Module, layer: Any) -> tuple[str, ...]:
    """Return what of a layer is moved across, made lasting or parted from others."""
    notes = []
    kind = type_before_parametrizations(layer)
    if kind not in (nn.Linear, nn.Conv2d):
        notes.append(f"was of the class {kind.__name__}")
    for attribute, words in _HOOKS.items():
        number = len(getattr(layer, attribute)) if words else 0
        if number:
            notes.append(f"{number} {words}{'s' * (number > 1)} moved across")
    own = [*_extra(layer._parameters), *_extra(layer._buffers)]
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


def _extra(parts: Any) -> list[str]:
    return [name for name in parts if name not in ("weight", "bias")]


def take_over(old: Any, new: Any) -> None:
    """Give a replacement the hooks, mode, parameters, buffers and attributes of its layer.

    Dictionaries of hooks are shared, so that their handles still remove them.
    """
    for name in _HOOKS:
        new.__dict__[name] = old.__dict__[name]
    new._is_full_backward_hook = old._is_full_backward_hook
    new.training = old.training
    for name in _extra(old._parameters):
        new._parameters[name] = old._parameters[name]
    for name in _extra(old._buffers):
        new._buffers[name] = old._buffers[name]
    new._non_persistent_buffers_set |= old._non_persistent_buffers_set & new._buffers.keys()
    for name, value in vars(old).items():
        if name not in vars(new) and not hasattr(type(new), name):
            new.__dict__[name] = value


class Places:
    """Where layers stand in a model, to put others there and to put them back."""

    def __init__(self, model: nn.Module, layers: Sequence[Any]) -> None:
        ids = {id(layer) for layer in layers}
        self._slots = [
            (parent._modules, key, child)
            for parent in model.modules()
            for key, child in parent._modules.items()  # named_children leaves out repetitions
            if id(child) in ids
        ]

    def put(self, others: dict[Any, nn.Module]) -> None:
        """Put other modules where layers are."""
        for modules, key, layer in self._slots:
            if layer in others:
                modules[key] = others[layer]

    def put_back(self) -> None:
        """Put the layers where they were."""
        for modules, key, layer in self._slots:
            modules[key] = layer
