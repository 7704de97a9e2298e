"""The data: real products, each with the metric that its outputs serve, and made-up ones."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.harness.machine import Missing
from benchmarks.tasks import fashion, filters, magika_files, minilm, ocr, tokens
from benchmarks.tasks.record import Task

TASKS: dict[str, Callable[[], Task]] = {
    "fashion-head": fashion.head,
    "fashion-hidden": fashion.hidden,
    "magika": magika_files.load,
    "ocr": ocr.load,
    "sobel": filters.load_sobel,
    "gauss": filters.load_gauss,
    "minilm-layer0": minilm.load,
}
"""Loaders by name. They raise `Missing` if something must be installed first."""

WINNER_TASKS: dict[str, Callable[[], Task]] = {
    "fashion-head": fashion.head_in_halves,
    "magika": magika_files.load,
    "ocr": ocr.load,
    "minilm-tokens": tokens.load,
}
"""Tasks of which only the winners count. The last has too many outputs for all experiments."""

__all__ = ["TASKS", "WINNER_TASKS", "Missing", "Task"]
