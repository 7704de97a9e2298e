"""The plan of a movement of planes: between an array and a frame, or within a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from maddjit.arrays.epilogue import Epilogue
from maddjit.compiler.conversion import Ending, ending
from maddjit.compiler.outline import outlined
from maddjit.compiler.planes.sizes import NAMES
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import Target

Kind = Literal["enter", "leave"]
"""From an array to a frame, from a frame to an array, or filling what belongs to no image."""

Element = Literal["i8", "i16", "i32", "i64"]
"""LLVM's types of elements, as bits."""

ELEMENTS: dict[int, Element] = {1: "i8", 2: "i16", 4: "i32", 8: "i64"}
"""LLVM's types of elements, by their bytes."""
_BYTES: dict[str, int] = {element: itemsize for itemsize, element in ELEMENTS.items()}
_SQUARE_BYTES = 16
"""Bytes of a vector within which instructions of every target interleave elements."""


@dataclass(frozen=True)
class Moving:
    """How elements get from one place to another.

    Attributes
    ----------
    source : str
        LLVM's type of the elements that are read.
    itemsize : int
        Their size in bytes.
    lanes : tuple of int
        Elements that are moved at once, the most first.
    ending : Ending or None
        How they are converted.
    """

    source: str
    itemsize: int
    lanes: tuple[int, ...]
    ending: Ending | None = None

    @property
    def both(self) -> dict[int, int]:
        """By the lanes of a vector, the lanes of one that has as many pairs."""
        return {lanes: 2 * lanes for lanes in self.lanes}


@dataclass(frozen=True)
class Interleaving:
    """Two vectors become two others: their lower halves, and their upper halves, interleaved."""

    low: int
    high: int
    left: int
    right: int


@dataclass(frozen=True)
class Square:
    """How a square of elements is turned.

    Attributes
    ----------
    side : int
        Its rows, and the elements of each.
    interleavings : tuple of Interleaving
        They turn the vectors 0, 1, … into others, which have numbers of their own.
    low, high : tuple of int
        The elements of a pair of vectors that an interleaving takes.
    outputs : tuple of int
        The numbers of the vectors that are the rows in the end.
    row_bytes : int
        Bytes from one row of a square that is put aside to the next.
    """

    side: int
    interleavings: tuple[Interleaving, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]
    outputs: tuple[int, ...]
    row_bytes: int

    @property
    def offsets(self) -> tuple[int, ...]:
        """Bytes in front of each row of a square that is put aside."""
        return tuple(i * self.row_bytes for i in range(self.side))

    @property
    def scratch_bytes(self) -> int:
        """Bytes of a square that is put aside."""
        return self.side * self.row_bytes


@dataclass(frozen=True)
class MovePlan:
    """A movement of planes, decided.

    Attributes
    ----------
    symbol : str
        Name of the function.
    target : Target
    kind : {"enter", "leave"}
    element : str
        LLVM's type of the elements of a frame.
    itemsize, array_itemsize : int
        Bytes of an element of the frame, and of the array.
    lanes : tuple of int
        Elements that are filled at once, the most first.
    moving, copying : Moving
        How elements are moved; and how they are once they are converted.
    square : Square
    constants : tuple
        There are none.
    """

    symbol: str
    target: Target
    kind: Kind
    element: Element
    itemsize: int
    array_itemsize: int
    lanes: tuple[int, ...]
    moving: Moving
    copying: Moving
    square: Square
    constants: tuple[tuple[str, bytes], ...] = ()

    template = "planes/kernel.ll.j2"
    sequences_symbol = ""
    sizes = NAMES

    def __str__(self) -> str:
        return outlined(self)

    @property
    def other_step(self) -> int:
        """Bytes from one element of an array to the next but one."""
        return 2 * self.array_itemsize

    @property
    def source(self) -> str:
        """Where elements come from: the frame or the array."""
        return "array" if self.kind == "enter" else "frame"

    @property
    def goal(self) -> str:
        """Where elements go to: the frame or the array."""
        return "frame" if self.kind == "enter" else "array"


def plan_move(
    kind: Kind, element: Element, target: Target, quantise: Epilogue | None = None
) -> MovePlan:
    """Return the plan of a movement.

    Parameters
    ----------
    kind : {"enter", "leave"}
    element : {"i8", "i16", "i32", "i64"}
        The type of the elements of the frame.
    target : Target
    quantise : Epilogue, optional
        Where float32 elements enter a frame of bytes: how they become bytes.

    Raises
    ------
    ValueError
        If what is quantised does not enter a frame of bytes, or does not become bytes.
    """
    itemsize = _BYTES[element]
    lanes = _halved(target.vector_bytes // itemsize)
    copying = Moving(element, itemsize, lanes)
    moving = copying
    if quantise is not None:
        if kind != "enter" or element != "i8" or not quantise.is_integer:
            raise ValueError("elements are quantised where they enter a frame of int8 or uint8")
        if quantise.arithmetic != "float":
            raise ValueError('planes are quantised from float32: arithmetic must be "float"')
        how = ending(Signature(epilogue=quantise), target)
        moving = Moving("float", 4, lanes, how)
    converted = f"_{quantise.dtype}" if quantise else ""
    return MovePlan(
        symbol=f"maddjit_{kind}_{element}{converted}_{target.name.replace('-', '_')}",
        target=target,
        kind=kind,
        element=element,
        itemsize=itemsize,
        array_itemsize=moving.itemsize,
        lanes=lanes,
        moving=moving,
        copying=copying,
        square=square_of(itemsize),
    )


def square_of(itemsize: int) -> Square:
    """Return how squares of elements of so many bytes are turned.

    A vector of the first half is interleaved with one of the second half. Once every bit of a
    number has gone through that, rows have become columns.

    >>> square = square_of(8)
    >>> square.interleavings, square.outputs
    ((Interleaving(low=2, high=3, left=0, right=1),), (2, 3))
    """
    side = _SQUARE_BYTES // itemsize
    half = side // 2
    vectors, interleavings = list(range(side)), []
    for _ in range(side.bit_length() - 1):
        new = max(vectors) + 1
        interleavings += [
            Interleaving(new + 2 * i, new + 2 * i + 1, vectors[i], vectors[i + half])
            for i in range(half)
        ]
        vectors = list(range(new, new + side))
    low = tuple(place for i in range(half) for place in (i, side + i))
    return Square(
        side=side,
        interleavings=tuple(interleavings),
        low=low,
        high=tuple(place + half for place in low),
        outputs=tuple(vectors),
        row_bytes=_SQUARE_BYTES,
    )


def _halved(lanes: int) -> tuple[int, ...]:
    """Return a power of two, its half, and so on, down to 1."""
    return tuple(1 << i for i in reversed(range(lanes.bit_length())))


@dataclass(frozen=True)
class MoveRequest:
    """A request for a movement; its fields are the arguments of `plan_move`."""

    kind: Kind
    element: Element
    target: Target
    quantise: Epilogue | None = None

    def plan(self) -> MovePlan:
        """Return the plan of the movement."""
        return plan_move(self.kind, self.element, self.target, self.quantise)
