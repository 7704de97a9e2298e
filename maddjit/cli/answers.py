"""The answer of a command: text for people, facts for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

_FEW, _MANY = 64, 10000
"""A matrix and a vector with no more elements than these are written out as JSON."""


class UsageError(Exception):
    """Options are missing or do not go together."""


@dataclass(frozen=True)
class Answer:
    """The outcome of a command.

    Attributes
    ----------
    text : str
        What is printed.
    facts : mapping of str to anything that `jsonable` takes
        What is printed instead if --json is given.
    status : int
        The exit status.
    """

    text: str
    facts: Mapping[str, Any]
    status: int = 0


def jsonable(value: Any) -> Any:
    """Return a value in the types of JSON.

    Records become objects of their fields; long arrays and bytes are replaced by their sizes.
    Numbers that JSON lacks become the strings "nan", "inf" and "-inf".
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if isinstance(value, np.ndarray):
        if value.size <= (_MANY if value.ndim == 1 else _FEW):
            return jsonable(value.tolist())
        return {"shape": list(value.shape), "dtype": str(value.dtype)}
    if isinstance(value, bytes):
        return {"bytes": len(value)}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(one) for key, one in value.items()}
    if isinstance(value, Set):
        return sorted(jsonable(one) for one in value)
    if isinstance(value, (list, tuple)):
        return [jsonable(one) for one in value]
    return str(value) if isinstance(value, Path) else repr(value)


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows of text as aligned columns, the first one flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
