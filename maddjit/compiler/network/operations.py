"""The operations of a network's plan: kernels with all of their numbers, in calling order."""

from __future__ import annotations

from dataclasses import dataclass

from maddjit.compiler.conversion import Ending
from maddjit.compiler.network.filling import Line, Phase, phases
from maddjit.compiler.network.places import Place


@dataclass(frozen=True)
class Quantising:
    """Images become planes. Rows of an image are contiguous, one after another."""

    to: Place
    element: str
    itemsize: int
    is_shift: bool
    ending: Ending
    line: Line

    kind = "quantise"

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of an image."""
        return self.to.shape[2] * self.itemsize

    @property
    def plane_bytes(self) -> int:
        """Bytes of a plane of an image."""
        return self.to.shape[1] * self.row_bytes


@dataclass(frozen=True)
class LayingOut:
    """Planes are copied to another place, each taken apart into phases.

    Vectors of results may reach behind a row, where they hold what stands outside of the planes.
    What they write behind the gap is written once more later.

    Attributes
    ----------
    x, to : Place
    stride : (int, int)
    lanes : int
        Bytes of a vector of results.
    wanted : tuple of int
        The phases that are copied.
    value : int
        What stands outside of the planes.
    """

    x: Place
    to: Place
    stride: tuple[int, int]
    lanes: int
    wanted: tuple[int, ...] = (0,)
    value: int = 0

    kind = "lay_out"

    @property
    def lines(self) -> tuple[tuple[Phase, tuple[Phase, ...]], ...]:
        """The first phase of each row of phases that has any, and all of that row."""
        found: dict[int, list[Phase]] = {}
        for phase in phases(self.x.shape, self.stride):
            if phase.index in self.wanted and phase.height > 0 and phase.width > 0:
                found.setdefault(phase.row, []).append(phase)
        return tuple((each[0], tuple(each)) for each in found.values())

    @property
    def to_step(self) -> int:
        """Bytes from the first phase of a plane to the first one of the next plane."""
        return self.to.channel_step * self.stride[0] * self.stride[1]

    @property
    def read(self) -> int:
        """Bytes that a vector of results is picked from: a power of two."""
        return 1 << (self.lanes * self.stride[1] - 1).bit_length()

    def starts(self, phase: Phase) -> tuple[tuple[int, int, int], ...]:
        """Return where each vector of a row is read and written, and how much of it is pixels."""
        return tuple(
            (at * self.stride[1], at, min(self.lanes, phase.width - at))
            for at in range(0, phase.width, self.lanes)
        )

    def goal(self, phase: Phase) -> int:
        """Return the offset of a phase where it goes."""
        return phase.index * self.to.channel_step

    def picked(self, phase: Phase) -> tuple[int, ...]:
        """Return the lanes of what is read that a vector of results has."""
        return tuple(range(phase.column, self.lanes * self.stride[1], self.stride[1]))


@dataclass(frozen=True)
class Taps:
    """How far each tap is from an output, which depends on the pitch: base + rows · pitch.

    Attributes
    ----------
    base, rows : str
        The names of the two constants.
    n : int
        All taps of a group's planes.
    place : int
        Where the sums are kept during a call.
    """

    base: str
    rows: str
    n: int
    place: int


@dataclass(frozen=True)
class Calling:
    """Look-ups: the kernel of a MADDNESS model, by columns that are placed or by rows.

    `taps` is None for one by rows.
    """

    x: Place
    to: Place
    symbol: str
    taps: Taps | None
    workspace: int

    kind = "look_up"


@dataclass(frozen=True)
class Pooling:
    """The largest number or the mean of each window, a vector of outputs at a time.

    Attributes
    ----------
    x, to : Place
    above, left : int
        Where the first window begins: so many rows and columns in front of the first number.
    kernel, stride, dilation : (int, int)
    lanes : int
        Outputs of a vector.
    reciprocal : str
        One over the entries of a window, as LLVM writes it; empty for the largest number.
    """

    x: Place
    to: Place
    above: int
    left: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    lanes: int
    reciprocal: str

    kind = "pool"

    @property
    def read(self) -> int:
        """Bytes that a vector is picked from: a power of two."""
        return 1 << (self.lanes * self.stride[1] - 1).bit_length()

    @property
    def picked(self) -> tuple[int, ...]:
        """The lanes of what is read that a vector has."""
        return tuple(range(0, self.lanes * self.stride[1], self.stride[1]))

    @property
    def starts(self) -> tuple[tuple[int, int], ...]:
        """Where each vector of a row begins: where it is read, and where it is written."""
        return tuple((at * self.stride[1], at) for at in range(0, self.to.shape[2], self.lanes))

    @property
    def across(self) -> tuple[int, ...]:
        """The offsets of a row of the window's entries."""
        return tuple(i * self.dilation[1] for i in range(self.kernel[1]))


@dataclass(frozen=True)
class Adding:
    """The sum of two places of the same shape, all bytes of each run, gaps included."""

    a: Place
    b: Place
    to: Place
    zero_points: tuple[str, str]
    ratios: tuple[str, str]
    ending: Ending
    lanes: int

    kind = "add"


@dataclass(frozen=True)
class Flattening:
    """What one window sees of all planes becomes a row of numbers for each image.

    Attributes
    ----------
    x, to : Place
    seen : tuple of (int, int, int)
        The number of each entry that sees a pixel, and the pixel's row and column.
    unseen : tuple of int
        The numbers of the other entries.
    value : int
        What those see.
    n_taps : int
        All entries.
    """

    x: Place
    to: Place
    seen: tuple[tuple[int, int, int], ...]
    unseen: tuple[int, ...]
    value: int
    n_taps: int

    kind = "flatten"


@dataclass(frozen=True)
class Leaving:
    """Planes become the result (N, C, H, W)."""

    x: Place
    line: Line

    kind = "leave"

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of the result."""
        return self.x.shape[2]

    @property
    def plane_bytes(self) -> int:
        """Bytes of a plane of the result."""
        return self.x.shape[1] * self.x.shape[2]
