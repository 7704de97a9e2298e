"""Padding: zeros on each side of planes, as the rules of other libraries ask for them."""

from __future__ import annotations

from dataclasses import replace

from maddjit.integrations.networks.graph import Shape
from maddjit.models.window import Window

Sides = tuple[int, int, int, int]
"""Rows above and below, and columns on the left and on the right."""

NO_SIDES: Sides = (0, 0, 0, 0)


def rounded_up(window: Window, shape: Shape) -> Window:
    """Return a window with so much padding that no column or row of the input is left out."""
    sides = list(window.padding)
    for axis in (0, 1):
        before, after = sides[2 * axis : 2 * axis + 2]
        reach = window.dilation[axis] * (window.kernel[axis] - 1) + 1
        stride, size = window.stride[axis], shape[1 + axis]
        steps = -(-(size + before + after - reach) // stride)
        if steps * stride >= size + before:  # the last window would see padding alone
            steps -= 1
        sides[2 * axis + 1] += max(0, steps * stride + reach - size - before - after)
    return replace(window, padding=(sides[0], sides[1], sides[2], sides[3]))
