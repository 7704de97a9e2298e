"""What a kernel is asked for: formats, layouts, results; and what its planner may be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from maddjit.arrays.epilogue import Epilogue
from maddjit.arrays.formats import INPUTS, OUTPUTS, RESULTS, SUMS, Format
from maddjit.arrays.layout import Order, OutOrder

Result = Literal["outputs", "sums", "codes", "argmax", "winners"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Signature:
    """What one compiled function accepts and returns.

    `order` says which step of A is known to be one element: "C" the columns, "F" the rows,
    "strided" neither. `out_order` says whether rows or columns of outputs and sums are contiguous;
    `sums` is the dtype of sums, `k` how many outputs "argmax" and "winners" name. Winners are the
    exact ones among those whose scores are within a margin that each call brings; `scored` asks for
    their outputs too.
    `precision` is what Strassen-Tile multiplies in; with `residual` it adds what Y holds already.

    Raises
    ------
    ValueError
        If one of them is unknown.
    TypeError
        If `epilogue` is none.
    """

    dtype: str = "float32"
    order: Order = "C"
    result: Result = "outputs"
    epilogue: Epilogue = field(default_factory=Epilogue)
    out_order: OutOrder = "C"
    sums: str = "int32"
    k: int = 1
    scored: bool = False
    precision: Precision = "float32"
    residual: bool = False

    def __post_init__(self) -> None:
        for name, value, known in (
            ("dtype", self.dtype, tuple(INPUTS)),
            ("order", self.order, get_args(Order)),
            ("result", self.result, get_args(Result)),
            ("out_order", self.out_order, get_args(OutOrder)),
            ("sums", self.sums, tuple(SUMS)),
            ("precision", self.precision, get_args(Precision)),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")
        if not isinstance(self.epilogue, Epilogue):
            raise TypeError(
                f"epilogue must be an Epilogue, such as Epilogue(low=0), not {self.epilogue!r}"
            )

    @property
    def output(self) -> Format:
        """The number format of the results."""
        if self.result == "sums":
            return SUMS[self.sums]
        return RESULTS.get(self.result) or OUTPUTS[self.epilogue.dtype]


@dataclass(frozen=True)
class Choices:
    """What a planner may be told instead of deciding by its rules; none of it changes a result.

    Attributes
    ----------
    row_block : int, optional
        Rows whose codes are found before they are scanned; a multiple of 64.
    tile_bytes : int, optional
        Bytes of table that one pass over a block of rows may use.
    lines : bool, optional
        Whether rows are read by whole vectors that are then shuffled, where that is possible, or
        element by element.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    row_block: int | None = None
    tile_bytes: int | None = None
    lines: bool | None = None

    def __post_init__(self) -> None:
        if self.row_block is not None and (self.row_block < 64 or self.row_block % 64):
            raise ValueError(f"row_block must be a multiple of 64, not {self.row_block}")
        if self.tile_bytes is not None and self.tile_bytes < 1:
            raise ValueError(f"tile_bytes must be positive, not {self.tile_bytes}")

    def __str__(self) -> str:
        made = [f"{name}={value}" for name, value in vars(self).items() if value is not None]
        return ", ".join(made) or "the rules"


RULES = Choices()
"""Nothing but the planner's rules."""
