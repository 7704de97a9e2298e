"""The platform checks of ``maddjit doctor``: load, call, keep and export compiled code."""

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

WRONG = "WRONG: please report this"
"""The verdict on code whose results are not those of the definition."""


@dataclass(frozen=True)
class Finding:
    """The result of one check, in words; `right` is None if nothing was tried."""

    right: bool | None
    words: str


@dataclass(frozen=True)
class CheckSample:
    """The data that code is tried on: a small model, rows (999, 32), and B (32, 5)."""

    model: MaddnessModel
    A: NDArray[np.float32]
    B: NDArray[np.float64]


def fitted_sample() -> CheckSample:
    """Fit the small model that code is tried on, and return it with its rows and B."""
    rng = np.random.default_rng(0)
    A = (rng.standard_normal((999, 4)) @ rng.standard_normal((4, 32))).astype(np.float32)
    B = rng.standard_normal((32, 5))
    return CheckSample(fit(A, B, n_codebooks=8, on_interrupt="raise"), A, B)


def findings(sample: CheckSample, level: str | None) -> dict[str, Finding]:
    """Try to load, call, keep and export code of a level, and return what happened.

    Without a level only the platform and the cache are looked at.
    """
    machine = host()
    kind = f"{machine.system} on {machine.architecture}"
    found = {"platform": Finding(None, f"{kind} ({machine.triple}): {verified(machine.triple)}")}
    if level is not None:
        A, wanted = sample.A, apply(sample.model, sample.A)
        op = compile(sample.model, level)
        found["jit"] = _same(op(A), wanted, "compiled code is loaded")
        found["fastcall"] = _fastcall(op, A, wanted)
    found["cache"] = Finding(None, f"{cache.info()}{_kept()}")
    if level is not None:
        found["export"] = _exported(op, A, wanted)
    return found


def _same(Y: Any, wanted: Any, words: str) -> Finding:
    """Return whether results are the wanted ones, bit for bit."""
    right = bool(np.array_equal(Y, wanted))
    return Finding(right, f"{words}: {'right' if right else WRONG}")


def _fastcall(op: CompiledOperator, A: Any, wanted: Any) -> Finding:
    answer = op._outputs.call(A)
    if answer is None:
        return Finding(None, "not taken: this Python is not CPython, so calls go by ctypes")
    return _same(answer, wanted, "CPython calls the code itself")


def _kept() -> str:
    """Return in words whether the cache can be written; nothing if there is none."""
    info = cache.info()
    if info.folder is None or info.problem:
        return ""
    return "; written and read back" if cache.works() else "; it cannot be written"


def _exported(op: CompiledOperator, A: Any, wanted: Any) -> Finding:
    """Export the sample, link it, load it back and compare its results.

    On Windows a library that is loaded cannot be removed, and may stay behind.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        made = op.export(folder, name="doctor")
        if made.library is None:
            return Finding(None, f"objects alone: {made.missing}")
        loaded = exported_operators.load(made.library, "doctor")
        return _same(loaded(A), wanted, "libraries are linked and loaded")
