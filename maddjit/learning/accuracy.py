"""The warning that a fitted operator is too inaccurate to be used."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

_PACKAGE = f"{Path(__file__).parent.parent}{os.sep}"
"""The folder of this package."""
USELESS = 0.5
"""The share of the outputs' variance, or of the winners, whose loss makes an operator useless."""


class AccuracyWarning(UserWarning):
    """The fitted operator is so inaccurate on held-out rows that it should not be used."""


def lost_too_much(lost_variance: float) -> str:
    """Return what is wrong with an operator that loses this share of the variance, or ``""``."""
    if lost_variance >= USELESS:
        return f"loses {min(lost_variance, 1):.0%} of the variance of A @ B on"
    return ""


def named_too_few(agreement: float) -> str:
    """Return what is wrong with an operator that names this share of the winners, or ``""``."""
    return f"names the exact winner on {agreement:.0%} of" if agreement < USELESS else ""


def warn_useless(fault: str, held_out: bool, remedy: str) -> None:
    """Warn that an operator has a fault, at the line outside of this package that led here."""
    where = "held-out" if held_out else "training"
    warnings.warn(
        f"this operator {fault} {where} rows and should not be used; {remedy}",
        AccuracyWarning,
        stacklevel=_level_outside(),
    )


def _level_outside() -> int:
    """Return the stack level of the caller's first caller that is not a part of this package."""
    frame, level = sys._getframe(1), 1
    while frame.f_code.co_filename.startswith(_PACKAGE) and frame.f_back is not None:
        frame, level = frame.f_back, level + 1
    return level
