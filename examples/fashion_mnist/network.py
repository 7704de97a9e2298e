"""The Fashion-MNIST example network in NumPy: data, weights, features and the last layer."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

DATA_FOLDER = Path("/usr/share/datasets/fashion-mnist")
WEIGHTS_FILE = Path(__file__).with_name("weights.npz")

Array = NDArray[np.float32]
Bytes = NDArray[np.uint8]


def _read_idx(path: Path, header: int) -> Bytes:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} not found: Fashion-MNIST is in the Debian package dataset-fashion-mnist "
            "(apt-get install dataset-fashion-mnist)"
        )
    with gzip.open(path, "rb") as stream:
        return np.frombuffer(stream.read(), dtype=np.uint8, offset=header)


def load_images(split: str, folder: Path | str = DATA_FOLDER) -> tuple[Bytes, Bytes]:
    """Read one split of Fashion-MNIST.

    Parameters
    ----------
    split : {"train", "test"}
        60000 training or 10000 test images.
    folder : path
        Where the four ``*-ubyte.gz`` files are.

    Returns
    -------
    images : uint8, shape (n, 28, 28)
    labels : uint8, shape (n,)

    Raises
    ------
    FileNotFoundError
        If the data set is not installed in `folder`.
    """
    prefixes = {"train": "train", "test": "t10k"}
    if split not in prefixes:
        raise ValueError(f"split must be 'train' or 'test', not {split!r}")
    stem = Path(folder) / prefixes[split]
    images = _read_idx(stem.with_name(f"{stem.name}-images-idx3-ubyte.gz"), header=16)
    labels = _read_idx(stem.with_name(f"{stem.name}-labels-idx1-ubyte.gz"), header=8)
    return images.reshape(-1, 28, 28), labels


def load_weights() -> dict[str, Array]:
    """Load the stored float16 weights as float32.

    Every layer is a matrix ``name`` of shape (inputs, outputs) with a vector ``name_bias`` of
    shape (outputs,). The inputs of a convolution are ordered (row, column, channel).
    """
    with np.load(WEIGHTS_FILE, allow_pickle=False) as stored:
        return {name: stored[name].astype(np.float32) for name in stored.files}


def _linear(x: Array, weights: dict[str, Array], name: str) -> Array:
    """Return layer `name` and ReLU, applied to rows: (m, inputs) -> (m, outputs)."""
    y = x @ weights[name]
    y += weights[f"{name}_bias"]
    np.maximum(y, 0, out=y)
    return y


def _conv(x: Array, weights: dict[str, Array], name: str, stride: int = 1) -> Array:
    """Apply a padded 3x3 convolution and ReLU: (n, h, w, c) -> (n, h/stride, w/stride, c')."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::stride, ::stride]
    n, h, w, c = windows.shape[:4]
    columns = windows.transpose(0, 1, 2, 4, 5, 3).reshape(n * h * w, 9 * c)
    return _linear(columns, weights, name).reshape(n, h, w, -1)


def _max_pool(x: Array, size: int, stride: int) -> Array:
    """Take the maximum of size x size windows: (n, h, w, c) -> (n, h', w', c)."""
    last = x.shape[1] - size + 1
    y = x[:, :last:stride, :last:stride]
    for row, column in list(np.ndindex(size, size))[1:]:
        y = np.maximum(y, x[:, row : row + last : stride, column : column + last : stride])
    return y


def _hidden(images: Bytes, weights: dict[str, Array]) -> Array:
    x = images[..., None].astype(np.float32) / np.float32(255)
    x = _conv(x, weights, "conv1")
    x = _conv(x, weights, "conv2", stride=2)
    x = _conv(x, weights, "conv3")
    x = _max_pool(_conv(x, weights, "conv4"), size=2, stride=2)
    x = _conv(x, weights, "conv5")
    x = _max_pool(_conv(x, weights, "conv6"), size=4, stride=3)
    return x.reshape(len(x), -1)


def _batches(images: Bytes, weights: dict[str, Array], batch: int) -> Iterator[Array]:
    for start in range(0, len(images), batch):
        yield _hidden(images[start : start + batch], weights)


def hidden_features(images: Bytes, weights: dict[str, Array], batch: int = 100) -> Array:
    """Compute the input of the 512x512 layer: uint8 (n, 28, 28) -> float32 (n, 512)."""
    return np.concatenate(list(_batches(images, weights, batch)))


def features(images: Bytes, weights: dict[str, Array], batch: int = 100) -> Array:
    """Compute the post-ReLU input of the last layer: uint8 (n, 28, 28) -> float32 (n, 512)."""
    return _linear(hidden_features(images, weights, batch), weights, "hidden")


def head(weights: dict[str, Array]) -> tuple[Array, Array]:
    """Return the last layer, ``logits = features @ B + bias``: B (512, 10) and bias (10,)."""
    return weights["head"], weights["head_bias"]
