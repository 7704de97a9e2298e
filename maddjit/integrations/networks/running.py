"""Computes steps of a `Network` fast enough for calibration, with the bits of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.epilogue import Epilogue
from maddjit.integrations.networks.evaluating import convolved, in_batches, seen
from maddjit.models.network import (
    Add,
    AveragePool,
    Dense,
    Exact,
    LookUp,
    MaxPool,
    Planes,
    Quantise,
    Step,
)
from maddjit.operators.convolution import ConvolutionOperator
from maddjit.pipeline import build

Stored = NDArray[Any]


def step_value(step: Step, given: Sequence[Stored], taken: Sequence[Planes]) -> Stored:
    """Return what a step gives for all images.

    Parameters
    ----------
    step : Step
    given : sequence of (N, C, H, W) arrays
        The values that it takes.
    taken : sequence of Planes
        What they are; empty for images.
    """
    layer, planes = step.layer, step.planes
    if isinstance(layer, Quantise):
        assert planes is not None
        stored = Epilogue("int8", step=planes.step, zero_point=planes.zero_point)
        return stored(given[0].astype(np.float32))
    if isinstance(layer, LookUp):
        op = ConvolutionOperator(
            layer.model, build, dtype="int8", epilogue=layer.epilogue, fill=taken[0].zero_point
        )
        return in_batches(op, given[0])
    return in_batches(lambda *parts: _plain(step, parts, taken), *given)


def _plain(step: Step, given: Sequence[Stored], taken: Sequence[Planes]) -> Stored:
    """Return what a step without look-ups gives for a batch."""
    layer, x = step.layer, given[0]
    if isinstance(layer, Exact | Dense):
        centred = x.astype(np.float32) - np.float32(taken[0].zero_point)
        weights = layer.weights.astype(np.float32)
        if isinstance(layer, Dense):
            return centred.reshape(len(x), -1) @ weights.T * layer.scale + layer.offset
        sums = convolved(centred, weights, layer.window, layer.groups)
        y = sums * layer.scale[:, None, None] + layer.offset[:, None, None]
        return layer.epilogue(y if step.planes else y.reshape(len(y), -1))
    if isinstance(layer, MaxPool):
        return np.maximum.reduce(list(seen(layer.window, x, -128)))
    if isinstance(layer, AveragePool):
        fill = taken[0].zero_point
        sums = np.sum([part.astype(np.int32) for part in seen(layer.window, x, fill)], axis=0)
        scale = np.float32(1) / np.float32(layer.window.n_taps)
        return np.rint(sums.astype(np.float32) * scale).astype(np.int8)
    if isinstance(layer, Add):
        assert step.planes is not None
        zero, step_ = step.planes.zero_point, np.float32(step.planes.step)
        a, b = (
            (q.astype(np.float32) - np.float32(each.zero_point)) * (np.float32(each.step) / step_)
            for q, each in zip(given, taken, strict=True)
        )
        units = np.clip(np.rint(a + b), layer.least - zero, 127 - zero)
        return (units.astype(np.int32) + zero).astype(np.int8)
    return np.concatenate(given, axis=1)
