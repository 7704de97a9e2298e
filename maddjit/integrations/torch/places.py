"""Put other modules in the places of a PyTorch model's layers, and give them what layers own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from torch import nn

HOOKS = {
    "_forward_pre_hooks": "forward pre-hook",
    "_forward_pre_hooks_with_kwargs": "",
    "_forward_hooks": "forward hook",
    "_forward_hooks_with_kwargs": "",
    "_forward_hooks_always_called": "",
    "_backward_pre_hooks": "backward pre-hook",
    "_backward_hooks": "backward hook",
}
"""The attributes that say which hooks a call runs and how, and what reports call these hooks."""


DENSE = frozenset({"weight", "bias"})
"""The parameters of nn.Linear and nn.Conv2d."""


def own_names(parts: Iterable[str], common: Collection[str] = DENSE) -> list[str]:
    """Return the names of the parameters or buffers that are not common to a kind of layer."""
    return [name for name in parts if name not in common]


def take_over(old: Any, new: Any, common: Collection[str] = DENSE) -> None:
    """Give a replacement the hooks, mode, parameters, buffers and attributes of its layer.

    The two share the dictionaries of hooks, so that the handles of the hooks still remove them.
    Parameters that are common to the old layer's kind are left behind.
    """
    for name in HOOKS:
        new.__dict__[name] = old.__dict__[name]
    new._is_full_backward_hook = old._is_full_backward_hook
    new.training = old.training
    for name in own_names(old._parameters, common):
        new._parameters[name] = old._parameters[name]
    for name in own_names(old._buffers, common):
        new._buffers[name] = old._buffers[name]
    new._non_persistent_buffers_set |= old._non_persistent_buffers_set & new._buffers.keys()
    for name, value in vars(old).items():
        if name not in vars(new) and not hasattr(type(new), name):
            new.__dict__[name] = value


class Places:
    """The places of layers in a model, where other modules can be put, and the layers put back."""

    def __init__(self, model: nn.Module, layers: Sequence[Any]) -> None:
        ids = {id(layer) for layer in layers}
        self._slots = [
            (parent._modules, key, child)
            for parent in model.modules()
            for key, child in parent._modules.items()  # named_children leaves out repetitions
            if id(child) in ids
        ]

    def put(self, others: dict[Any, nn.Module]) -> None:
        """Put other modules in the places of their layers; the keys of `others` are the layers."""
        for modules, key, layer in self._slots:
            if layer in others:
                modules[key] = others[layer]

    def put_back(self) -> None:
        """Put all layers back into their places."""
        for modules, key, layer in self._slots:
            modules[key] = layer
