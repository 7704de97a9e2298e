"""The tables of the page on networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import mean

from benchmarks.harness.suite import Section
from benchmarks.harness.tables import Record, bold, number, percent, reasons, spread, table
from benchmarks.suites.networks.methods import DENSE, METHODS, Run, subjects

WORDS = {
    "dense": "dense",
    "dense-narrow": "dense, narrower, the multiply-adds of r = 24",
    "dense-wide": "dense, wider, the parameters of r = 24",
    "dense-longer": "dense, twice the epochs",
    "low-rank": "low rank, the multiply-adds of r = 24",
    "monarch": "Monarch, the multiply-adds of r = 24",
    "two-of-four": "2:4 sparsity",
    "dense-slower": "dense, half the rate",
    "dense-faster": "dense, twice the rate",
    "r24-slower": "r = 24, random, half the rate",
    "r24-faster": "r = 24, random, twice the rate",
    "r24-longer": "r = 24, random, twice the epochs",
    "dense-tuned": "dense, trained on",
    "low-rank-tuned": "low rank from dense, fitted",
    "r24-squares": "r = 24, random, tiles of 2 × 2 patches",
}
"""What tables call methods; others by their rank and start."""


def words(method: str) -> str:
    """Return what tables call a method."""
    if method in WORDS:
        return WORDS[method]
    rank, _, start = method.removeprefix("r").partition("-")
    return f"r = {rank}, {'from dense, fitted' if start == 'tuned' else start}"


def of_tasks(results: Record) -> dict[str, list[Record]]:
    """Return the finished runs of each task, by its title."""
    found: dict[str, list[Record]] = {}
    for task in results["tasks"]:
        if "method" in task:
            found.setdefault(task["title"], []).append(task)
    return found


def by_method(runs: Sequence[Record]) -> Iterator[tuple[str, list[Record]]]:
    """Yield the runs of each method, in the order of `METHODS`."""
    for method in METHODS:
        if some := [run for run in runs if run["method"] == method.name]:
            yield method.name, some


def total(run: Record) -> int:
    """Return the multiply-adds of a run's blocks for one example, all counted."""
    return sum(run["macs"].values())


def last(run: Record) -> float:
    """Return the accuracy that a run ended with."""
    return float(run["accuracy"][-1])


def _epochs(runs: Sequence[Record]) -> Iterator[tuple[float, ...]]:
    """Yield the accuracies of all runs after each epoch."""
    return zip(*(run["accuracy"] for run in runs), strict=False)  # some may have diverged


def apart(runs: Sequence[Record], others: Sequence[Record]) -> list[float]:
    """Return by how many points runs are better than others of the same seeds."""
    of_seed = {run["seed"]: last(run) for run in others}
    return [100 * (last(run) - of_seed[run["seed"]]) for run in runs if run["seed"] in of_seed]


def signed(points: Sequence[float]) -> str:
    """Return the mean of some points with its sign, and the least and the largest in brackets."""
    if not points:
        return "–"
    middle, low, high = (
        f"{value:+.2f}".replace("-", "−") for value in (mean(points), min(points), max(points))
    )
    return middle if len(points) == 1 else f"{middle} ({low} to {high})"


def _accuracy(results: Record) -> dict[str, list[str]]:
    """Return the final accuracy of each method, beside what it takes."""
    head = [
        "layers of the blocks", "seeds", "accuracy", "points over dense", "parameters, k",
        "multiply-adds, M: core", "encode, decode", "all", "loss at the end", "CPU seconds",
    ]  # fmt: skip
    found = {}
    for title, runs in of_tasks(results).items():
        dense = [run for run in runs if run["method"] == DENSE.name]
        tuned = [run for run in runs if run["method"] == "dense-tuned"]
        rows = []
        for method, some in by_method(runs):
            one, beside = some[0], tuned if some[0]["trained"] else dense
            macs = one["macs"]
            rows.append(
                [
                    bold(words(method), one["kind"] == "tiles"),
                    str(len(some)),
                    percent(mean(map(last, some))),
                    "" if some[0] in beside else signed(apart(some, beside)),
                    number(one["parameters"] / 1e3),
                    number(macs["core"] / 1e6),
                    number((macs["encode"] + macs["decode"]) / 1e6),
                    number(total(one) / 1e6),
                    f"{mean(run['loss'][-1] for run in some):.4f}",
                    number(mean(sum(run["cpu_seconds"]) for run in some)),
                ]
            )
        found[title] = [runs[0]["source"] + ".", table(head, rows)]
    return found


