"""One compiled function, and the report of what an operator has compiled."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from maddjit.compiler import llvm
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.render import render
from maddjit.compiler.signature import Choices, Signature
from maddjit.compiler.strassen_tile.plan import TilePlan

P = TypeVar("P", Plan, TilePlan)
"""The plans of one kind of operator."""


@dataclass(frozen=True)
class Kernel(Generic[P]):
    """One compiled function: its plan, its code, and the seconds each phase took."""

    plan: P
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
        Those there are.
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
        """Leave to the parent what its threads compile: a forked child has none of them."""
        self._lock = threading.RLock()


_all: weakref.WeakSet[Kernels[Any]] = weakref.WeakSet()


def _forget_other_threads() -> None:
    for kernels in _all:
        kernels.forget_other_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)


@dataclass(frozen=True)
class OperatorReport:
    """What was compiled, how and why, and how long that took; ``print(op.report)`` tells it.

    Attributes
    ----------
    target : str
        Feature level.
    sum_bits, group : int
        Width of the sums, proved from the tables, and codebooks per 8-bit partial sum.
    table_bytes, code_bytes : int
        Of the constants of the tables, and of the object code that holds them and the rest.
    choices : str
        What was chosen other than by the planner's rules.
    timings : dict
        If the choices were tuned: nanoseconds a row of each that was tried.
    kernels : dict
        For each compiled signature how A is read, how results are scanned, and why.
    seconds : dict
        Time per phase, for each compiled signature.
    settling : str
        How long the short lists of exact winners were at calibration, if there are any.
    """

    target: str
    sum_bits: int
    group: int
    table_bytes: int
    code_bytes: int
    choices: str
    timings: Mapping[str, float]
    kernels: Mapping[str, str]
    seconds: Mapping[str, Mapping[str, float]]
    settling: str = ""

    def __str__(self) -> str:
        lines = [
            f"target    {self.target}",
            f"sums      {self.sum_bits} bits, {self.group} codebooks per 8-bit partial sum",
            f"tables    {self.table_bytes} bytes in {self.code_bytes} bytes of object code",
            f"chosen by {self.choices}",
        ]
        lines += [f"settles   {self.settling}"] if self.settling else []
        lines += [f"tried     {name}: {ns:.1f} ns a row" for name, ns in self.timings.items()]
        for signature, phases in self.seconds.items():
            lines.append(f"kernel    {signature}: {self.kernels[signature]}")
            lines.append(f"          {how_made(phases)}")
        return "\n".join(lines)


def how_made(seconds: Mapping[str, float]) -> str:
    """Say of a kernel's phases whether they compiled it, and how long they took."""
    verb = "compiled" if "llvm" in seconds else "taken from the cache"
    parts = ", ".join(f"{phase} {1e3 * time:.1f}" for phase, time in seconds.items())
    return f"{verb} in {1e3 * sum(seconds.values()):.1f} ms ({parts})"


def describe(
    default: Kernel[Plan],
    kernels: Mapping[Signature, Kernel[Plan]],
    choices: Choices,
    timings: Mapping[str, float],
) -> OperatorReport:
    """Return the report of an operator's kernels, the default one first."""
    plan = default.plan
    named = {_name(signature): kernel for signature, kernel in kernels.items()}
    return OperatorReport(
        target=plan.target.name,
        sum_bits=plan.sum_bits,
        group=plan.group,
        table_bytes=plan.table_bytes,
        code_bytes=default.code_bytes,
        choices=str(choices),
        timings=timings,
        kernels={name: _ways(k.plan) for name, k in named.items()},
        seconds={name: kernel.seconds for name, kernel in named.items()},
    )


def _name(signature: Signature) -> str:
    result: str = signature.result
    if result in ("argmax", "winners") and signature.k > 1:
        result = f"top {signature.k}"
    if signature.result == "winners":
        result = f"exact {result}{' with outputs' * signature.scored}"
    if result == "sums":
        result = f"{signature.sums} sums"
    columns = " by columns" if signature.out_order == "F" else ""
    return f"{signature.dtype} {signature.order} → {result}{columns}"


def _ways(plan: Plan) -> str:
    ways = [_reading(plan), _scanning(plan)]
    if plan.core:
        ways.insert(1, f"projects rows exactly onto {plan.core.rank} dimensions")
    return "; ".join(ways)


def _reading(plan: Plan) -> str:
    if any(read.is_line for batch in plan.encode.batches for read in batch.reads):
        return "reads whole lines of a row in order and shuffles them, because rows are contiguous"
    if plan.encode.batches:
        return "reads a row's split columns in order, because rows are contiguous"
    if plan.signature.order == "F":
        return "reads vectors of rows from the split columns, because columns are contiguous"
    return "reads elements of several rows into a vector, because columns may lie anywhere"


def _scanning(plan: Plan) -> str:
    if plan.settle and plan.scan:
        return (
            f"looks up all scores for the largest of each {plan.scan.tiles[0].n_outputs}, then "
            f"those tiles again that reach into the short list, and settles it exactly"
        )
    if plan.columns and plan.columns.quads:
        return (
            f"looks up four codebooks at once and adds 32-bit sums, because columns of the result "
            f"are contiguous and {plan.group} codebooks fill a byte"
        )
    if plan.columns:
        tile = plan.columns.tiles[0]
        return (
            f"byte shuffles, {tile.n_outputs} outputs × {tile.rows} rows at a time, "
            f"because columns of the result are contiguous"
        )
    if plan.scan:
        planes = plan.scan.tiles[0].planes
        return (
            f"adds table rows of {sum(plane.lanes for plane in planes)} outputs, "
            f"because rows of the result are contiguous"
        )
    return "stores the codes"
