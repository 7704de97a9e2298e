"""Watch the layers of a PyTorch model: sample the rows that reach them, note calls and weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


class Watch:
    """A forward pre-hook that watches what reaches one layer, after all hooks of its own.

    Attributes
    ----------
    rows : (N, D) float32
        A random sample. Every row draws a number, and the rows with the smallest numbers are kept,
        so all rows are equally likely to be in it.
    weight, bias : tensor or None
        Copies of those that the first call used.
    why_not : str
        Why the layer cannot be replaced; empty if nothing speaks against it.
    calls : list of nn.Module
        For each call, the module that stood in the layer's place.
    sampling : bool
        False if calls are counted and no rows are sampled.
    """

    def __init__(self, layer: Any, n_features: int, max_rows: int, rng: np.random.Generator):
        self.layer, self.max_rows, self.rng = layer, max_rows, rng
        self.drawn: NDArray[np.float64] = np.empty(0)
        self.rows: NDArray[np.float32] = np.empty((0, n_features), np.float32)
        self.weight: Any = None
        self.bias: Any = None
        self.why_not = ""
        self.calls: list[nn.Module] = []
        self.sampling = True

    def __call__(self, layer: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Sample the rows of one call of the layer, and compare its weights with earlier ones."""
        self.calls.append(layer)
        if not self.sampling:
            return
        x: Any = inputs[0] if inputs else named.get("input")
        if not torch.is_tensor(x):  # the layer itself will raise the error
            return
        x = x.detach()
        self.sample(_strided(layer, x).movedim(-3, -1) if isinstance(layer, nn.Conv2d) else x)
        self._look_at_weights()

    def sample(self, x: Any) -> None:
        """Add rows (…, D) to the sample."""
        rows = x.reshape(-1, x.shape[-1]).to(torch.float32).numpy()
        least = self.draw(len(rows), self.max_rows)
        self.rows = np.concatenate([self.rows, rows])[least]

    def draw(self, number: int, most: int) -> NDArray[np.intp]:
        """Return which are kept of those in the sample and of a number behind them."""
        drawn = np.concatenate([self.drawn, self.rng.random(number)])
        least = np.argsort(drawn, kind="stable")[:most]
        self.drawn = drawn[least]
        return least

    @property
    def n_rows(self) -> int:
        """The number of rows in the sample."""
        return len(self.rows)

    @property
    def float_weight(self) -> NDArray[np.float32]:
        """The weight as a matrix (M, D)."""
        weight: NDArray[np.float32] = self.weight.to(torch.float32).flatten(1).numpy()
        return weight

    @property
    def float_bias(self) -> NDArray[np.float32] | None:
        """The bias (M,), or None if the layer has none."""
        if self.bias is None:
            return None
        bias: NDArray[np.float32] = self.bias.to(torch.float32).numpy()
        return bias

    def _look_at_weights(self) -> None:
        weight, bias = self.layer.weight, self.layer.bias
        if self.weight is None:
            self.weight = weight.detach().clone()
            self.bias = None if bias is None else bias.detach().clone()
        elif not _same(weight, self.weight) or not _same(bias, self.bias):
            self.why_not = "its weight or bias changes from call to call"


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return bool(torch.equal(one, other))


def _strided(layer: Any, x: Any) -> Any:
    down, right = layer.stride
    return x[..., ::down, ::right]


@contextmanager
def watching(watches: Iterable[Watch]) -> Iterator[None]:
    """Let watches see the calls of their layers, as long as the context lasts."""
    hooks = [watch.layer.register_forward_pre_hook(watch, with_kwargs=True) for watch in watches]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode without gradients, and restore all modes at the end."""
    training = {module: module.training for module in model.modules()}
    try:
        model.eval()
        with torch.no_grad():
            yield
    finally:
        for module, was in training.items():
            if module.training != was:
                module.train(was)  # a class may do more here than set the flag
        for module, was in training.items():
            module.training = was


def call(model: nn.Module, batch: Any) -> Any:
    """Call a model on a batch: a tensor, or its positional or named arguments.

    Raises
    ------
    TypeError
        If the model's forward does not take as many arguments, or arguments of these names.
    """
    named = dict(batch) if isinstance(batch, Mapping) else {}
    listed = batch if isinstance(batch, tuple | list) else (batch,)
    listed = () if isinstance(batch, Mapping) else listed
    if not model._forward_pre_hooks:  # which may change the arguments
        try:
            signature(model.forward).bind(*listed, **named)
        except TypeError as error:
            raise TypeError(
                f"the model does not take a batch as its arguments: {error}. Tuples and lists are "
                "positional arguments, mappings named ones; labels must be left out"
            ) from None
    return model(*listed, **named)
