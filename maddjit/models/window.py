"""`Window`: what a convolution sees of its input, and where each part of it lies in planes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Window:
    """The kernel of a convolution as it moves over a plane, row by row.

    Attributes
    ----------
    kernel : (int, int)
        Rows and columns of the kernel.
    stride : (int, int)
        How far the kernel moves down and to the right.
    padding : (int, int, int, int)
        Rows of zeros above and below, and columns of zeros on the left and on the right.
    dilation : (int, int)
        The distance of neighbouring entries of the kernel, in rows and in columns.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        for name, count, least in (
            ("kernel", 2, 1),
            ("stride", 2, 1),
            ("padding", 4, 0),
            ("dilation", 2, 1),
        ):
            value = getattr(self, name)
            if len(value) != count or not all(isinstance(n, int) and n >= least for n in value):
                raise ValueError(
                    f"{name} must be {count} whole numbers of {least} or more, not {value!r}"
                )
            object.__setattr__(self, name, tuple(value))

    @property
    def n_taps(self) -> int:
        """The entries of the kernel."""
        return self.kernel[0] * self.kernel[1]

    @property
    def reach(self) -> tuple[int, int]:
        """The rows and columns from the first entry of the kernel to the last one, with both."""
        (rows, columns), (down, across) = self.kernel, self.dilation
        return down * (rows - 1) + 1, across * (columns - 1) + 1

    def seen_rows(self, n_rows: int) -> int:
        """Return the rows of a padded plane that so many rows of outputs see."""
        return (n_rows - 1) * self.stride[0] + self.reach[0]

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns of an output plane.

        Raises
        ------
        ValueError
            If the padded plane is smaller than the kernel.
        """
        top, bottom, left, right = self.padding
        sizes = []
        for axis, size in enumerate((height + top + bottom, width + left + right)):
            reach = self.reach[axis]
            if size < reach:
                raise ValueError(
                    f"planes of {height} × {width} are too small for {self}: with their padding "
                    f"they must have at least {reach} {('rows', 'columns')[axis]}"
                )
            sizes.append((size - reach) // self.stride[axis] + 1)
        return sizes[0], sizes[1]

    def taps(self) -> list[tuple[int, int]]:
        """Return the row and column of each entry of the kernel, seen from the first output."""
        top, _, left, _ = self.padding
        return [
            (dy * self.dilation[0] - top, dx * self.dilation[1] - left)
            for dy in range(self.kernel[0])
            for dx in range(self.kernel[1])
        ]

    def patches(self, planes: NDArray[Any], fill: Any = 0) -> NDArray[Any]:
        """Return the patches of planes as rows: im2col.

        Parameters
        ----------
        planes : (N, C, H, W) array
        fill : scalar
            What stands outside of the planes.

        Returns
        -------
        (N · Ho · Wo, C · n_taps) array
            Column (c · n_taps + tap) is what entry `tap` of the kernel sees of plane c.
        """
        _, n_channels, height, width = planes.shape
        rows, columns = self.output_size(height, width)
        top, bottom, left, right = self.padding
        padded = np.pad(
            planes, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill
        )
        down, across = self.stride
        seen = [
            padded[:, :, y : y + down * (rows - 1) + 1 : down][
                ..., x : x + across * (columns - 1) + 1 : across
            ]
            for y, x in ((y + top, x + left) for y, x in self.taps())
        ]
        stacked = np.stack(seen, axis=2)  # (N, C, n_taps, Ho, Wo)
        return stacked.transpose(0, 3, 4, 1, 2).reshape(-1, n_channels * self.n_taps)

    def __str__(self) -> str:
        told = [f"{self.kernel[0]} × {self.kernel[1]}"]
        if self.stride != (1, 1):
            told.append("stride " + " × ".join(map(str, self.stride)))
        if any(self.padding):
            told.append("padding " + ", ".join(map(str, self.padding)))
        if self.dilation != (1, 1):
            told.append("dilation " + " × ".join(map(str, self.dilation)))
        return "a window of " + ", ".join(told)
