"""The tables of the page on convolutions: a row for each layer, at each level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.harness.page import label
from benchmarks.harness.suite import Across
from benchmarks.harness.tables import Record, bold, number, reasons, spread, table
from benchmarks.suites.convolutions.chains import FLOAT32, TORCH_FLOAT32, TORCH_UINT8, UINT8

RIVALS = (UINT8, TORCH_UINT8, FLOAT32, TORCH_FLOAT32)


def times(found: Sequence[Record]) -> str:
    """Return nanoseconds a pixel of all ways."""
    parts = []
    for results in found:
        rows = []
        for task in _chains(results):
            for name, ns in task["ns"].items():
                if name not in RIVALS:
                    cells = [spread(task["ns"][r]) if r in task["ns"] else "" for r in RIVALS]
                    rows.append([task["title"], bold(name, True), spread(ns), *cells])
        head = ["layer", "codebooks", "look-ups", *RIVALS]
        parts += [f"*{label(results)}*", table(head, rows)] if rows else []
    return "\n\n".join(parts)


def faster(found: Sequence[Record]) -> str:
    """Return how many times as fast look-ups are."""
    parts = []
    for results in found:
        tasks = _chains(results)
        rows = [
            [task["title"], bold(name, True)]
            + [spread(over[r]) if r in over else "" for r in RIVALS]
            for task in tasks
            for name, over in task["faster"].items()
        ]
        head = ["layer", "codebooks", *(f"× {rival}" for rival in RIVALS)]
        parts += [f"*{label(results)}*", table(head, rows)] if rows else []
        parts += [f"{task['title']}: {why}" for task in tasks for why in reasons(task)]
    return "\n\n".join(parts)


def means(found: Sequence[Record]) -> str:
    """Return geometric means and least of the 3 × 3 layers, by codebooks a channel and rival."""
    parts = []
    for results in found:
        rows = []
        for ratio, words in ((1, "one a channel"), (0.5, "one for two channels")):
            for rival in RIVALS:
                medians = [
                    over[rival][1]
                    for task in _chains(results)
                    if task["shape"][3] == 3 and task["shape"][1] > 7
                    for name, over in task["faster"].items()
                    if task["ratios"].get(name) == ratio and rival in over
                ]
                if medians:
                    mean = float(np.exp(np.mean(np.log(medians))))
                    rows.append([words, rival, number(mean), number(min(medians))])
        head = ["codebooks", "× as fast as", "geometric mean", "least"]
        parts += [f"*{label(results)}*", table(head, rows)] if rows else []
    return "\n\n".join(parts)


def _chains(results: Record) -> list[Record]:
    return [task for task in results["tasks"] if task["kind"] == "chain"]


ACROSS: dict[str, Across] = {"times": times, "faster": faster, "means": means}
