"""The rows that reach layers of a PyTorch model, sampled at random."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def sampled(
    model: nn.Module, layers: dict[str, Any], batches: Iterable[Any], max_rows: int, seed: int
) -> dict[str, NDArray[np.float32]]:
    """Run the model and return a sample of the rows that reach each layer.

    Every row draws a number, and those with the least are kept, so all are as likely.
    """
    rng = np.random.default_rng(seed)
    kept = {
        name: (np.empty(0), np.empty((0, layer.weight.shape[1]), np.float32))
        for name, layer in layers.items()
    }

    def watch(name: str) -> Any:
        def see(layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            x = (inputs[0] if inputs else named["input"]).detach()
            x = _strided(layer, x).movedim(1, -1) if isinstance(layer, nn.Conv2d) else x
            rows = x.reshape(-1, x.shape[-1]).to(torch.float32).numpy()
            drawn = np.concatenate([kept[name][0], rng.random(len(rows))])
            all_rows = np.concatenate([kept[name][1], rows])
            least = np.argsort(drawn, kind="stable")[:max_rows]
            kept[name] = drawn[least], all_rows[least]

        return see

    training = {layer: layer.training for layer in model.modules()}
    hooks = [
        layer.register_forward_pre_hook(watch(name), with_kwargs=True)
        for name, layer in layers.items()
    ]
    try:
        model.eval()
        with torch.no_grad():
            for batch in batches:
                if isinstance(batch, dict):
                    model(**batch)
                elif isinstance(batch, tuple | list):
                    model(*batch)
                else:
                    model(batch)
    finally:
        for hook in hooks:
            hook.remove()
        for layer, was in training.items():
            layer.training = was
    return {name: rows for name, (_, rows) in kept.items()}


def _strided(layer: Any, x: Any) -> Any:
    down, right = layer.stride
    return x[..., ::down, ::right]
