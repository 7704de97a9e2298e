"""Wall-clock of one layer on a device, forward and with backward, plain and by torch.compile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from benchmarks.harness.machine import Missing, first_line
from benchmarks.harness.tables import Record
from benchmarks.harness.timing import Candidate, take_turns
from benchmarks.suites.networks import running
from benchmarks.suites.networks.methods import Wallclock
from maddjit.integrations.torch import StrassenTileLinear

RANKS = (16, 24, 32)
DENSE = "dense"


def measure(subject: Wallclock, limits: Any) -> Record:
    """Return times of dense and tile layers of one size on a device, as ratios to dense."""
    if subject.device == "cuda" and not torch.cuda.is_available():
        raise Missing("there is no CUDA device")
    tokens, n_features, n_outputs = subject.sizes
    dtype = getattr(torch, subject.dtype)
    x = torch.randn(tokens // 64, 64, n_features, device=subject.device, dtype=dtype)
    layers: dict[str, nn.Module] = {DENSE: nn.Linear(n_features, n_outputs)}
    layers |= {f"r = {r}": StrassenTileLinear(n_features, n_outputs, rank=r) for r in RANKS}
    ways: list[Candidate] = []
    left_out: dict[str, str] = {}
    for name, call in _calls(layers, x, subject, left_out):
        ways.append(Candidate(name, "layer", _waited(call, subject.device)))
    turns = take_turns(ways, limits.rounds, 0.05, uncounted=2)
    return {
        "title": f"{' × '.join(map(str, subject.sizes))}, {subject.dtype}",
        "kind": "wall-clock",
        "device": torch.cuda.get_device_name() if subject.device == "cuda" else subject.device,
        "where": running.where(),
        "left_out": left_out,
        "ms": {way.name: turns.per(way.name, unit=1e3) for way in ways},
        "speed": {
            way.name: turns.ratio(f"{DENSE}, {way.name.partition(', ')[2]}", way.name)
            for way in ways
        },
    }


def _calls(
    layers: dict[str, nn.Module], x: Any, subject: Wallclock, left_out: dict[str, str]
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield a call of each layer, forward alone and with backward, plain and compiled."""
    for name, layer in layers.items():
        layer.to(x.device, x.dtype)
        plain = {"eager": layer}
        if subject.compiles:
            plain["torch.compile"] = torch.compile(layer)  # type: ignore[assignment]
        for how, made in plain.items():
            forward, both = _forward(made, x), _both(made, x)
            try:
                forward()
                both()
            except RuntimeError as error:  # a device that is too small, or a compiler that fails
                left_out[f"{name}, {how}"] = first_line(error)
                continue
            yield f"{name}, forward, {how}", forward
            yield f"{name}, forward and backward, {how}", both


def _forward(layer: nn.Module, x: Any) -> Callable[[], object]:
    def call() -> object:
        with torch.inference_mode():
            return layer(x)

    return call


def _both(layer: nn.Module, x: Any) -> Callable[[], object]:
    given = x.detach().requires_grad_()

    def call() -> None:
        layer.zero_grad()
        given.grad = None
        outputs = layer(given)
        torch.autograd.backward(outputs, torch.ones_like(outputs))

    return call


def _waited(call: Callable[[], object], device: str) -> Callable[[], object]:
    """Return a call that ends when the device has ended."""
    if device != "cuda":
        return call

    def until_done() -> None:
        call()
        torch.cuda.synchronize()

    return until_done
