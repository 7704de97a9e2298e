"""Movements of planes and the driver of convolutions, ready to be called with addresses."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

from maddjit.arrays.epilogue import Epilogue
from maddjit.compiler.planes.drive import DrivePlan, DriveRequest
from maddjit.compiler.planes.plan import ELEMENTS, Kind, MovePlan, MoveRequest
from maddjit.compiler.target import Target
from maddjit.operators.base import Build
from maddjit.operators.kernel import Kernel

_BETWEEN = ctypes.CFUNCTYPE(None, *3 * (ctypes.c_void_p,))
"""void enter(array, frame, sizes), void leave(frame, array, sizes)."""
_DRIVE = ctypes.CFUNCTYPE(None, *4 * (ctypes.c_void_p,), *2 * (ctypes.c_int64,))
"""void drive(x, y, memory, job, first, end): the steps from `first` up to `end`."""


@dataclass(frozen=True)
class Move:
    """A movement: its kernel, and the function that runs it, which lives as long as this."""

    kernel: Kernel[MovePlan]
    run: Any


@cache
def move(
    kind: Kind, itemsize: int, target: Target, build: Build, quantise: Epilogue | None = None
) -> Move:
    """Return a movement for frames whose elements have so many bytes; a process makes it once."""
    kernel = build(MoveRequest(kind, ELEMENTS[itemsize], target, quantise))
    return Move(kernel, _BETWEEN(kernel.function.address))


@dataclass(frozen=True)
class Driver:
    """The function that runs the steps of convolutions, and its kernel."""

    kernel: Kernel[DrivePlan]
    run: Any


@cache
def drive(target: Target, build: Build) -> Driver:
    """Return the function that runs the steps of convolutions; a process makes it once."""
    kernel = build(DriveRequest(target))
    return Driver(kernel, _DRIVE(kernel.function.address))
