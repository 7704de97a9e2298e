"""What several pictures have in common: colours of numbers, matrices, curves, signs."""

from __future__ import annotations

from typing import Any

import numpy as np
import svg
from numpy.typing import NDArray


def signed(value: float, digits: int = 2) -> str:
    """Return a number with a true minus sign."""
    return f"{value:.{digits}f}".replace("-", "−")


def heat(value: float, largest: float) -> dict[str, float | str]:
    """Return the colour of a number: warm above zero, cold below, paler towards zero."""
    share = min(abs(value) / largest, 1.0)
    return {"class_": "warm" if value > 0 else "cold", "fill_opacity": f"{0.06 + 0.84 * share:.2f}"}


def matrix(
    values: NDArray[Any], x: float, y: float, cell: float, largest: float, gap: float = 1
) -> list[str]:
    """Draw a matrix as coloured squares."""
    return [
        svg.rect(x + j * cell, y + i * cell, cell - gap, cell - gap, **heat(value, largest))
        for i, line in enumerate(values)
        for j, value in enumerate(line)
    ]


def curve_of(
    row: NDArray[np.float32], x: float, middle: float, width: float, height: float, class_: str
) -> str:
    """Draw the numbers of a row as a curve around a level."""
    step = width / (len(row) - 1)
    points = [
        (x + j * step, middle - float(np.clip(v / 2.6, -1.2, 1.2)) * height)
        for j, v in enumerate(row)
    ]
    return svg.path(points, class_=class_)
