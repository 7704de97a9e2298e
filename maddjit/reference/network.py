"""The definition of networks over int8 planes, in NumPy, bit for bit: value by value."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.epilogue import Epilogue
from maddjit.models.layers import Add, AveragePool, Dense, Exact, LookUp, MaxPool, Planes, Quantise
from maddjit.models.network import Network, Step
from maddjit.models.window import Window
from maddjit.reference.convolution import convolve

IMAGES = 32
"""Images whose patches exist at once, which bounds memory and changes no result."""


def run(network: Network, images: ArrayLike) -> NDArray[Any]:
    """Return what a compiled network computes.

    Parameters
    ----------
    network : Network
    images : (N, C, H, W) array_like
        Of the dtype that the network takes.

    Returns
    -------
    (N, M) float32 array, or (N, C, H, W) int8 array
        As the last step says.

    Raises
    ------
    ValueError
        If images of another shape are given.
    TypeError
        If they have another dtype.
    """
    found = checked(network, images)
    parts = [values(network, found[i : i + IMAGES])[-1] for i in range(0, len(found), IMAGES)]
    if not parts:
        return np.empty((0, *network.output_shape), network.output_dtype)
    return np.concatenate(parts)


def values(network: Network, images: ArrayLike) -> list[NDArray[Any]]:
    """Return all values of a network: the images, and what each step gives for them.

    Parameters and errors are those of `run`. Value i + 1 is what step i gives.
    """
    found: list[NDArray[Any]] = [checked(network, images)]
    for step in network.steps:
        taken = [network.planes(value) for value in step.inputs if value]
        found.append(step_value(step, [found[value] for value in step.inputs], taken))
    return found


def checked(network: Network, images: ArrayLike) -> NDArray[Any]:
    """Return images as an array; parameters and errors are those of `run`."""
    found = np.asarray(images)
    if found.dtype != network.dtype:
        raise TypeError(f"images must be {network.dtype}, not {found.dtype}")
    if found.shape[1:] != network.input_shape or found.ndim != 4:
        wanted = ", ".join(map(str, network.input_shape))
        raise ValueError(f"images must have shape (N, {wanted}), not {found.shape}")
    return found


def step_value(step: Step, given: list[NDArray[Any]], taken: list[Planes]) -> NDArray[Any]:
    """Return what a step gives.

    Parameters
    ----------
    step : Step
    given : list of (N, C, H, W) arrays
        The values that it takes.
    taken : list of Planes
        What they are; empty for images.
    """
    layer, planes, x = step.layer, step.planes, given[0]
    if isinstance(layer, Quantise):
        assert planes is not None
        return quantise(x, planes)
    if isinstance(layer, LookUp):
        return convolve(layer.model, x, layer.epilogue, taken[0].zero_point)
    if isinstance(layer, Exact):
        return exact(layer, x, taken[0].zero_point)
    if isinstance(layer, MaxPool):
        return max_pool(layer.window, x)
    if isinstance(layer, AveragePool):
        return average_pool(layer.window, x, taken[0].zero_point)
    if isinstance(layer, Dense):
        rows = x.reshape(len(x), -1).astype(np.float32) - np.float32(taken[0].zero_point)
        return scaled(rows @ layer.weights.T.astype(np.float32), layer)
    if isinstance(layer, Add):
        assert planes is not None
        return add(layer, given, taken, planes)
    return np.concatenate(given, axis=1)


def quantise(images: NDArray[Any], planes: Planes) -> NDArray[np.int8]:
    """Return images as planes of int8."""
    epilogue = Epilogue("int8", step=planes.step, zero_point=planes.zero_point)
    found: NDArray[np.int8] = epilogue(images.astype(np.float32))
    return found


def scaled(sums: NDArray[np.float32], layer: Exact | Dense) -> NDArray[np.float32]:
    """Return the outputs of whole sums (…, M), which float32 holds: two roundings each."""
    return sums * layer.scale + layer.offset


def exact(layer: Exact, x: NDArray[np.int8], zero_point: int) -> NDArray[Any]:
    """Return what an exact 8-bit convolution gives.

    Products are of float32, which holds all of their sums, in whatever order they are added.
    """
    size = layer.window.output_size(*x.shape[2:])
    inputs, outputs = layer.weights.shape[1], layer.n_outputs // layer.groups
    parts = []
    for g in range(layer.groups):
        patches = layer.window.patches(x[:, g * inputs : (g + 1) * inputs], zero_point)
        rows = patches.astype(np.float32) - np.float32(zero_point)
        weights = layer.weights[g * outputs : (g + 1) * outputs].reshape(outputs, -1)
        parts.append(rows @ weights.T.astype(np.float32))
    y = layer.epilogue(scaled(np.concatenate(parts, axis=1), layer))
    if layer.epilogue.dtype == "float32":
        return y
    return np.ascontiguousarray(y.reshape(len(x), *size, -1).transpose(0, 3, 1, 2))


def max_pool(window: Window, x: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return the largest number in each window."""
    largest: NDArray[np.int8] = np.maximum.reduce(list(window.seen(x, -128)))
    return largest


def average_pool(window: Window, x: NDArray[np.int8], zero_point: int) -> NDArray[np.int8]:
    """Return the mean of each window."""
    sums = sum(part.astype(np.int32) for part in window.seen(x, zero_point))
    scale = np.float32(1) / np.float32(window.n_taps)
    means: NDArray[np.int8] = np.rint(np.float32(sums) * scale).astype(np.int8)
    return means


def ratios(taken: list[Planes], planes: Planes) -> list[np.float32]:
    """Return the steps of planes that are added, in steps of their sum."""
    return [np.float32(each.step) / np.float32(planes.step) for each in taken]


def add(
    layer: Add, given: list[NDArray[np.int8]], taken: list[Planes], planes: Planes
) -> NDArray[np.int8]:
    """Return the sum of two values in the step and zero point of `planes`."""
    a, b = (
        (q.astype(np.float32) - np.float32(each.zero_point)) * ratio
        for q, each, ratio in zip(given, taken, ratios(taken, planes), strict=True)
    )
    least, most = layer.least - planes.zero_point, layer.most - planes.zero_point
    units = np.clip(np.rint(a + b), least, most)
    whole: NDArray[np.int8] = (units.astype(np.int32) + planes.zero_point).astype(np.int8)
    return whole
