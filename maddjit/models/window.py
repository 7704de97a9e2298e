"""`Window`: what a convolution sees of its input, and where each part of it lies in planes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.checks import as_whole
from maddjit.models.archives import stored

Pair = tuple[int, int]
"""A number for rows, and one for columns."""


@stored()
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

    def seen(self, planes: NDArray[Any], fill: Any = 0) -> Iterator[NDArray[Any]]:
        """Yield what each entry of the kernel sees of planes (N, C, H, W), as (N, C, Ho, Wo).

        `fill` is what stands outside of the planes.
        """
        rows, columns = self.output_size(*planes.shape[2:])
        top, bottom, left, right = self.padding
        sides = ((0, 0), (0, 0), (top, bottom), (left, right))
        padded = np.pad(planes, sides, constant_values=fill) if any(self.padding) else planes
        down, across = self.stride
        for y, x in ((y + top, x + left) for y, x in self.taps()):
            yield padded[:, :, y : y + down * (rows - 1) + 1 : down][
                ..., x : x + across * (columns - 1) + 1 : across
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
        stacked = np.stack(list(self.seen(planes, fill)), axis=2)  # (N, C, n_taps, Ho, Wo)
        return stacked.transpose(0, 3, 4, 1, 2).reshape(-1, planes.shape[1] * self.n_taps)

    def patches_at(
        self, planes: NDArray[Any], places: NDArray[np.int64], channels: slice, fill: Any = 0
    ) -> NDArray[Any]:
        """Return some of the patches that `patches` would return, without building the others.

        Parameters
        ----------
        planes : (N, C, H, W) array
            It may be mapped into memory: only what the patches see is read.
        places : (n,) int64 array
            The rows of the result of `patches` that are wanted.
        channels : slice
            The planes that are wanted.
        fill : scalar
            What stands outside of the planes.

        Returns
        -------
        (n, channels · n_taps) array
        """
        _, _, height, width = planes.shape
        rows, columns = self.output_size(height, width)
        images, places = np.divmod(places, rows * columns)
        row, column = np.divmod(places, columns)
        down, across = row * self.stride[0], column * self.stride[1]
        numbers = np.arange(*channels.indices(planes.shape[1]))
        found = np.empty((len(places), len(numbers), self.n_taps), planes.dtype)
        for tap, (dy, dx) in enumerate(self.taps()):
            y, x = down + dy, across + dx
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            y, x = y.clip(0, height - 1), x.clip(0, width - 1)
            seen = np.asarray(planes[images[:, None], numbers, y[:, None], x[:, None]])
            found[:, :, tap] = np.where(inside[:, None], seen, np.array(fill, planes.dtype))
        return found.reshape(len(places), -1)

    def __str__(self) -> str:
        told = [f"{self.kernel[0]} × {self.kernel[1]}"]
        if self.stride != (1, 1):
            told.append("stride " + " × ".join(map(str, self.stride)))
        if any(self.padding):
            told.append("padding " + ", ".join(map(str, self.padding)))
        if self.dilation != (1, 1):
            told.append("dilation " + " × ".join(map(str, self.dilation)))
        return "a window of " + ", ".join(told)


def same_padding(
    where: str, kernel: Pair, stride: Pair, dilation: Pair, size: Pair
) -> tuple[int, int, int, int]:
    """Return the padding with which there is an output for each stride-th row and column.

    Parameters
    ----------
    where : {"upper", "lower"}
        The side that gets one more row or column below and on the right, or above and on the left,
        if their number is odd. These are SAME_UPPER, which TensorFlow calls SAME, and SAME_LOWER
        of ONNX.
    kernel, stride, dilation : (int, int)
        As in a window.
    size : (int, int)
        Rows and columns of planes. They do not matter if the stride is 1.

    Returns
    -------
    (above, below, left, right)
    """
    sides = []
    for axis in range(2):
        outputs = -(-size[axis] // stride[axis])
        reach = dilation[axis] * (kernel[axis] - 1) + 1
        total = max(0, (outputs - 1) * stride[axis] + reach - size[axis])
        less, more = total // 2, total - total // 2
        sides += [less, more] if where == "upper" else [more, less]
    above, below, left, right = sides
    return above, below, left, right


def window_of(
    kernel: Sequence[int],
    stride: int | Sequence[int],
    padding: int | Sequence[int] | str,
    dilation: int | Sequence[int],
    size: Sequence[int],
) -> Window:
    """Return the window of a convolution whose sizes are given in any of the usual ways.

    Parameters
    ----------
    kernel : (int, int)
    stride, dilation : int or (int, int)
        For rows and columns.
    padding : int, (int, int), (int, int, int, int) or {"valid", "same", "same_upper", "same_lower"}
        As for `maddjit.fit_convolution`.
    size : (int, int)
        Rows and columns of planes, which "same" depends on if there is a stride.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range or not whole, there are too few or too many of them, or padding
        is another word.

    Examples
    --------
    >>> str(window_of((3, 3), 2, "same", 1, (28, 28)))
    'a window of 3 × 3, stride 2 × 2, padding 0, 1, 0, 1'
    """
    rows, columns = kernel
    height, width = size
    steps_of, apart = _numbers("stride", stride, 2), _numbers("dilation", dilation, 2)
    if isinstance(padding, str):
        if padding == "valid":
            sides = (0, 0, 0, 0)
        elif padding in ("same", "same_upper", "same_lower"):
            where = "lower" if padding == "same_lower" else "upper"
            sides = same_padding(where, (rows, columns), steps_of, apart, (height, width))
        else:
            raise ValueError(
                'padding must be numbers, "valid", "same", "same_upper" or "same_lower", '
                f"not {padding!r}"
            )
    else:
        sides = _numbers("padding", padding, 4)
    return Window((rows, columns), steps_of, sides, apart)


def _numbers(name: str, given: int | Sequence[int], count: int) -> Any:
    """Return so many whole numbers, of which one or a pair may stand for all."""
    if np.ndim(given) == 0:
        return (as_whole(name, given),) * count
    found = tuple(as_whole(name, number) for number in given)  # type: ignore[union-attr]
    if count == 4 and len(found) == 2:
        return (found[0], found[0], found[1], found[1])
    if len(found) != count:
        known = "one, two or four" if count == 4 else "one or two"
        raise ValueError(f"{name} must be {known} whole numbers, not {given!r}")
    return found
