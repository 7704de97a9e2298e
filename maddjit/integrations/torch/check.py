"""Whether a PyTorch model answers alike with exact products in the places of its layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from maddjit.integrations.agreement import ReplacementError, check_same
from maddjit.integrations.torch.layers import Places, take_over
from maddjit.integrations.torch.modules import ExactConv1x1, ExactLinear
from maddjit.integrations.torch.rows import Watch, call


def run_checked(model: nn.Module, batch: Any, watches: dict[str, Watch]) -> None:
    """Run a batch while watches sample, again as it is, and with exact products in their places.

    All runs start from the same random numbers and buffers, and each gets a copy of the batch.
    Where an exact product is called less often than its layer, `why_not` of its watch says so.

    Raises
    ------
    ValueError
        If two runs of the model as it is differ.
    ReplacementError
        If exact products give other outputs. All layers are back in their places then.
    """
    runs = _Runs(model, batch)
    first = runs.answers()
    end = _State(model)
    for watch in watches.values():
        watch.sampling = False
        watch.calls.clear()
    try:
        second = runs.answers()
        path, _ = _difference(first, second)
        if path:
            raise ValueError(
                f"two runs of the model on the same batch differ in {path}, before anything is "
                "replaced, so a replacement cannot be compared with it. Does the model keep a "
                "cache or other state, or draw numbers that torch's generator does not know? "
                "check=False goes without the comparison"
            )
        called = {name: len(watch.calls) for name, watch in watches.items()}
        stand_ins = {
            name: _exact(watch.layer)
            for name, watch in watches.items()
            if called[name] and watch.weight is not None and not watch.why_not
        }
        found = runs.answers({watches[name].layer: made for name, made in stand_ins.items()})
        for name, made in stand_ins.items():
            calls = watches[name].calls[called[name] :]
            if sum(module is made for module in calls) < called[name]:
                watches[name].why_not = "it is called by another way than as a submodule"
        path, how = _difference(second, found)
        if path:
            alone = [
                name
                for name, made in stand_ins.items()
                if _difference(second, runs.answers({watches[name].layer: made}))[0]
            ]
            names = f"; so it does with {', '.join(alone)} replaced alone" if alone else ""
            raise ReplacementError(f"{how}{names}; leave such layers out by pattern=")
    finally:
        end.restore()
        for watch in watches.values():
            watch.sampling = True
            watch.calls.clear()


class _Runs:
    """Runs of a model on one batch that start from one state."""

    def __init__(self, model: nn.Module, batch: Any) -> None:
        self.model, self.batch = model, batch
        self.start = _State(model)

    def answers(self, others: dict[Any, nn.Module] | None = None) -> dict[str, Any]:
        """Return what the output consists of, with other modules in the places of layers."""
        self.start.restore()
        plain = dict(self.batch) if isinstance(self.batch, Mapping) else self.batch
        batch = tree_map_only(torch.Tensor, torch.clone, plain)
        with _Placed(self.model, others or {}):
            return parts(call(self.model, batch))


class _Placed(Places):
    """Modules in the places of layers, for a while."""

    def __init__(self, model: nn.Module, others: dict[Any, nn.Module]) -> None:
        super().__init__(model, list(others))
        self.others = others

    def __enter__(self) -> None:
        self.put(self.others)

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.put_back()
        if error is not None and self.others:
            error.add_note(
                "The model failed so with maddjit's exact products in the places of "
                f"{len(self.others)} layers; nothing was replaced."
            )


class _State:
    """The buffers of a model and torch's random numbers, as they are now."""

    def __init__(self, model: nn.Module) -> None:
        self.random = torch.get_rng_state()
        self.buffers = [(module._buffers, dict(module._buffers)) for module in model.modules()]
        held = {id(b): b for _, kept in self.buffers for b in kept.values() if b is not None}
        self.values = [(buffer, buffer.clone()) for buffer in held.values()]

    def restore(self) -> None:
        torch.set_rng_state(self.random)
        for buffers, kept in self.buffers:
            buffers.clear()
            buffers.update(kept)
        for buffer, value in self.values:
            if not torch.equal(buffer, value):  # NaN is written again, which does no harm
                buffer.copy_(value)


def _exact(layer: Any) -> nn.Module:
    """Return a stand-in on the layer's own memory, for products may depend on its alignment."""
    weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
    made = (
        ExactConv1x1(weight, bias, layer.stride)
        if isinstance(layer, nn.Conv2d)
        else ExactLinear(weight, bias)
    )
    take_over(layer, made)
    return made


def parts(output: Any, path: str = "output", within: tuple[Any, ...] = ()) -> dict[str, Any]:
    """Return copies of the tensors, numbers and texts of an output, by their places in it."""
    if isinstance(output, torch.Tensor) and not output.is_nested:
        return {path: output.detach().clone()}
    if any(output is each for each in within):
        return {path: "a circle"}
    inner: dict[str, Any] = {}
    if isinstance(output, Mapping):
        inner = {f"[{key!r}]": value for key, value in output.items()}
    elif isinstance(output, tuple | list) or getattr(output, "is_nested", False):
        inner = {f"[{i}]": value for i, value in enumerate(output)}
    elif isinstance(output, np.ndarray):
        return {path: output.copy()}
    elif isinstance(output, bool | int | float | complex | str | bytes | None):
        return {path: output}
    elif is_dataclass(output) and not isinstance(output, type):
        inner = {f".{field.name}": getattr(output, field.name) for field in fields(output)}
    elif hasattr(output, "__dict__") and not callable(output):
        inner = {f".{key}": value for key, value in vars(output).items()}
    found: dict[str, Any] = {path: f"a {type(output).__name__}"}
    for key, value in inner.items():
        found |= parts(value, path + key, (*within, output))
    return found


def _difference(one: dict[str, Any], other: dict[str, Any]) -> tuple[str, str]:
    """Return where the parts of two outputs differ first, and how; empty if they are alike."""
    start = "with its exact product in place,"
    for path in {**one, **other}:
        if not (path in one and path in other):
            return path, f"{start} {path} is there in one output alone"
        before, after = one[path], other[path]
        if torch.is_tensor(before) and torch.is_tensor(after):
            if before.dtype != after.dtype:
                return path, f"{start} {path} is of {after.dtype} and was of {before.dtype}"
            if before.shape == after.shape and torch.equal(before, after):
                continue
        try:
            check_same(path, _array(before), _array(after))
        except ReplacementError as error:
            return path, str(error)
    return "", ""


def _array(value: Any) -> Any:
    if not torch.is_tensor(value):
        return value
    dense = value.dequantize() if value.is_quantized else value
    dense = dense.to_dense() if dense.layout != torch.strided else dense
    return (dense.double() if dense.is_floating_point() else dense).cpu().numpy()
