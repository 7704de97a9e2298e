"""Compiled kernels: one of them, and all that an operator has, each compiled when first needed."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from maddjit.compiler import llvm
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.planes.drive import DrivePlan
from maddjit.compiler.planes.plan import MovePlan
from maddjit.compiler.render import render
from maddjit.compiler.signature import Signature
from maddjit.compiler.strassen_tile.plan import TilePlan

P = TypeVar("P", Plan, TilePlan)
"""The type of an operator's plans."""

Any_P = TypeVar("Any_P", Plan, TilePlan, MovePlan, DrivePlan)
"""The type of a kernel's plan."""


@dataclass(frozen=True)
class Kernel(Generic[Any_P]):
    """One compiled function: its plan, its code, and the seconds each phase took."""

    plan: Any_P
    code_bytes: int
    function: llvm.LoadedFunction = field(repr=False)
    seconds: Mapping[str, float]

    def ir(self, stage: Literal["template", "optimized"] = "template") -> str:
        """Return the LLVM IR as the templates render it, or as LLVM's passes leave it.

        Raises
        ------
        ValueError
            If `stage` is neither.
        """
        ir = render(self.plan)
        if stage == "template":
            return ir
        if stage == "optimized":
            return llvm.to_text(ir, self.plan.target, "optimized")
        raise ValueError(f'stage must be "template" or "optimized", not {stage!r}')

    def asm(self) -> str:
        """Return the assembly."""
        return llvm.to_text(self.ir(), self.plan.target, "assembly")


class Kernels(Generic[P]):
    """The kernels of one operator, each compiled when it is first needed; for many threads.

    Attributes
    ----------
    compiled : dict
        The kernels that have been compiled, by their signatures.
    """

    def __init__(self, build: Callable[[Signature], Kernel[P]]) -> None:
        self._build: Callable[[Signature], Kernel[P]] = build
        self._lock = threading.RLock()
        self.compiled: dict[Signature, Kernel[P]] = {}
        _all.add(self)

    def __getitem__(self, signature: Signature) -> Kernel[P]:
        with self._lock:
            if signature not in self.compiled:
                self.compiled[signature] = self._build(signature)
            return self.compiled[signature]

    def forget_other_threads(self) -> None:
        """Make a new lock: a forked child does not have the thread that may hold this one."""
        self._lock = threading.RLock()


_all: weakref.WeakSet[Kernels[Any]] = weakref.WeakSet()


def _forget_other_threads() -> None:
    for kernels in _all:
        kernels.forget_other_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
