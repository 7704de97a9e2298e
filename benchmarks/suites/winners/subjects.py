"""What is measured: tasks, sizes of models, coverages, and which rows serve for what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.tasks import WINNER_TASKS, Task
from benchmarks.tasks.made_up import directions

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Subject:
    """A task and how it is measured.

    `sizes` are numbers of codebooks and prototypes; the coverage of the size `checked` is looked at
    closely. Rows to calibrate with are held out of those to learn from, `block` neighbours at a
    time, unless the task has its own.
    """

    load: Callable[[], Task]
    sizes: tuple[tuple[int, int], ...]
    checked: tuple[int, int]
    coverages: tuple[float, ...] = (0.99, 0.995, 0.999, 0.9995)
    fit_rows: int = 20000
    calibration_rows: int = 10000
    timed_rows: int = 2000
    block: int = 1
    split_rows: int = 12000
    """Rows of the coverage check."""


@dataclass(frozen=True)
class Limits:
    """What bounds the work. Rivals other than NumPy are looked for if `optional`."""

    rounds: int = 15
    splits: int = 10
    optional: bool = True


@dataclass(frozen=True)
class Parts:
    """Rows to learn from, to calibrate with, to test on, and what is left. No row is in two."""

    fit: Floats
    calibrate: Floats
    test: Floats
    rest: Floats


SUBJECTS: dict[str, Subject] = {
    "fashion-head": Subject(
        WINNER_TASKS["fashion-head"],
        sizes=((8, 16), (16, 16), (8, 64), (16, 64)),
        checked=(16, 16),
        timed_rows=5000,
    ),
    "magika": Subject(
        WINNER_TASKS["magika"],
        sizes=((16, 16), (32, 16), (64, 16), (16, 64), (32, 64)),
        checked=(32, 16),
        coverages=(0.99, 0.995, 0.997, 0.998, 0.999, 0.9995),
        calibration_rows=5000,
    ),
    "ocr": Subject(
        WINNER_TASKS["ocr"],
        sizes=((8, 16), (15, 16), (30, 16), (8, 64)),
        checked=(15, 16),
        split_rows=6000,
        timed_rows=512,
        block=500,  # a line has some 70 rows, and neighbours are alike
    ),
    "minilm-tokens": Subject(
        WINNER_TASKS["minilm-tokens"],
        sizes=((64, 16), (128, 16)),
        checked=(64, 16),
        coverages=(0.8, 0.9, 0.95, 0.99, 0.999),  # of all ten; each of them is covered more often
        fit_rows=8000,
        calibration_rows=6000,
        timed_rows=256,
        split_rows=3000,
    ),
}

SMALL: dict[str, Subject] = {
    name: Subject(load, ((4, 16), (8, 16)), (8, 16), (0.99, 0.999), 1500, 2000, 300)
    for name, load in {
        "directions": lambda: directions(64, 24, 3500, 2500),
        "items": lambda: directions(32, 300, 4000, 2000, k=3),
    }.items()
}


def divided(task: Task, subject: Subject) -> Parts:
    """Choose rows at random, the same on every run."""
    rng = np.random.default_rng(0)
    n_rows = len(task.A_train)
    blocks = rng.permutation(-(-n_rows // subject.block))
    order = (blocks[:, None] * subject.block + np.arange(subject.block)).ravel()
    order = order[order < n_rows]
    wanted = subject.calibration_rows
    if task.A_calibrate is None:
        calibrate = task.A_train[np.sort(order[:wanted])]
        order = order[wanted:]
    else:
        calibrate = task.A_calibrate[:wanted]
    n_fit = subject.fit_rows
    fit, rest = (task.A_train[np.sort(part)] for part in (order[:n_fit], order[n_fit:]))
    return Parts(fit, calibrate, task.A_test, rest)
