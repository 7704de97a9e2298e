"""A matrix as an exported function takes it: its type in C, and how it lies in memory."""

from __future__ import annotations

from dataclasses import dataclass

from maddjit.arrays.formats import Format

_C_TYPES = {
    "float32": "float",
    "float64": "double",
    "float16": "uint16_t",
    "bfloat16": "uint16_t",
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "int64": "int64_t",
}
"""Number formats → the types that C has for them; numbers of 16 bits are passed as bits."""


@dataclass(frozen=True)
class CMatrix:
    """A matrix that the C function takes: the number format, and how it lies in memory."""

    name: str
    form: Format
    width: int
    by_columns: bool
    """Whether the columns of the matrix are contiguous, not its rows."""

    @property
    def type(self) -> str:
        """The type of an element in C."""
        return _C_TYPES[self.form.name]

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self.form.itemsize

    @property
    def row_bytes(self) -> int:
        """Bytes of the elements of a row."""
        return self.itemsize * self.width

    @property
    def mask(self) -> int:
        """The bits of an address that are 0 if elements are aligned."""
        return self.itemsize - 1

    @property
    def layout(self) -> str:
        """How the matrix lies in memory, in words."""
        unit = "columns" if self.by_columns else "rows"
        return f"its {unit} are contiguous, {self.name}_stride from one to the next"
