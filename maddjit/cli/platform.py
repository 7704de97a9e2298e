"""What ``maddjit doctor`` says of the platform: each way that code takes here, tried."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler import cache
from maddjit.compiler.llvm import host
from maddjit.compiler.platforms import verified
from maddjit.exporting import native as exported_operators
from maddjit.learning.fit import fit
from maddjit.models.maddness import MaddnessModel
from maddjit.operators.maddness import CompiledOperator
from maddjit.pipeline import compile
from maddjit.reference.maddness import apply

_WRONG = "WRONG: please report this"


@dataclass(frozen=True)
class State:
    """What was found of one thing: right, wrong or, if it is not to be had, None; in words."""

    right: bool | None
    words: str


@dataclass(frozen=True)
class Sample:
    """What code is tried on: a small model, rows, and the right-hand side."""

    model: MaddnessModel
    A: NDArray[np.float32]
    B: NDArray[np.float64]


def fitted_sample() -> Sample:
    """Return the small model that code is tried on, with its rows and right-hand side."""
    rng = np.random.default_rng(0)
    A = (rng.standard_normal((999, 4)) @ rng.standard_normal((4, 32))).astype(np.float32)
    B = rng.standard_normal((32, 5))
    return Sample(fit(A, B, n_codebooks=8, on_interrupt="raise"), A, B)


def states(sample: Sample, level: str | None) -> dict[str, State]:
    """Return the state of the platform, of loading, calling, keeping and exporting code."""
    machine = host()
    kind = f"{machine.system} on {machine.architecture}"
    found = {"platform": State(None, f"{kind} ({machine.triple}): {verified(machine.triple)}")}
    if level is not None:
        A, wanted = sample.A, apply(sample.model, sample.A)
        op = compile(sample.model, level)
        found["jit"] = _same(op(A), wanted, "compiled code is loaded")
        found["fastcall"] = _short_way(op, A, wanted)
    found["cache"] = State(None, f"{cache.info()}{_kept()}")
    if level is not None:
        found["export"] = _exported(op, A, wanted)
    return found


def _same(Y: Any, wanted: Any, words: str) -> State:
    right = bool(np.array_equal(Y, wanted))
    return State(right, f"{words}: {'right' if right else _WRONG}")


def _short_way(op: CompiledOperator, A: Any, wanted: Any) -> State:
    answer = op._fast_call(A)
    if answer is NotImplemented:
        return State(None, "not taken: this Python is not CPython, so calls go by ctypes")
    return _same(answer, wanted, "CPython calls the code itself")


def _kept() -> str:
    info = cache.info()
    if info.folder is None or info.problem:
        return ""
    return "; written and read back" if cache.works() else "; it cannot be written"


def _exported(op: CompiledOperator, A: Any, wanted: Any) -> State:
    """Export, link and load back; a library that is loaded may stay behind on Windows."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        made = op.export(folder, name="doctor")
        if made.library is None:
            return State(None, f"objects alone: {made.missing}")
        loaded = exported_operators.load(made.library, "doctor")
        return _same(loaded(A), wanted, "libraries are linked and loaded")
