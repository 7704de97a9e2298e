"""The whole Fashion-MNIST network by look-ups: one compiled call from images to logits.

The first convolution and the last layers are exact in 8 bits, the other five convolutions are
look-ups. Their trees and tables, `look_ups.npz`, were trained by `train_look_ups.py` to answer as
the exact network does. The table has test accuracy, and images a second beside the exact network in
onnxruntime and PyTorch, where these are installed. It takes about a minute and needs the data
(Debian package `dataset-fashion-mnist`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import maddjit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import network
import rivals
from measure import speed_up

NETWORK_FILE = Path(__file__).with_name("look_ups.npz")


def main(n_images: int, batch: int, rounds: int) -> None:
    """Print accuracy and speed of the look-ups and of all rivals that are installed."""
    model = maddjit.load(NETWORK_FILE)
    assert isinstance(model, maddjit.Network)
    op = maddjit.compile(model)
    train, _ = network.load_images("train")
    test, labels = network.load_images("test")
    images = (test[:n_images, np.newaxis] / np.float32(255)).astype(np.float32)
    calibration = (train[:1000, np.newaxis] / np.float32(255)).astype(np.float32)
    ways: dict[str, rivals.Call] = {}
    for name, make in (
        ("onnxruntime, 8 bits", lambda: rivals.by_quantised_onnxruntime(calibration)),
        ("onnxruntime, float32", rivals.by_onnxruntime),
        ("PyTorch, float32", rivals.by_torch),
    ):
        try:
            ways[name] = make()
        except ImportError as error:
            print(f"left out: {name} ({error})")
    print(f"{len(images)} test images, {batch} a call, one thread, {op.target.name}")
    print(f"{'':22} {'accuracy':>8} {'images/s':>9}   look-ups are … times as fast (quartiles)")
    some = images[:batch]
    for name, way in {"look-ups": op, **ways}.items():
        found = np.concatenate([way(part) for part in np.array_split(images, 20)])
        accuracy = np.mean(found.argmax(axis=1) == labels[:n_images])
        low, median, high = speed_up(lambda way=way: way(some), lambda: op(some), rounds)
        own = rate(op, some)
        told = "" if way is op else f"   {median:.1f} ({low:.1f}–{high:.1f})"
        print(f"{name:22} {accuracy:8.4f} {own / median:9.0f}{told}")


def rate(call: rivals.Call, images: np.ndarray, repeats: int = 20) -> float:
    """Return how many images a second a call gets through: the best of some repetitions."""
    from time import perf_counter

    best = np.inf
    for _ in range(repeats):
        start = perf_counter()
        call(images)
        best = min(best, perf_counter() - start)
    return len(images) / best


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10000, help="test images")
    parser.add_argument("--batch", type=int, default=64, help="images of a timed call")
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    main(options.images, options.batch, options.rounds)
