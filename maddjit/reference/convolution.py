"""The definition of convolutions by look-ups, in NumPy, bit for bit: patches, then products."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.epilogue import Epilogue
from maddjit.models.convolution import ConvolutionModel
from maddjit.reference.maddness import apply


def convolve(
    model: ConvolutionModel, x: NDArray[Any], epilogue: Epilogue | None = None, fill: int = 0
) -> NDArray[Any]:
    """Return what a compiled convolution computes: `maddjit.reference.apply` on all patches.

    Parameters
    ----------
    model : ConvolutionModel
    x : (N, C, H, W) array
        Planes of a format that `maddjit.reference.encode` takes.
    epilogue : Epilogue, optional
        What else happens to the outputs.
    fill : int
        What stands outside of the planes. It is the zero point of planes of int8 or uint8.

    Returns
    -------
    (N, M, Ho, Wo) float32 array, or what the epilogue makes of it
    """
    n_images = len(x)
    rows, columns = model.window.output_size(*x.shape[2:])
    planes = []
    for g, product in enumerate(model.products):
        channels = slice(g * model.group_channels, (g + 1) * model.group_channels)
        y = apply(product, model.window.patches(x[:, channels], fill), epilogue)
        planes.append(y.reshape(n_images, rows, columns, product.n_outputs))
    return np.ascontiguousarray(np.concatenate(planes, axis=-1).transpose(0, 3, 1, 2))
