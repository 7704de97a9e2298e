"""Training of one network: a recipe that is the same for all ways, and what is noted of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import torch
from torch import nn

from benchmarks.harness.tables import Record
from benchmarks.suites.networks.data import Data

WEIGHT_DECAY = 0.05
LONGEST = 1.0
"""Gradients that are longer than this, all parameters together, are shortened to it."""
SMOOTHING = 0.05
_TESTED = 500
"""Examples of a batch when a network is tested."""


@dataclass(frozen=True)
class Recipe:
    """How a network learns: its rate rises for `warm_up` epochs, then falls as a cosine does."""

    epochs: int
    batch: int
    rate: float
    warm_up: float = 1.0
    augmented: bool = True


def seeded(seed: int) -> None:
    """Begin all random numbers of PyTorch anew."""
    torch.manual_seed(seed)


def groups(net: nn.Module) -> list[dict[str, Any]]:
    """Return the parameters that decay and those that do not.

    Weights decay; biases, normalisations, places and the small factors of tiles do not.
    """
    still = {"encode", "decode", "places", "bias"}
    kinds: dict[bool, list[Any]] = {True: [], False: []}
    for name, parameter in net.named_parameters():
        last = name.rpartition(".")[2]
        kinds[parameter.ndim > 1 and last not in still].append(parameter)
    return [
        {"params": kinds[True], "weight_decay": WEIGHT_DECAY},
        {"params": kinds[False], "weight_decay": 0.0},
    ]


def train(net: nn.Module, data: Data, recipe: Recipe, seed: int) -> Iterator[Record]:
    """Train a network, and yield what is noted after each epoch."""
    order = torch.Generator().manual_seed(seed)
    steps = max(1, len(data.train) // recipe.batch)
    optimiser = torch.optim.AdamW(groups(net), recipe.rate, foreach=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _schedule(recipe, steps))
    for _ in range(recipe.epochs):
        start, cpu = perf_counter(), process_time()
        losses, norms = [], []
        net.train()
        chosen = torch.randperm(len(data.train), generator=order)
        for some in chosen[: steps * recipe.batch].reshape(steps, -1):
            examples = data.train[some]
            if recipe.augmented:
                examples = data.augment(examples)
            scores = net(examples)
            loss = nn.functional.cross_entropy(
                scores, data.train_labels[some], label_smoothing=SMOOTHING
            )
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            norms.append(float(nn.utils.clip_grad_norm_(net.parameters(), LONGEST)))
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                break
            optimiser.step()
            schedule.step()
        norms.sort()
        yield {
            "loss": _short(sum(losses) / len(losses)),
            "accuracy": accuracy(net, data),
            "gradient": [_short(norms[len(norms) // 2]), _short(norms[-1])],
            "seconds": round(perf_counter() - start, 1),
            "cpu_seconds": round(process_time() - cpu, 1),
        }
        if not math.isfinite(losses[-1]):
            return


def _schedule(recipe: Recipe, steps: int) -> Callable[[int], float]:
    """Return the share of the rate at each step."""
    rising, all_steps = recipe.warm_up * steps, recipe.epochs * steps

    def share(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, all_steps - rising)))

    return share


@torch.no_grad()
def accuracy(net: nn.Module, data: Data) -> float:
    """Return the share of test examples that a network classifies correctly."""
    net.eval()
    right = 0
    for start in range(0, len(data.test), _TESTED):
        some = slice(start, start + _TESTED)
        right += int((net(data.test[some]).argmax(1) == data.test_labels[some]).sum())
    return right / len(data.test)


def _short(value: float) -> float:
    return float(f"{value:.5g}")
