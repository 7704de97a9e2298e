"""One compiled function, and the report of what an operator has compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from maddjit.compiler import native
from maddjit.compiler.plan import Order, Plan, Signature
from maddjit.compiler.render import render

_HOW_READ: dict[Order, str] = {
    "C": "in place, element by element into vectors of rows",
    "F": "in place, whole vectors of rows from each split column",
    "strided": "in place, element by element at any strides",
}


@dataclass(frozen=True)
class Kernel:
    """One compiled function: its plan, its code, and the seconds each phase took."""

    plan: Plan
    code_bytes: int
    function: native.LoadedFunction = field(repr=False)
    seconds: Mapping[str, float]

    def ir(self) -> str:
        """Render the IR again, which the code was made from."""
        return render(self.plan)


@dataclass(frozen=True)
class OperatorReport:
    """What was compiled, how, and how long that took; ``print(op.report)`` tells it in words.

    Attributes
    ----------
    target : str
        Feature level.
    kernel : str
        Strategy of the scan.
    sum_bits, group : int
        Width of the sums, proved from the tables, and codebooks per 8-bit partial sum.
    table_bytes, code_bytes : int
        Of the constants of the tables, and of the object code that holds them and the rest.
    reads_A : dict
        For each layout of A that has been compiled, how A is read.
    seconds : dict
        Time per phase, for each compiled signature.
    """

    target: str
    kernel: str
    sum_bits: int
    group: int
    table_bytes: int
    code_bytes: int
    reads_A: dict[str, str]
    seconds: dict[str, Mapping[str, float]]

    def __str__(self) -> str:
        lines = [
            f"target    {self.target}",
            f"kernel    {self.kernel}",
            f"sums      {self.sum_bits} bits, {self.group} codebooks per 8-bit partial sum",
            f"tables    {self.table_bytes} bytes in {self.code_bytes} bytes of object code",
        ]
        lines += [f"{order + ' A':<9} read {how}" for order, how in self.reads_A.items()]
        for signature, phases in self.seconds.items():
            total = sum(phases.values())
            parts = ", ".join(f"{name} {1e3 * time:.1f}" for name, time in phases.items())
            lines.append(f"compiled  {signature} in {1e3 * total:.1f} ms ({parts})")
        return "\n".join(lines)


def describe(default: Kernel, kernels: Mapping[Signature, Kernel]) -> OperatorReport:
    """Return the report of an operator's kernels, the default one first."""
    plan = default.plan
    return OperatorReport(
        target=plan.target.name,
        kernel=f"table rows, {plan.target.vector_bytes} outputs a vector",
        sum_bits=plan.sum_bits,
        group=plan.group,
        table_bytes=plan.table_bytes,
        code_bytes=default.code_bytes,
        reads_A={
            order: how
            for order, how in _HOW_READ.items()
            if any(signature.order == order for signature in kernels)
        },
        seconds={
            f"{s.dtype} {s.order} → {s.result}": kernel.seconds for s, kernel in kernels.items()
        },
    )
