"""Networks of runs: their layers by each method, and what these layers hold and multiply."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.harness.tables import Record
from benchmarks.suites.networks.data import TOKENS, Data
from benchmarks.suites.networks.layers import BLOCKS, LowRankLinear, MonarchLinear, TwoOfFourLinear
from benchmarks.suites.networks.methods import DEPTH, HEADS, TILE, Method
from benchmarks.suites.networks.vit import Maker, Network
from maddjit.integrations.torch import StrassenTileLinear
from maddjit.models.schemes import conditioned

CALIBRATED = 1000
"""Training examples whose rows layers are fitted to."""


def work(rank: int, n_features: int, n_outputs: int) -> int:
    """Return the multiply-adds of a tile layer for one token: core, encoding and decoding."""
    core = rank * n_features * n_outputs // TILE**3
    return core + rank * (n_features + n_outputs)


def low_rank_of(rank: int, n_features: int, n_outputs: int) -> int:
    """Return the rank of a product of low rank that has no more multiply-adds than tiles."""
    return work(rank, n_features, n_outputs) // (n_features + n_outputs)


def monarch_of(rank: int, n_features: int, n_outputs: int) -> int:
    """Return the inner width of a Monarch layer that has no more multiply-adds than tiles."""
    inner = work(rank, n_features, n_outputs) * BLOCKS // (n_features + n_outputs)
    return inner // BLOCKS**2 * BLOCKS**2


def maker(method: Method) -> Maker:
    """Return what makes a linear layer by a method."""
    if method.kind == "tiles":
        grid: Any = {"rows": "patches", "grid": (4, 4)} if method.squares else {}
        return partial(StrassenTileLinear, tile=TILE, rank=method.rank, init=method.init, **grid)
    if method.kind == "low rank":
        return lambda D, M: LowRankLinear(D, M, low_rank_of(method.rank, D, M))
    if method.kind == "Monarch":
        return lambda D, M: MonarchLinear(D, M, monarch_of(method.rank, D, M))
    return {"dense": nn.Linear, "2:4": TwoOfFourLinear}[method.kind]


def network(method: Method, data: Data) -> Network:
    """Return a new network whose blocks have layers by a method."""
    return Network(data.stem, data.classes, method.width, DEPTH, HEADS, maker(method))


def from_dense(method: Method, data: Data, weights: Record) -> Network:
    """Return the network of a method whose layers are made from those of a trained dense network.

    Layers of tiles and of low rank are fitted to rows of training examples, as the dense network
    has them.
    """
    dense = replace(method, kind="dense")
    net = network(dense, data)
    net.load_state_dict(weights)
    if method.kind == "dense":
        return net
    rows = inputs(net, data.train[:: max(1, len(data.train) // CALIBRATED)])
    for name, layer in list(net.layers()):
        parent, _, last = name.rpartition(".")
        setattr(net.get_submodule(parent), last, converted(method, layer, rows[name]))
    return net


def converted(method: Method, layer: Any, rows: Any) -> nn.Module:
    """Return a layer by a method that is like a dense one on some rows."""
    if method.kind == "low rank":
        rank = low_rank_of(method.rank, layer.in_features, layer.out_features)
        return LowRankLinear.from_linear(layer, rank, rows.flatten(0, 1))
    # The fit would choose schemes of less error, whose products cancel: they learn badly.
    scheme = conditioned(method.rank, TILE)
    made: nn.Module = StrassenTileLinear.from_linear(layer, scheme=scheme, calibration=rows)
    return made


@torch.no_grad()
def inputs(net: Network, examples: Any) -> dict[str, Any]:
    """Return the input (n, T, D) of each linear layer of the blocks for some examples."""
    found: dict[str, Any] = {}

    def keep(name: str, module: nn.Module, given: Any) -> None:
        found[name] = given[0]

    hooks = [layer.register_forward_pre_hook(partial(keep, name)) for name, layer in net.layers()]
    net(examples)
    for hook in hooks:
        hook.remove()
    return found


def counts(net: Network) -> Record:
    """Return parameters, and the multiply-adds of the blocks for one example, part by part."""
    core = encode = decode = 0
    for _, layer in net.layers():
        if isinstance(layer, StrassenTileLinear):
            n, d, m = layer.tile
            tiles = -(-TOKENS // n)
            rank, rows, columns = layer.encoded().shape
            core += tiles * rank * rows * columns
            encode += tiles * rank * n * d * rows
            decode += tiles * rank * n * m * columns
        elif isinstance(layer, nn.Linear) and not isinstance(layer, TwoOfFourLinear):
            core += TOKENS * layer.weight.numel()
        else:
            core += TOKENS * layer.macs()
    width = net.places.shape[1]
    return {
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "of_layers": sum(p.numel() for _, layer in net.layers() for p in layer.parameters()),
        "macs": {
            "core": core,
            "encode": encode,
            "decode": decode,
            "attention": 2 * len(net.blocks) * TOKENS**2 * width,
        },
    }