def _learning(results: Record) -> dict[str, list[str]]:
    """Return accuracy epoch by epoch, and how long gradients are."""
    found = {}
    for title, runs in of_tasks(results).items():
        most = max(len(run["accuracy"]) for run in runs)
        rows = []
        for method, some in by_method(runs):
            shown = [f"{100 * mean(epoch):.1f}" for epoch in _epochs(some)]
            longest = max(gradient for run in some for _, gradient in run["gradient"])
            middle = mean(gradient for run in some for gradient, _ in run["gradient"])
            rows.append(
                [
                    bold(words(method), some[0]["kind"] == "tiles"),
                    f"{number(middle)}, {number(longest)}",
                    *shown,
                    *[""] * (most - len(shown)),
                ]
            )
        head = ["layers of the blocks", "gradients", *(str(i + 1) for i in range(most))]
        found[title] = [table(head, rows)]
    return found


def _from_dense(results: Record) -> dict[str, list[str]]:
    """Return networks made from the trained dense one, before and after they learn on."""
    found = {}
    for title, runs in of_tasks(results).items():
        rows = [
            [
                bold(words(method), some[0]["kind"] == "tiles"),
                percent(mean(run["before"] for run in some)),
                *(percent(mean(epoch)) for epoch in _epochs(some)),
                number(mean(run["making_seconds"] for run in some)),
            ]
            for method, some in by_method(runs)
            if some[0]["trained"]
        ]
        if rows:
            n_epochs = len(rows[0]) - 3
            head = ["layers", "before", *(f"epoch {i + 1}" for i in range(n_epochs)), "made in, s"]
            found[title] = [table(head, rows)]
    return found


def _of_kind(results: Record, kind: str) -> list[Record]:
    return [task for task in results["tasks"] if task.get("kind") == kind]


def _inference(results: Record) -> dict[str, list[str]]:
    """Return examples a second of trained networks, in each way."""
    found = {}
    for task in _of_kind(results, "inference"):
        sizes = [batch["examples"] for batch in task["batches"]]
        head = ["network", "accuracy"]
        for size in sizes:
            head += [f"µs an example, {size} a call", "× dense, float32"]
        rows = [
            [
                bold(name, "compiled" in name),
                percent(task["accuracy"][name]),
                *(
                    cell
                    for batch in task["batches"]
                    for cell in (number(batch["rates"][name][1]), spread(batch["speed"][name]))
                ),
            ]
            for name in task["accuracy"]
        ]
        found[task["title"]] = [table(head, rows), *reasons(task)]
    return found


def _wall_clock(results: Record) -> dict[str, list[str]]:
    """Return the times of one layer on a device."""
    found = {}
    for task in _of_kind(results, "wall-clock"):
        rows = [
            [
                bold(name, name.startswith("r =")),
                spread(task["ms"][name]),
                spread(task["speed"][name]),
            ]
            for name in task["ms"]
        ]
        words = f"On {task['device']}, torch {task['where']['torch']}."
        found[task["title"]] = [words, table(["", "ms", "× dense"], rows), *reasons(task)]
    return found


def _missing(results: Record) -> dict[str, list[str]]:
    """Say which runs of one of the seeds are not there yet."""
    known = {task["name"] for task in results["tasks"]}
    lacks = [one.name for one in subjects() if isinstance(one, Run) and one.name not in known]
    n_runs = sum(isinstance(one, Run) for one in subjects())
    if not lacks:
        return {"": [f"All {n_runs} runs are there."]}
    return {"": [f"{n_runs - len(lacks)} of {n_runs} runs are there."]}


SECTIONS: dict[str, Section] = {
    "runs": _missing,
    "accuracy": _accuracy,
    "learning": _learning,
    "from_dense": _from_dense,
    "inference": _inference,
    "wall_clock": _wall_clock,
}
