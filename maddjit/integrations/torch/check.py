"""Compare a PyTorch model's outputs with those that it gives with exact products in its layers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from maddjit.integrations.agreement import ReplacementError, check_same
from maddjit.integrations.torch.places import Places
from maddjit.integrations.torch.rows import Watch, call


def run_checked(
    model: nn.Module,
    batch: Any,
    watches: Mapping[str, Watch],
    stand_in_for: Callable[[Any], nn.Module],
) -> None:
    """Run a batch three times: watched, as it is, and with exact products in the layers' places.

    `stand_in_for` returns a module that multiplies exactly and else is like a layer's replacement.
    Watches sample rows in the first run alone. All runs start from the same random numbers and
    buffers, and each gets a copy of the batch; after the last one, random numbers and buffers are
    as after the first. If a stand-in is called less often than its layer, `why_not` of the layer's
    watch says so.

    Raises
    ------
    ValueError
        If the first two runs differ.
    ReplacementError
        If the outputs with exact products differ. All layers are back in their places then.
    """
    runs = _Runs(model, batch)
    first = runs.outputs()
    end = _Snapshot(model)
    try:
        with _counting(watches.values()):
            second = runs.outputs()
            _check_repeatable(first, second)
            n_calls = {name: len(watch.calls) for name, watch in watches.items()}
            stand_ins = {
                name: stand_in_for(watch.layer)
                for name, watch in watches.items()
                if n_calls[name] and watch.weight is not None and not watch.why_not
            }
            others = {name: {watches[name].layer: made} for name, made in stand_ins.items()}
            third = runs.outputs({k: v for each in others.values() for k, v in each.items()})
            for name, made in stand_ins.items():
                calls = watches[name].calls[n_calls[name] :]
                if sum(module is made for module in calls) < n_calls[name]:
                    watches[name].why_not = "it is called by another way than as a submodule"
            _check_alike(second, third, runs, others)
    finally:
        end.restore()


@contextmanager
def _counting(watches: Collection[Watch]) -> Iterator[None]:
    """Let watches count calls from 0 on and sample no rows, as long as the context lasts."""
    try:
        for watch in watches:
            watch.sampling = False
            watch.calls.clear()
        yield
    finally:
        for watch in watches:
            watch.sampling = True
            watch.calls.clear()


def _check_repeatable(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Refuse a model whose two runs on the same batch differ."""
    path, _ = _difference(first, second)
    if path:
        raise ValueError(
            f"two runs of the model on the same batch differ in {path}, before anything is "
            "replaced, so a replacement cannot be compared with it. Does the model keep a "
            "cache or other state, or draw numbers that torch's generator does not know? "
            "check=False goes without the comparison"
        )


def _check_alike(
    expected: dict[str, Any],
    found: dict[str, Any],
    runs: _Runs,
    others: Mapping[str, dict[Any, nn.Module]],
) -> None:
    """Refuse outputs that differ, and name the layers whose stand-ins alone make a difference."""
    path, how = _difference(expected, found)
    if path:
        alone = [
            name for name, other in others.items() if _difference(expected, runs.outputs(other))[0]
        ]
        names = f"; so it does with {', '.join(alone)} replaced alone" if alone else ""
        raise ReplacementError(f"{how}{names}; leave such layers out by pattern=")


class _Runs:
    """Runs of a model on one batch, all from the same state."""

    def __init__(self, model: nn.Module, batch: Any) -> None:
        self.model, self.batch = model, batch
        self.start = _Snapshot(model)

    def outputs(self, others: dict[Any, nn.Module] | None = None) -> dict[str, Any]:
        """Run the model, with `others` in the places of layers, and return its output in pieces."""
        self.start.restore()
        plain = dict(self.batch) if isinstance(self.batch, Mapping) else self.batch
        batch = tree_map_only(torch.Tensor, torch.clone, plain)
        with _Placed(self.model, others or {}):
            return _pieces(call(self.model, batch))


class _Placed(Places):
    """A context in which other modules are in the places of layers."""

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


class _Snapshot:
    """The buffers of a model and the state of torch's random numbers, to be restored."""

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


def _pieces(output: Any, path: str = "output", within: tuple[Any, ...] = ()) -> dict[str, Any]:
    """Return copies of the tensors, numbers and texts in an output, by their paths in it."""
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
        found |= _pieces(value, path + key, (*within, output))
    return found


def _difference(one: dict[str, Any], other: dict[str, Any]) -> tuple[str, str]:
    """Return the first path at which two outputs differ, and how; both are empty if none does."""
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
    """Return a tensor as an array, in float64 if it is of floating point; other values as is."""
    if not torch.is_tensor(value):
        return value
    dense = value.dequantize() if value.is_quantized else value
    dense = dense.to_dense() if dense.layout != torch.strided else dense
    return (dense.double() if dense.is_floating_point() else dense).cpu().numpy()
