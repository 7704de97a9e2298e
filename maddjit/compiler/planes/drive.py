"""The function that runs the steps of a convolution, and how it is told what they are."""

from __future__ import annotations

from dataclasses import dataclass

from maddjit.compiler.outline import outlined
from maddjit.compiler.target import Target

JOB = ("groups", "enter", "leave")
"""What stands at the beginning of a job. The kernels of all groups follow, then its steps."""
STEP = ("source", "goal", "layout")
"""A step: bytes from the beginning of the arrays to where it begins in each, and its layout."""
LAYOUT = (
    *("n_phases", "lead", "run", "itemsize", "offsets", "frame_bytes", "group_step"),
    *("output_step", "group_output_step", "n_bytes", "leaving"),
)
"""A layout, as `maddjit.operators.layouts.Layout` has it; its phases follow.

Without phases kernels read the array itself, without sizes to leave with they write into it.
"""
PHASE = ("source", "goal", "sizes")
"""A phase of the planes: where it comes from, where it goes to, and its sizes."""
_BYTES = 8
"""Bytes of each number."""


@dataclass(frozen=True)
class DrivePlan:
    """The function that runs steps; it differs from target to target alone."""

    symbol: str
    target: Target
    constants: tuple[tuple[str, bytes], ...] = ()

    template = "planes/drive.ll.j2"
    sequences_symbol = ""
    job, step, layout, phase = JOB, STEP, LAYOUT, PHASE
    addresses = ("enter", "leave", "layout", "leaving", "sizes")
    step_bytes = _BYTES * len(STEP)
    phase_bytes = _BYTES * len(PHASE)

    def __str__(self) -> str:
        return outlined(self)


@dataclass(frozen=True)
class DriveRequest:
    """A request for the function that runs steps."""

    target: Target

    def plan(self) -> DrivePlan:
        """Return its plan."""
        return DrivePlan(f"maddjit_drive_{self.target.name.replace('-', '_')}", self.target)
