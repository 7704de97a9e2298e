"""Sobel's and Gauss's filters on photographs: products of patches of pixels and a few kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from benchmarks.harness.machine import Missing
from benchmarks.tasks.cache import Arrays, home, needs, stored
from benchmarks.tasks.record import Floats, Task
from benchmarks.tasks.scores import nmse

VERSION = "1"
SIDE = 224
TRAIN = ("astronaut.png", "motorcycle_left.png", "hubble_deep_field.jpg", "retina.jpg", "ihc.png")
TEST = ("chelsea.png", "coffee.png", "rocket.jpg")
SOURCE = (
    f"the colour photographs in scikit-image's wheel (BSD or public domain), the middle {SIDE} × "
    f"{SIDE} pixels after shrinking; tested on {', '.join(Path(name).stem for name in TEST)}, "
    f"{len(TRAIN)} others to learn from"
)


def patches(picture: Floats, size: int) -> Floats:
    """Return all patches: (h, w, c) → ((h − size + 1)(w − size + 1), size² c), channels last."""
    windows = sliding_window_view(picture, (size, size), axis=(0, 1))
    return windows.transpose(0, 1, 3, 4, 2).reshape(-1, size * size * picture.shape[2])


def sobel() -> Floats:
    """Return B (27, 2): the slopes down and to the right of the mean of the channels."""
    down = np.outer([1, 0, -1], [1, 2, 1]) / -8
    pair = np.stack([down, down.T], axis=-1)
    return np.repeat(pair.reshape(9, 2), 3, axis=0).astype(np.float32) / np.float32(3)


def gauss() -> Floats:
    """Return B (75, 3): each channel blurred by a Gaussian with a deviation of one pixel."""
    bell = np.exp(-(np.arange(-2, 3) ** 2) / 2)
    kernel = np.outer(bell, bell) / bell.sum() ** 2
    return np.kron(kernel.reshape(25, 1), np.eye(3)).astype(np.float32)


def _photograph(name: str) -> Floats:
    data = needs("skimage.data", "scikit-image")
    path = home(data) / name
    if not path.is_file():
        raise Missing(f"{path} not found: pip install scikit-image (0.22 or newer, from its wheel)")
    picture = needs("skimage.io", "scikit-image").imread(path)[..., :3]
    height, width = picture.shape[:2]
    scale = SIDE / min(height, width)
    shape = (round(height * scale), round(width * scale))
    small = needs("skimage.transform", "scikit-image").resize(picture, shape, anti_aliasing=True)
    top, left = ((length - SIDE) // 2 for length in shape)
    middle: Floats = small[top : top + SIDE, left : left + SIDE].astype(np.float32)
    return middle


def _prepare() -> dict[str, NDArray[Any]]:
    return {
        "train": np.stack([_photograph(name) for name in TRAIN]),
        "test": np.stack([_photograph(name) for name in TEST]),
    }


def _load(name: str, title: str, B: Floats, size: int) -> Task:
    def build(arrays: Arrays) -> Task:
        A_train, A_test = (
            np.concatenate([patches(picture, size) for picture in arrays[part]])
            for part in ("train", "test")
        )
        exact = A_test @ B
        return Task(
            name=name,
            title=title,
            source=SOURCE,
            A_train=A_train,
            A_test=A_test,
            B=B,
            bias=None,
            metric="NMSE",
            higher_is_better=False,
            score=lambda outputs: nmse(outputs, exact),
        )

    return stored("photographs", VERSION, _prepare, build)


def load_sobel() -> Task:
    """Load the pair of slopes of 3 × 3 patches."""
    return _load("sobel", "Sobel pair on 3 × 3 colour patches, 27 × 2", sobel(), 3)


def load_gauss() -> Task:
    """Load the blur of 5 × 5 patches."""
    return _load("gauss", "Gaussian on 5 × 5 colour patches, 75 × 3", gauss(), 5)
