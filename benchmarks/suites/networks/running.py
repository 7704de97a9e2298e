"""One run: make the network, train it, note what came of it, and keep its weights."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from benchmarks.harness import machine
from benchmarks.harness.tables import Record
from benchmarks.suites.networks import making, training
from benchmarks.suites.networks.data import DATA, Data
from benchmarks.suites.networks.methods import Run, dense_of
from benchmarks.suites.networks.training import Recipe
from benchmarks.tasks.cache import folder

_kept: dict[str, Record] = {}
"""Weights of this process's runs."""
_loaded: dict[str, Data] = {}
TUNING = 0.25
"""The peak rate of networks that begin from trained ones, over that of the others."""


def data_of(task: str) -> Data:
    """Load the examples of a task, once."""
    if task not in _loaded:
        _loaded.clear()
        _loaded[task] = DATA[task]()
    return _loaded[task]


def recipe_of(run: Run, limits: Any) -> Recipe:
    """Return how a run learns. What begins from a trained network learns for a quarter of it."""
    if run.method.trained:
        epochs = max(1, limits.epochs // 4)
        return Recipe(epochs, limits.batch, TUNING * limits.rate, warm_up=0.25)
    method = run.method
    return Recipe(method.longer * limits.epochs, limits.batch, method.faster * limits.rate)


def measure(run: Run, limits: Any) -> Record:
    """Train the network of a run, and return its record."""
    data, method = data_of(run.task), run.method
    weights = weights_of(dense_of(run), limits) if method.trained else None
    training.seeded(run.seed)
    start = perf_counter()
    if weights is None:
        net = making.network(method, data)
    else:
        net = making.from_dense(method, data, weights)
    making_seconds = round(perf_counter() - start, 2)
    recipe = recipe_of(run, limits)
    record = {
        "title": data.title,
        "source": data.source,
        "task": run.task,
        "method": method.name,
        "kind": method.kind,
        "rank": method.rank,
        "init": method.init,
        "width": method.width,
        "trained": method.trained,
        "seed": run.seed,
        "recipe": vars(recipe),
        "examples": [len(data.train), len(data.test)],
        **making.counts(net),
        "before": training.accuracy(net, data),
        "making_seconds": making_seconds,
        "where": where(),
    }
    epochs: list[Record] = []
    for epoch in training.train(net, data, recipe, run.seed):
        epochs.append(epoch)
        print(f"  {run.name} {len(epochs)}/{recipe.epochs}: {epoch}", flush=True)
    _keep(run, net, limits)
    return record | {key: [epoch[key] for epoch in epochs] for key in epochs[0]}


def where() -> Record:
    """Return the processor, the level, the versions, the commit and the time of a run."""
    facts = _facts()
    return {
        "cpu": facts["machine"]["cpu"],
        "level": facts["machine"]["level"],
        "torch": torch.__version__,
        "python": facts["versions"]["python"],
        "commit": facts["commit"],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@cache
def _facts() -> Record:
    return machine.describe()


def weights_of(run: Run, limits: Any) -> Record:
    """Return the weights that a run ended with. It is trained if nothing kept them."""
    if run.name not in _kept:
        if limits.keep and _file(run).is_file():
            _kept[run.name] = torch.load(_file(run), weights_only=True)
        else:
            measure(run, limits)
    return _kept[run.name]


def is_kept(run: Run, limits: Any) -> bool:
    """Tell whether the weights that a run ended with are there."""
    return run.name in _kept or (limits.keep and _file(run).is_file())


def _file(run: Run) -> Path:
    return folder() / "networks" / f"{run.name}.pt"


def _keep(run: Run, net: Any, limits: Any) -> None:
    """Keep the weights of a run in memory, and in a file unless the run is small."""
    _kept[run.name] = {name: value.clone() for name, value in net.state_dict().items()}
    if limits.keep:
        path = _file(run)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        torch.save(_kept[run.name], part)
        part.replace(path)
