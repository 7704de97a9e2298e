"""The signature of a kernel (formats, layouts, results), and choices that its planner takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from maddjit.arrays.epilogue import Epilogue
from maddjit.arrays.formats import INPUTS, OUTPUTS, RESULTS, SUMS, Format, Precision
from maddjit.arrays.layout import Order, OutOrder

ROW_UNIT = 64
"""Rows that blocks and threads take multiples of, so that only the last vector can lack rows.

No vector of codes has more lanes, at any level.
"""

Result = Literal["outputs", "sums", "codes", "argmax", "winners"]


@dataclass(frozen=True)
class Signature:
    """What one compiled function accepts and returns.

    Attributes
    ----------
    dtype : str
        The number format of A.
    order : {"C", "F", "strided"}
        What of A is contiguous: rows ("C"), columns ("F"), or neither ("strided").
    result : {"outputs", "sums", "codes", "argmax", "winners"}
        What is returned. "argmax" names the largest outputs. "winners" names the largest outputs
        exactly, among those whose scores are within a margin that each call brings.
    epilogue : Epilogue
        How outputs are clamped and converted.
    out_order : {"C", "F"}
        Whether the rows or the columns of outputs and sums are contiguous.
    sums : str
        The number format of sums.
    k : int
        The number of outputs that "argmax" and "winners" name for each row.
    scored : bool
        Whether winners are returned with their outputs.
    precision : {"float32", "bfloat16"}
        The number format in which Strassen-Tile multiplies.
    residual : bool
        Whether Strassen-Tile adds its outputs to what Y already holds, which is float32.
    placed : bool
        Whether an array of offsets tells where each column of A begins, instead of a step from one
        to the next. Columns are then contiguous, and results come by columns, but for codes.

    Raises
    ------
    ValueError
        If a name is unknown, or a residual would be added to outputs that are not float32.
    TypeError
        If `epilogue` is not an Epilogue.
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
    placed: bool = False

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
        if self.residual and self.epilogue.dtype != "float32":
            raise ValueError(
                f"residual=True needs float32 outputs, not {self.epilogue.dtype}: the residual "
                "lies where outputs are written"
            )
        if self.placed and not (
            self.order == "F" and (self.out_order == "F" or self.result == "codes")
        ):
            raise ValueError('columns are placed one by one where order and out_order are "F"')

    @property
    def output(self) -> Format:
        """The number format of the results."""
        if self.result == "sums":
            return SUMS[self.sums]
        return RESULTS.get(self.result) or OUTPUTS[self.epilogue.dtype]


@dataclass(frozen=True)
class Choices:
    """Decisions that a planner is told to make, instead of by its rules. No result depends on them.

    None leaves a decision to the rules.

    Attributes
    ----------
    row_block : int, optional
        How many rows are encoded before their codes are scanned; a multiple of 64.
    tile_bytes : int, optional
        How many bytes of table one pass over a block of rows may use.
    lines : bool, optional
        Whether rows are read in whole vectors, which are then shuffled, where the target can do
        that. False reads them element by element.
    streams : bool, optional
        Whether tables lie so that few rows read them in long runs.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    row_block: int | None = None
    tile_bytes: int | None = None
    lines: bool | None = None
    streams: bool | None = None

    def __post_init__(self) -> None:
        if self.row_block is not None and (self.row_block < 1 or self.row_block % ROW_UNIT):
            raise ValueError(f"row_block must be a multiple of {ROW_UNIT}, not {self.row_block}")
        if self.tile_bytes is not None and self.tile_bytes < 1:
            raise ValueError(f"tile_bytes must be positive, not {self.tile_bytes}")

    def __str__(self) -> str:
        made = [f"{name}={value}" for name, value in vars(self).items() if value is not None]
        return ", ".join(made) or "the rules"


RULES = Choices()
"""The choices that leave every decision to the planner's rules."""
