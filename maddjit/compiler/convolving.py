"""The plan of a whole convolution for other programs: planes of any size in, planes out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from maddjit.arrays.epilogue import Epilogue
from maddjit.arrays.formats import INPUTS, Format
from maddjit.compiler.frames import LEAST_ROWS, PART_BYTES
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.outline import outlined
from maddjit.compiler.planes.plan import MovePlan
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import Target
from maddjit.compiler.workspace import LINE, Workspace, lines
from maddjit.models.window import Window


@dataclass(frozen=True)
class Tap:
    """An entry of the kernel: the phase of a plane that it sees, and the row and column in it."""

    phase: int
    row: int
    column: int


@dataclass(frozen=True)
class Phase:
    """A phase of the planes that some tap sees: its number, its first row and its first column."""

    number: int
    row: int
    column: int


@dataclass(frozen=True)
class ConvolutionPlan:
    """A convolution of planes that lie row by row, of any size.

    The code works on parts: some images, or some rows of one. Their planes enter a frame, where the
    padding is filled in, the kernels run over it, and results leave. With a stride the frame has
    phases, as `maddjit.compiler.frames.frame_of` says. A part of a frame begins with the first row
    that its outputs see, in the padding or not.

    Attributes
    ----------
    symbol : str
        Name of the function. The kernels' and movements' names begin with it.
    target : Target
    window : Window
    kernels : tuple of Plan
        One for each group.
    enter, leave : MovePlan
    fill, fill_bits : int
        What stands outside of planes; and the bits of an element of a frame that are that.
    quantise : Epilogue or None
        How float32 planes become int8 or uint8 where they enter.
    """

    symbol: str
    target: Target
    window: Window
    kernels: tuple[Plan, ...]
    enter: MovePlan
    leave: MovePlan
    fill: int
    fill_bits: int
    quantise: Epilogue | None = None

    template = "planes/convolution.ll.j2"
    part_bytes, least_rows = PART_BYTES, LEAST_ROWS

    def __str__(self) -> str:
        return outlined(self)

    def renamed(self, symbol: str) -> ConvolutionPlan:
        """Return this plan under another name."""
        kernels = tuple(
            replace(kernel, symbol=f"{symbol}_{group}") for group, kernel in enumerate(self.kernels)
        )
        enter = replace(self.enter, symbol=f"{symbol}_enter")
        leave = replace(self.leave, symbol=f"{symbol}_leave")
        return replace(self, symbol=symbol, kernels=kernels, enter=enter, leave=leave)

    def for_linkers(self) -> ConvolutionPlan:
        """Return this plan for objects that linkers take."""
        target = self.target.for_linkers()
        kernels = tuple(replace(kernel, target=target) for kernel in self.kernels)
        enter, leave = (replace(move, target=target) for move in (self.enter, self.leave))
        return replace(self, target=target, kernels=kernels, enter=enter, leave=leave)

    @property
    def signature(self) -> Signature:
        """The signature of the kernels."""
        return self.kernels[0].signature

    @property
    def given(self) -> Format:
        """The format of the planes that are convolved."""
        return INPUTS["float32" if self.quantise else self.signature.dtype]

    @property
    def inner(self) -> Format:
        """The format of the elements of a frame."""
        return INPUTS[self.signature.dtype]

    @property
    def itemsize(self) -> int:
        """Bytes of an element of a frame."""
        return self.inner.itemsize

    @property
    def column_bytes(self) -> int:
        """Bytes from one element of a phase to the next, in the planes."""
        return self.window.stride[1] * self.given.itemsize

    @property
    def output_itemsize(self) -> int:
        """Bytes of a result."""
        return self.signature.output.itemsize

    @property
    def groups(self) -> int:
        """The number of groups."""
        return len(self.kernels)

    @property
    def group_channels(self) -> int:
        """The planes that a group sees."""
        return self.kernels[0].n_features // self.window.n_taps

    @property
    def n_channels(self) -> int:
        """The planes that are convolved."""
        return self.groups * self.group_channels

    @property
    def group_outputs(self) -> int:
        """The planes of results of a group."""
        return self.kernels[0].n_outputs

    @property
    def n_outputs(self) -> int:
        """The planes of results."""
        return self.groups * self.group_outputs

    @property
    def n_phases(self) -> int:
        """The phases of a plane."""
        return self.window.stride[0] * self.window.stride[1]

    @property
    def rounding(self) -> tuple[int, int]:
        """What is added to rows and columns before they are divided by the stride, to round up."""
        return self.window.stride[0] - 1, self.window.stride[1] - 1

    @property
    def around(self) -> tuple[int, int]:
        """Rows of the padding, and columns."""
        top, bottom, left, right = self.window.padding
        return top + bottom, left + right

    @property
    def taps(self) -> tuple[Tap, ...]:
        """All entries of the kernel; rows count from the first one that an output sees."""
        (down, across), top = self.window.stride, self.window.padding[0]
        places = [(y + top, x) for y, x in self.window.taps()]
        return tuple(
            Tap((y % down) * across + x % across, y // down, x // across) for y, x in places
        )

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of a plane that some tap sees."""
        across = self.window.stride[1]
        seen = sorted({tap.phase for tap in self.taps})
        return tuple(Phase(number, number // across, number % across) for number in seen)

    @property
    def before(self) -> int:
        """Elements of a frame in front of a row that taps see."""
        return max(0, -min(tap.column for tap in self.taps))

    @property
    def last_column(self) -> int:
        """The column in a phase of the last tap."""
        return max(tap.column for tap in self.taps)

    @property
    def more_rows(self) -> int:
        """Rows of a phase that a part has more than rows of outputs."""
        return max(tap.row for tap in self.taps)

    @property
    def reads_in_place(self) -> bool:
        """Whether kernels read the planes themselves: there is nothing around them, nor phases."""
        return self.n_phases == 1 and not any(self.window.padding) and self.quantise is None

    @property
    def writes_in_place(self) -> bool:
        """Whether kernels write into the results themselves, whose rows lie as the planes' do."""
        return self.reads_in_place and self.window.reach[1] == 1

    @property
    def element_bytes(self) -> int:
        """Bytes of what belongs to one output in all planes of a frame and of results."""
        frame = 0 if self.reads_in_place else self.n_channels * self.n_phases * self.itemsize
        results = 0 if self.writes_in_place else self.n_outputs * self.output_itemsize
        return max(1, frame + results)

    @property
    def regions(self) -> Workspace:
        """What lies behind the frame and the results."""
        size = 8 * len(self.enter.sizes)
        return Workspace().add(
            offsets=8 * self.group_channels * self.window.n_taps,
            entering=size,
            leaving=size,
            workspace=lines(max(kernel.workspace_bytes for kernel in self.kernels)),
        )

    @property
    def regions_bytes(self) -> int:
        """Bytes of what lies behind the frame and the results, and to the first cache line."""
        return self.regions.end + LINE

    @property
    def told(self) -> str:
        """What the convolution is, in words."""
        kernel, groups = self.kernels[0], f", {self.groups} groups" * (self.groups > 1)
        window = str(self.window).replace("×", "x")
        return (
            f"approximate: {window}{groups}, MADDNESS, {kernel.n_codebooks} codebooks of "
            f"{kernel.n_prototypes}, sums of {kernel.sum_bits} bits"
        )
