"""Tuning: finds the planner's choices by timing the few that are usually best, in turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.checks import as_array
from maddjit.arrays.formats import INPUTS, float32_to_bfloat16
from maddjit.compiler.request import Request
from maddjit.compiler.signature import Choices
from maddjit.operators.base import Build
from maddjit.operators.maddness import CompiledOperator

CANDIDATES = (
    Choices(),
    Choices(lines=True),
    Choices(lines=False),
    Choices(row_block=64),
    Choices(row_block=128),
    Choices(tile_bytes=16 * 1024),
    Choices(tile_bytes=64 * 1024),
    Choices(streams=True),
)
"""The choices that are tried: the planner's rules, and others that are better for some models."""
_ROUNDS = 7
"""How many turns each function takes."""
_SECONDS = 2e-3
"""How long one turn takes at least."""


def tuned(request: Request, build: Build, rows: NDArray[Any] | Literal[True]) -> CompiledOperator:
    """Return the fastest of the operators that a request and the candidates make.

    Parameters
    ----------
    request : Request
        For outputs of a `MaddnessModel`.
    build : callable
    rows : (N, D) array, or True
        What the operators are timed on; 2000 random rows if True.
    """
    timed_on = _random_rows(request) if rows is True else as_array("tune", rows)
    tried = [
        CompiledOperator(replace(request, choices=candidate), build) for candidate in CANDIDATES
    ]
    out = tried[0](timed_on)
    best, seconds = fastest([partial(op, timed_on, out=out) for op in tried])
    names = map(str, CANDIDATES)
    per_row = (1e9 * time / max(1, len(timed_on)) for time in seconds)
    chosen = replace(request, choices=CANDIDATES[best])
    return CompiledOperator(chosen, build, dict(zip(names, per_row, strict=True)))


def fastest(runs: Sequence[Callable[[], object]]) -> tuple[int, list[float]]:
    """Time functions in turns; return the index of the fastest, and the seconds of each.

    They take turns, rather than being timed one after the other, so that whatever else the machine
    does slows all of them alike.
    """
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(_ROUNDS):
        for run, own in zip(runs, seconds, strict=True):
            calls, start = 0, perf_counter()
            while (elapsed := perf_counter() - start) < _SECONDS or not calls:
                run()
                calls += 1
            own.append(elapsed / calls)
    medians = [float(np.median(own)) for own in seconds]
    return int(np.argmin(medians)), medians


def _random_rows(request: Request) -> NDArray[Any]:
    """Return random rows of the requested kind; the work is the same whatever they hold."""
    shape, signature = (2000, request.model.n_features), request.signature
    form = INPUTS[signature.dtype]
    rows: NDArray[Any] = 20 * np.random.default_rng(0).standard_normal(shape)
    if form.name == "bfloat16":
        rows = float32_to_bfloat16(rows.astype(np.float32))
    rows = np.abs(rows).astype(form.dtype)
    if signature.order == "F":
        return np.asfortranarray(rows)
    return rows if signature.order == "C" else np.repeat(rows, 2, axis=1)[:, ::2]
