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
from maddjit.pipeline import compile

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
        return _looked_up(layer, given[0], taken[0].zero_point)
    return in_batches(lambda *parts: _plain(step, parts, taken), *given)


def _looked_up(layer: LookUp, x: Stored, fill: int) -> Stored:
    """Return what look-ups give, by compiled products of patches."""
    model, epilogue = layer.model, layer.epilogue
    ops = [compile(product, dtype="int8", epilogue=epilogue) for product in model.products]
    size = model.window.output_size(*x.shape[2:])

    def of_batch(part: Stored) -> Stored:
        groups = np.split(part, model.groups, axis=1)
        rows = [
            op(model.window.patches(group, fill)) for op, group in zip(ops, groups, strict=True)
        ]
        y = np.concatenate(rows, axis=1).reshape(len(part), *size, -1)
        return np.ascontiguousarray(y.transpose(0, 3, 1, 2))

    return in_batches(of_batch, x)


def _plain(step: Step, given: Sequence[Stored], taken: Sequence[Planes]) -> Stored:
    """Return what a step without look-ups gives for a batch."""
    layer, x = step.layer, given[0]
    if isinstance(layer, Exact | Dense):
        centred = x.astype(np.float32) - np.float32(taken[0].zero_point)
        weights = layer.weights.astype(np.float32)
        if isinstance(layer, Dense):
            rows = centred.reshape(len(x), -1)
            return np.asarray(rows @ weights.T * layer.scale + layer.offset)
        sums = convolved(centred, weights, layer.window, layer.groups)
        y = sums * layer.scale[:, None, None] + layer.offset[:, None, None]
        return np.asarray(layer.epilogue(y if step.planes else y.reshape(len(y), -1)))
    if isinstance(layer, MaxPool):
        return np.asarray(np.maximum.reduce(list(seen(layer.window, x, -128))))
    if isinstance(layer, AveragePool):
        fill = taken[0].zero_point
        sums = np.sum([part.astype(np.int32) for part in seen(layer.window, x, fill)], axis=0)
        scale = np.float32(1) / np.float32(layer.window.n_taps)
        return np.asarray(np.rint(sums.astype(np.float32) * scale).astype(np.int8))
    if isinstance(layer, Add):
        assert step.planes is not None
        zero, step_ = step.planes.zero_point, np.float32(step.planes.step)
        a, b = (
            (q.astype(np.float32) - np.float32(each.zero_point)) * (np.float32(each.step) / step_)
            for q, each in zip(given, taken, strict=True)
        )
        units = np.clip(np.rint(a + b), layer.least - zero, layer.most - zero)
        return np.asarray((units.astype(np.int32) + zero).astype(np.int8))
    return np.concatenate(given, axis=1)
