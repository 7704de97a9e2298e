"""Trained networks in use: examples a second of each, plain, in fewer bits, and compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from benchmarks.harness.machine import Missing, first_line
from benchmarks.harness.tables import Record
from benchmarks.harness.timing import Candidate, take_turns
from benchmarks.rivals.candidates import UNAVAILABLE
from benchmarks.rivals.eight_bit import torch_linear
from benchmarks.suites.networks import making, running, tables, training
from benchmarks.suites.networks.methods import Inference, Run
from benchmarks.suites.networks.vit import Network
from maddjit import TargetError

FLOAT32 = "dense: torch float32"
_BATCHES = 256, 16
"""Examples of a call."""


class Bfloat16Linear(nn.Module):
    """A dense layer whose product is in bfloat16, with float32 in and out."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight.bfloat16(), layer.bias.bfloat16()

    def forward(self, input: Any) -> Any:  # nn.Linear calls its argument so
        """Return outputs of inputs."""
        return nn.functional.linear(input.bfloat16(), self.weight, self.bias).float()


class Int8Linear(nn.Module):
    """A dense layer in 8 bits: `linear_dynamic`, which quantises its input in each call."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        self.multiply = torch_linear(weight.T, bias)

    def forward(self, input: Any) -> Any:  # nn.Linear calls its argument so
        """Return outputs of inputs."""
        return torch.from_numpy(self.multiply(input.contiguous().numpy()))


def measure(subject: Inference, limits: Any) -> Record:
    """Return examples a second and accuracy of trained networks, in turns."""
    data = running.data_of(subject.task)
    dense = _trained(Run(subject.task, subject.dense, 0), limits)
    left_out: dict[str, str] = {}
    networks = {FLOAT32: dense}
    for name, make in _ways(subject, dense, limits):
        try:
            networks[name] = made = make()
            with torch.inference_mode():
                made(data.test[:4])
        except (*UNAVAILABLE, TargetError) as error:
            networks.pop(name, None)
            left_out[name] = first_line(error)
    record = {
        "title": f"{data.title}: trained networks in use",
        "kind": "inference",
        "task": subject.task,
        "where": running.where(),
        "accuracy": {name: training.accuracy(net, data) for name, net in networks.items()},
        "left_out": left_out,
        "batches": [],
    }
    for size in _BATCHES:
        examples = data.test[:size]
        timed = [Candidate(name, "network", _call(net, examples)) for name, net in networks.items()]
        turns = take_turns(timed, limits.rounds, 0.02, uncounted=1)
        record["batches"].append(
            {
                "examples": size,
                "rates": {name: turns.per(name, size, 1e6) for name in networks},
                "speed": {name: turns.ratio(FLOAT32, name) for name in networks},
            }
        )
    return record


def _call(net: nn.Module, examples: Any) -> Callable[[], Any]:
    def call() -> Any:
        with torch.inference_mode():
            return net(examples)

    return call


def _ways(
    subject: Inference, dense: Network, limits: Any
) -> Iterator[tuple[str, Callable[[], nn.Module]]]:
    """Yield the other networks by name: the dense one in fewer bits, others plain and compiled."""
    yield "dense: bfloat16 layers", lambda: _with_layers(dense, Bfloat16Linear)
    yield "dense: 8-bit layers", lambda: _with_layers(dense, Int8Linear)
    for method in subject.others:
        if running.is_kept(run := Run(subject.task, method, 0), limits):
            net = _trained(run, limits)
            yield f"{tables.words(method.name)}: torch float32", lambda net=net: net
            if method.kind == "tiles":
                yield f"{tables.words(method.name)}: compiled", lambda net=net: _compiled(net)
                yield (
                    f"{tables.words(method.name)}: compiled in bfloat16",
                    lambda net=net: _compiled(net, precision="bfloat16"),
                )


def _trained(run: Run, limits: Any) -> Network:
    """Return the network that a run ended with."""
    net = making.network(run.method, running.data_of(run.task))
    net.load_state_dict(running.weights_of(run, limits))
    return net.eval()


def _with_layers(net: Network, kind: Callable[[Any], nn.Module]) -> Network:
    """Return a copy of a network with other layers in its blocks."""
    other = deepcopy(net)
    for name, layer in list(other.layers()):
        parent, _, last = name.rpartition(".")
        setattr(other.get_submodule(parent), last, kind(layer))
    return other


def _compiled(net: Network, **options: Any) -> nn.Module:
    """Return a copy of a network whose layers of tiles are compiled operators."""
    from maddjit.integrations import torch as own

    if not hasattr(own, "compile_layers"):
        raise Missing("this version compiles no layers")
    module: nn.Module = own.compile_layers(net, **options).module
    return module
