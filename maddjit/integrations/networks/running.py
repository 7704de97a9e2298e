"""Computes steps of a `Network` fast enough for calibration, with the bits of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.integrations.networks.evaluating import convolved, in_batches
from maddjit.models.network import Exact, LookUp, Planes, Step
from maddjit.pipeline import compile
from maddjit.reference import network as reference

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
    layer = step.layer
    if isinstance(layer, LookUp):
        return _looked_up(layer, given[0], taken[0].zero_point)
    if isinstance(layer, Exact):
        return in_batches(lambda part: _exact(layer, part, taken[0].zero_point), given[0])
    return in_batches(lambda *parts: reference.step_value(step, list(parts), list(taken)), *given)


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


def _exact(layer: Exact, x: Stored, zero_point: int) -> Stored:
    """Return what an exact layer gives for a batch, without building its patches."""
    centred, weights = x.astype(np.float32) - np.float32(zero_point), layer.weights
    sums = convolved(centred, weights.astype(np.float32), layer.window, layer.groups)
    y = sums * layer.scale[:, None, None] + layer.offset[:, None, None]
    is_last = layer.epilogue.dtype == "float32"
    return np.asarray(layer.epilogue(y.reshape(len(y), -1) if is_last else y))
