"""Operations of layers without weights: images become planes, windows become one number."""

from __future__ import annotations

import numpy as np

from maddjit.arrays.epilogue import Epilogue
from maddjit.compiler.conversion import Ending, ending, literal
from maddjit.compiler.network.filling import line_of, picking_lanes
from maddjit.compiler.network.operations import Pooling, Quantising
from maddjit.compiler.network.places import Place
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import Target
from maddjit.models.layers import AveragePool, MaxPool, Planes
from maddjit.models.network import Network


def signature_of(network: Network) -> Signature:
    """Return the formats of images and results."""
    planes = network.steps[-1].planes
    if planes is None:
        return Signature(network.dtype.name)
    epilogue = Epilogue("int8", step=planes.step, zero_point=planes.zero_point)
    return Signature(network.dtype.name, epilogue=epilogue)


def quantising(to: Place, planes: Planes, dtype: str, target: Target) -> Quantising:
    """Return how images become planes."""
    epilogue = Epilogue("int8", step=planes.step, zero_point=planes.zero_point)
    is_bytes = dtype == "uint8"
    all_bytes = np.arange(256, dtype=np.float32)
    is_shift = is_bytes and bool((epilogue(all_bytes) == all_bytes - 128).all())
    most = target.vector_bytes if is_bytes else target.lanes
    return Quantising(
        to,
        "i8" if is_bytes else "float",
        1 if is_bytes else 4,
        is_shift,
        ending_of(epilogue, target),
        line_of(to.shape[2], most),
    )


def pooling(layer: MaxPool | AveragePool, x: Place, to: Place, vector_bytes: int) -> Pooling:
    """Return how the largest number or the mean of windows is found."""
    window = layer.window
    top, _, left, _ = window.padding
    reciprocal = ""
    if isinstance(layer, AveragePool):
        reciprocal = literal(float(np.float32(1) / np.float32(window.n_taps)))
    return Pooling(
        x,
        to,
        top,
        left,
        window.kernel,
        window.stride,
        window.dilation,
        1 if to.is_rows else picking_lanes(to.shape[2], window.stride[1], vector_bytes),
        reciprocal,
    )


def ending_of(epilogue: Epilogue, target: Target) -> Ending:
    """Return how outputs end by an epilogue."""
    found = ending(Signature(epilogue=epilogue), target)
    assert found is not None
    return found
