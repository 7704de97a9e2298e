"""What the networks learn: images of clothes, pieces of files, and made-up pieces, as tokens."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.harness.machine import ROOT, Missing
from benchmarks.tasks.cache import Arrays, stored
from benchmarks.tasks.splitting import digest, directory_group, in_test

TOKENS = 16
"""Tokens of each example: four whole tiles of four."""
PATCH, STRIDE = 10, 6
"""Side of a patch of an image, and from one to the next: 4 × 4 of them, which overlap."""
PIECE = 256
"""Bytes of a piece of a file: 16 tokens of 16 bytes."""
KINDS = (
    "py", "pyc", "so", "h", "hpp", "js", "json", "html", "c", "txt", "md", "xml", "pl", "pm",
    "sh", "svg", "gz", "png", "rst", "yaml", "cmake", "css",
)  # fmt: skip
"""Extensions that are told apart where there are files enough."""
_FILES, _PIECES, _LEAST = 400, 8, 60
"""At most so many files of a kind, pieces of a file, and files that a kind needs."""
_LARGEST = 8_000_000
VERSION = "1"


@dataclass(frozen=True, eq=False)
class Data:
    """Examples as bytes, with labels; `augment` changes a batch of them in training.

    `stem` says how bytes become tokens: "patches" of images (28 × 28 bytes) or "bytes".
    """

    title: str
    source: str
    stem: str
    classes: int
    train: Any
    train_labels: Any
    test: Any
    test_labels: Any
    augment: Callable[[Any], Any]


def fashion() -> Data:
    """Load Fashion-MNIST: 60000 images to learn from, 10000 to test with."""
    examples = str(ROOT / "examples")
    if examples not in sys.path:
        sys.path.insert(0, examples)
    from fashion_mnist.network import load_images

    parts = []
    for split in ("train", "test"):
        try:
            images, labels = load_images(split)
        except FileNotFoundError as error:
            raise Missing(str(error)) from error
        parts += [torch.tensor(images), torch.tensor(labels, dtype=torch.int64)]
    return Data(
        "Fashion-MNIST",
        "60000 training and 10000 test images, Debian package dataset-fashion-mnist (MIT)",
        "patches",
        10,
        *parts,
        _turned,
    )


def _turned(images: Any) -> Any:
    """Turn each image round, left to right, with probability 1/2."""
    return torch.where(torch.rand(len(images), 1, 1) < 0.5, images.flip(2), images)


def files() -> Data:
    """Load pieces of files of this machine; the extension of a file is the label."""
    return stored("networks-files", VERSION, _prepare, _pieces)


def _prepare() -> dict[str, Any]:
    """Cut pieces out of files of the system and of the Python environment.

    Files of a folder are all for training or all for testing. The first bytes of a file tell its
    kind too easily, so no piece has the beginning of its file.
    """
    found: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for root in {Path("/usr"), Path(sys.prefix).resolve()}:
        for path in root.rglob("*"):
            kind = path.suffix.removeprefix(".").lower()
            if kind not in found or path.is_symlink() or not path.is_file():
                continue
            if 4 * PIECE <= path.stat().st_size <= _LARGEST:
                found[kind].append(path)
    kinds = [kind for kind, paths in found.items() if len(paths) >= _LEAST]
    if len(kinds) < 2:
        raise Missing("too few files with known extensions under /usr: install any packages")
    chosen = [
        (path, label)
        for label, kind in enumerate(kinds)
        for path in sorted(found[kind], key=lambda path: digest(str(path)))[:_FILES]
    ]
    groups = [directory_group(path) for path, _ in chosen]
    is_test = in_test(groups, [kinds[label] for _, label in chosen], 0.2)
    parts: dict[str, list[Any]] = {"train": [], "train_labels": [], "test": [], "test_labels": []}
    seen = set()
    for (path, label), test in zip(chosen, is_test, strict=True):
        content = np.fromfile(path, np.uint8)
        places = np.linspace(PIECE, len(content) - PIECE, _PIECES).astype(int)
        for place in np.unique(places):
            piece = content[place : place + PIECE]
            if (key := piece.tobytes()) not in seen:
                seen.add(key)
                name = "test" if test else "train"
                parts[name].append(piece)
                parts[f"{name}_labels"].append(label)
    arrays = {name: np.array(values) for name, values in parts.items()}
    return arrays | {"kinds": np.array(kinds)}


def _pieces(arrays: Arrays) -> Data:
    kinds = [str(kind) for kind in arrays["kinds"]]
    train, test = arrays["train"], arrays["test"]
    return Data(
        "Pieces of files",
        f"{len(train)} pieces of 256 bytes to learn from and {len(test)} of other folders to test, "
        f"of files of a Debian and of a Python environment; {len(kinds)} extensions are the labels",
        "bytes",
        len(kinds),
        torch.tensor(train),
        torch.tensor(arrays["train_labels"]),
        torch.tensor(test),
        torch.tensor(arrays["test_labels"]),
        _begun_elsewhere,
    )


def _begun_elsewhere(pieces: Any) -> Any:
    """Turn each piece round by some bytes, so that tokens begin elsewhere."""
    n, size = pieces.shape
    places = (torch.arange(size) + torch.randint(0, 16, (n, 1))) % size
    return pieces.gather(1, places)


def made_up(n_train: int = 512, n_test: int = 256) -> Data:
    """Make noisy images of four classes, each brighter than the one before: no files."""
    rng = np.random.default_rng(0)
    parts = []
    for n in (n_train, n_test):
        labels = rng.integers(0, 4, n)
        images = 30 * labels[:, None, None] + rng.integers(0, 128, (n, 28, 28))
        parts += [torch.tensor(images.astype(np.uint8)), torch.tensor(labels)]
    return Data("Made up", "noise of four degrees of brightness", "patches", 4, *parts, _turned)


DATA: dict[str, Callable[[], Data]] = {"fashion": fashion, "files": files, "made-up": made_up}
