"""Time series classified by an RBF kernel: products of series with exemplars of each class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.machine import Missing
from benchmarks.tasks.cache import Arrays, home, needs, stored
from benchmarks.tasks.record import Floats, Task
from benchmarks.tasks.scores import accuracy

VERSION = "1"
LENGTH = 320
PER_DATASET = 450
DATASETS = (
    "ACSF1",
    "ArrowHead",
    "GunPoint",
    "ItalyPowerDemand",
    "JapaneseVowels",
    "OSULeaf",
    "PickupGestureWiimoteZ",
)
GAMMAS = tuple(2.0**power for power in range(8))
RIDGES = (1e-4, 1e-3, 1e-2)


def resample(series: NDArray[Any], length: int) -> NDArray[np.float64]:
    """Stretch or shrink series (n, points) to `length` points, linearly; both ends stay."""
    points = series.shape[1]
    at = np.linspace(0, points - 1, length)
    left = np.minimum(at.astype(int), points - 2)
    part = at - left
    values: NDArray[np.float64] = series[:, left] * (1 - part) + series[:, left + 1] * part
    return values


def standardise(series: NDArray[Any]) -> NDArray[np.float64]:
    """Give each series mean 0 and deviation 1."""
    centred = series - series.mean(axis=1, keepdims=True)
    return centred / np.maximum(centred.std(axis=1, keepdims=True), 1e-9)


def shares(sizes: NDArray[np.integer[Any]], n: int) -> NDArray[np.int64]:
    """Divide `n` exemplars among classes by their sizes, at least one each."""
    counts = np.ones(len(sizes), np.int64)
    for _ in range(n - len(sizes)):
        counts[np.argmax(sizes / counts)] += 1
    return np.minimum(counts, sizes)


def kernel(products: NDArray[Any], lengths: NDArray[Any], gamma: float) -> NDArray[np.float64]:
    """Return exp(−γ/LENGTH · ‖x − p‖²) from x·p, for standardised x and ‖p‖² in `lengths`."""
    squares = np.maximum(LENGTH + lengths - 2.0 * products, 0)
    values: NDArray[np.float64] = np.exp(-gamma / LENGTH * squares)
    return values


def solve(
    values: NDArray[Any], labels: NDArray[Any], n_classes: int, ridge: float
) -> NDArray[np.float64]:
    """Return class weights of the kernel's values: ridge regression on one-hot labels."""
    n, m = values.shape
    gram = values.T @ values + ridge * n / m * np.eye(m)
    return np.linalg.solve(gram, values.T @ np.eye(n_classes)[labels])


def _series(name: str) -> tuple[NDArray[np.float64], list[str]]:
    """Return all series of a data set in the wheel, channels one after another, with classes."""
    datasets = needs("aeon.datasets", "aeon")
    folder = home(datasets) / "data" / name
    parts, classes = [], []
    for split in ("TRAIN", "TEST"):
        paths = [folder / f"{name}{suffix}_{split}.ts" for suffix in ("_eq", "")]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise Missing(f"{paths[1]} not found: pip install aeon (1.6, from its wheel)")
        values, labels = datasets.load_from_ts_file(str(path))
        parts.append(standardise(resample(values.reshape(len(values), -1), LENGTH)))
        classes += [f"{name} {label}" for label in labels]
    return np.concatenate(parts), classes


def _data() -> tuple[Floats, NDArray[np.int64], NDArray[np.bool_]]:
    """Return all series, their classes' numbers, and which half of each class is for testing."""
    rng = np.random.default_rng(0)
    parts, names = [], []
    for name in DATASETS:
        x, classes = _series(name)
        taken = rng.permutation(len(x))[:PER_DATASET]
        parts.append(x[taken].astype(np.float32))
        names += [classes[index] for index in taken]
    labels = np.unique(names, return_inverse=True)[1]
    test = np.zeros(len(labels), bool)
    for label in range(labels.max() + 1):
        members = rng.permutation(np.flatnonzero(labels == label))
        test[members[: len(members) // 2]] = True
    return np.concatenate(parts), labels, test


def _exemplars(x: Floats, labels: NDArray[Any], n: int) -> Floats:
    """Return k-means centres of each class, `n` in all."""
    cluster = needs("sklearn.cluster", "scikit-learn")
    centres = [
        cluster.KMeans(count, n_init=3, random_state=0).fit(x[labels == label]).cluster_centers_
        for label, count in enumerate(shares(np.bincount(labels), n))
    ]
    return np.concatenate(centres).astype(np.float32)


def _settings(
    products: Floats, lengths: NDArray[Any], labels: NDArray[Any]
) -> tuple[float, NDArray[np.float64]]:
    """Choose γ and the ridge by two-fold validation; return γ and the weights from all rows."""
    n_classes = int(labels.max()) + 1
    half = np.random.default_rng(1).random(len(labels)) < 0.5
    best, best_right = (GAMMAS[0], RIDGES[0]), -1
    for gamma in GAMMAS:
        values = kernel(products, lengths, gamma)
        for ridge in RIDGES:
            right = 0
            for fold in (half, ~half):
                weights = solve(values[~fold], labels[~fold], n_classes, ridge)
                right += int(np.sum((values[fold] @ weights).argmax(axis=1) == labels[fold]))
            if right > best_right:
                best, best_right = (gamma, ridge), right
    gamma, ridge = best
    return gamma, solve(kernel(products, lengths, gamma), labels, n_classes, ridge)


def _prepare(n_exemplars: int) -> dict[str, NDArray[Any]]:
    x, labels, test = _data()
    exemplars = _exemplars(x[~test], labels[~test], n_exemplars)
    lengths = np.sum(exemplars.astype(np.float64) ** 2, axis=1)
    gamma, weights = _settings(x[~test] @ exemplars.T, lengths, labels[~test])
    return {
        "A_train": x[~test],
        "A_test": x[test],
        "labels": labels[test],
        "B": exemplars.T,
        "lengths": lengths,
        "gamma": np.array(gamma),
        "weights": weights,
    }


def _build(arrays: Arrays) -> Task:
    labels, lengths, weights = arrays["labels"], arrays["lengths"], arrays["weights"]
    gamma, A_test, B = float(arrays["gamma"]), arrays["A_test"], arrays["B"]
    n_exemplars = B.shape[1]

    def scores(outputs: Floats) -> Floats:
        return (kernel(outputs, lengths, gamma) @ weights).astype(np.float32)

    winners = scores(A_test @ B).argmax(axis=1)
    return Task(
        name=f"ucr-{n_exemplars}",
        title=f"UCR time series and {n_exemplars} exemplars, {LENGTH} × {n_exemplars}",
        source=(
            f"the series in aeon's wheel (BSD), at most {PER_DATASET} of each of "
            f"{', '.join(DATASETS)}, pooled, resampled to {LENGTH} points, half of each class for "
            "testing; B are k-means exemplars of each class, an RBF kernel and ridge weights "
            f"follow. Small: {len(arrays['A_train'])} series to learn from"
        ),
        A_train=arrays["A_train"],
        A_test=A_test,
        B=B,
        bias=None,
        metric="accuracy",
        higher_is_better=True,
        score=lambda outputs: accuracy(scores(outputs), labels),
        extra={"agreement": lambda outputs: accuracy(scores(outputs), winners)},
    )


def loader(n_exemplars: int) -> Callable[[], Task]:
    """Return the loader of the task with so many exemplars."""

    def load() -> Task:
        return stored(f"ucr-{n_exemplars}", VERSION, lambda: _prepare(n_exemplars), _build)

    return load
