"""Make `rows.npz`: the inputs of the hidden layer of the examples' own network, in 8 bits.

The first 8000 test images of Fashion-MNIST go through the network's convolutions in NumPy. The
network was not trained on them. The script needs the Debian package `dataset-fashion-mnist` and
takes about ten seconds. Another BLAS rounds sums differently, so a few entries may differ by one
step.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from fashion_mnist import network

ROWS_FILE = Path(__file__).with_name("rows.npz")
N_ROWS = 8000
STEP = np.float32(0.02)
"""The size of one step of the 8 bits. 255 steps are 5.1; the largest activation is 4.8."""


def activations(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the inputs of the hidden layer in steps, uint8: (n, 28, 28) → (n, 512)."""
    steps = network.hidden_features(images, network.load_weights()) / STEP
    return np.clip(np.rint(steps), 0, 255).astype(np.uint8)


def main() -> None:
    """Write the file."""
    images, labels = network.load_images("test")
    np.savez_compressed(
        ROWS_FILE, activations=activations(images[:N_ROWS]), labels=labels[:N_ROWS], step=STEP
    )
    print(f"{ROWS_FILE}: {N_ROWS} rows, {ROWS_FILE.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
