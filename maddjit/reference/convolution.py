"""The definition of convolutions by look-ups, in NumPy, bit for bit: patches, then products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.epilogue import Epilogue
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.maddness import MaddnessModel
from maddjit.reference import encoding, maddness
from maddjit.reference.maddness import apply


def convolve(
    model: ConvolutionModel,
    x: NDArray[Any],
    epilogue: Epilogue | None = None,
    fill: int | None = None,
) -> NDArray[Any]:
    """Return what a compiled convolution computes: `maddjit.reference.apply` on all patches.

    Parameters
    ----------
    model : ConvolutionModel
    x : (N, C, H, W) array
        Planes of a format that `maddjit.reference.encode` takes.
    epilogue : Epilogue, optional
        What else happens to the outputs.
    fill : int, optional
        What stands outside of the planes, by default the model's `fill`.

    Returns
    -------
    (N, M, Ho, Wo) float32 array, or what the epilogue makes of it
    """

    def computed(product: MaddnessModel, patches: NDArray[Any]) -> NDArray[Any]:
        return apply(product, patches, epilogue)

    return _on_patches(model, x, fill, computed)


def sums(model: ConvolutionModel, x: NDArray[Any], fill: int | None = None) -> NDArray[np.int32]:
    """Return the integer sums before scale and offset, (N, M, Ho, Wo); arguments as `convolve`."""
    return _on_patches(model, x, fill, maddness.sums)


def encode(model: ConvolutionModel, x: NDArray[Any], fill: int | None = None) -> NDArray[np.uint8]:
    """Return the codes, (N, groups · C, Ho, Wo), those of a group side by side."""
    return _on_patches(model, x, fill, encoding.encode)


def _on_patches(
    model: ConvolutionModel,
    x: NDArray[Any],
    fill: int | None,
    compute: Callable[[MaddnessModel, NDArray[Any]], NDArray[Any]],
) -> NDArray[Any]:
    """Return as planes what a function makes of each group's product and patches."""
    rows, columns = model.window.output_size(*x.shape[2:])
    outside = model.fill if fill is None else fill
    planes = []
    for g, product in enumerate(model.products):
        channels = slice(g * model.group_channels, (g + 1) * model.group_channels)
        y = compute(product, model.window.patches(x[:, channels], outside))
        planes.append(y.reshape(len(x), rows, columns, y.shape[1]))
    return np.ascontiguousarray(np.concatenate(planes, axis=-1).transpose(0, 3, 1, 2))
